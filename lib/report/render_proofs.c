/* The proofs as a table. */
#include <report/explain.h>

#include <inttypes.h>

#include <base/cleanup.h>
#include <report/table.h>
#include <report/words.h>

#define COLUMNS     7
#define CELL_MAX    48
#define SERVERS_MAX ((size_t)CLUSTER_SERVERS_MAX * (CLUSTER_NAME_MAX + 16))

struct proof_texts {
    char revision[CELL_MAX], values[CELL_MAX], age[AGE_TEXT_MAX];
    struct buf servers;
};

static bool is_snapshot(enum phase phase)
{
    return phase == PHASE_BACKUP || phase == PHASE_BACKUP_DROP;
}

/* What was shown where that is not what the phase is for. */
static const struct {
    enum phase phase;
    const char *method, *claim;
} others[] = {
    {PHASE_OPENS, "list", "every server lists every object"},
    {PHASE_WRITTEN, "read", "every server writes with the key of the others"},
    {PHASE_VERIFY, "list", "every object was rewritten twice"},
    {PHASE_FINAL, "list", "every server lists every object still"},
};

/* What the proof says: of the drops, that is the watch. */
static const char *claim_of(enum operation_kind kind, const struct cluster_proof *p)
{
    enum phase phase = p->phase;
    bool drops = phase == PHASE_DROP || phase == PHASE_RETURN;
    for (size_t i = 0; i < array_len(others); i++)
        if (others[i].phase == phase && strcmp(others[i].method, p->method) == 0)
            return others[i].claim;
    return drops ? "no new write is under a key that goes" : phase_claim(kind, phase);
}

static int servers_text(const struct cluster_proof *p, struct buf *out, struct error *err)
{
    int rc = 0;
    *out = (struct buf)BUF_INIT(SERVERS_MAX);
    for (size_t i = 0; i < p->servers_count && rc == 0; i++)
        rc = buf_addf(out, err, "%s%s %s", i ? ", " : "", p->servers[i].server,
                      proof_word(p, p->servers[i].state));
    return rc;
}

static void texts_free(struct proof_texts *texts)
{
    for (size_t i = 0; texts && i < CLUSTER_PROOFS_MAX; i++)
        buf_free(&texts[i].servers);
    free(texts);
}

static int add_proof(const struct cluster_snapshot *s, const struct cluster_proof *p, struct proof_texts *t,
                     const char **cells, struct error *err)
{
    snprintf(t->revision, CELL_MAX, "-");
    snprintf(t->values, CELL_MAX, "-");
    snprintf(t->age, AGE_TEXT_MAX, "-");
    if (p->revision > 0)
        snprintf(t->revision, CELL_MAX, "%" PRId64, p->revision);
    if (p->values > 0 && is_snapshot(p->phase))
        format_size(p->values, t->values);
    else if (p->values > 0)
        format_count(p->values, t->values);
    if (p->time_ms > 0)
        format_age(s->now_ms - p->time_ms, t->age);
    int rc = servers_text(p, &t->servers, err);
    const char *row[COLUMNS] = {claim_of(s->rotation.op.kind, p),
                                *p->method ? p->method : "-",
                                proof_word(p, p->state),
                                t->revision,
                                t->values,
                                t->age,
                                buf_str(&t->servers)};
    memcpy(cells, row, sizeof(row));
    return rc;
}

/* Reasons, and where the snapshots are. */
static int add_lines(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < s->proofs.proofs_count && rc == 0; i++) {
        const struct cluster_proof *p = &s->proofs.proofs[i];
        rc = proof_trouble(p, out, err);
        for (size_t k = 0; k < p->servers_count && rc == 0; k++)
            if (*p->servers[k].why && !strstr(p->why, p->servers[k].why))
                rc = buf_addf(out, err, "  %s: %s\n", p->servers[k].server, p->servers[k].why);
        if (rc == 0 && is_snapshot(p->phase) && p->state == PROOF_MADE && *p->why)
            rc = buf_addf(out, err, "Snapshot: %s\n", p->why);
    }
    return rc;
}

int render_proofs(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    static const char *const head[COLUMNS] = {"Proof",  "Method", "State",  "Revision",
                                              "Values", "Age",    "Servers"};
    const char *cells[(CLUSTER_PROOFS_MAX + 1) * COLUMNS];
    if (!s->has_proofs || s->proofs.proofs_count == 0)
        return 0;
    struct proof_texts *texts = calloc(CLUSTER_PROOFS_MAX, sizeof(*texts));
    if (!texts)
        return error_no_memory(err);
    memcpy(cells, head, sizeof(head));
    int rc = 0;
    for (size_t i = 0; i < s->proofs.proofs_count && rc == 0; i++)
        rc = add_proof(s, &s->proofs.proofs[i], &texts[i], cells + (i + 1) * COLUMNS, err);
    if (rc == 0)
        rc = table_render(cells, s->proofs.proofs_count + 1, COLUMNS, true, out, err);
    texts_free(texts);
    return rc == 0 ? add_lines(s, out, err) : rc;
}
