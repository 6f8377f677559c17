/* K3s's status text, byte for byte. */
#include <report/status.h>
#include <report/table.h>

static int add_keys(const struct key_table *keys, struct buf *out, struct error *err)
{
    const char *cells[(CLUSTER_KEYS_MAX + 2) * 3] = {"Active", "Key Type", "Name",
                                                     "------", "--------", "----"};
    size_t n = 6;
    for (int active = 1; active >= 0; active--)
        for (size_t i = 0; i < keys->count; i++) {
            if (keys->rows[i].active != (active == 1))
                continue;
            cells[n++] = active ? " *" : "";
            cells[n++] = keys->rows[i].type;
            cells[n++] = keys->rows[i].name;
        }
    return table_render(cells, n / 3, 3, false, out, err);
}

static int add_encryption(const struct cluster_snapshot *s, enum encryption_state state, struct buf *out,
                          struct error *err)
{
    const struct snapshot_server *first = status_first(s);
    if (state == ENCRYPTION_UNKNOWN)
        return buf_addf(out, err, "Encryption Status: Unknown, %s has %s\n",
                        first ? first->name : "the first server",
                        first && first->reports ? "a file that is not known here" : "reported nothing");
    return buf_addf(out, err, "Encryption Status: %s\n",
                    state == ENCRYPTION_ON    ? "Enabled"
                    : state == ENCRYPTION_OFF ? "Disabled"
                                              : "Disabled, no configuration file found");
}

int render_status_text(const struct cluster_snapshot *s, const struct key_table *keys, struct buf *out,
                       struct error *err)
{
    enum encryption_state state = status_encryption(s, keys);
    int rc = add_encryption(s, state, out, err);
    if (rc < 0 || state == ENCRYPTION_NO_FILE) /* K3s says nothing more then */
        return rc;
    char why[CLUSTER_TEXT_MAX] = "";
    bool match = snapshot_hashes_match(s, why);
    rc = buf_addf(out, err, "Current Rotation Stage: %s\nServer Encryption Hashes: %s\n\n",
                  stage_name(status_stage(s)), match ? "All hashes match" : why);
    if (rc == 0)
        rc = add_keys(keys, out, err);
    if (rc == 0)
        rc = buf_adds(out, "\n", err);
    make_printable(out);
    return rc;
}
