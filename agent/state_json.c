#include "state_json.h"

#include <stddef.h>

#include <agent/decide.h>
#include <base/cleanup.h>
#include <cluster/codec.h>
#include <json/json.h>

#define STATE_VERSION 1

/* Enums are written as words. NULL for a value that has none ends the search for a word. */
typedef const char *word_fn(int value);
static const char *word_stage(int v)
{
    return stage_name((enum stage)v);
}
static const char *word_kind(int v)
{
    return order_kind_name((enum order_kind)v);
}
static const char *word_state(int v)
{
    return order_state_name((enum order_state)v);
}
static const char *word_step(int v)
{
    return job_step_name((enum job_step)v);
}
static const char *word_mark(int v)
{
    static const char *const words[] = {"never", "none", "one", "many"};
    return v >= 0 && v < (int)array_len(words) ? words[v] : NULL;
}

/* One table a struct names its members, for both directions. */
enum field_type { F_INT, F_TEXT, F_BOOL, F_WORD, F_STRUCT };
struct field {
    const char *name; /* NULL ends the table */
    enum field_type type;
    size_t offset;
    size_t size;                /* TEXT */
    word_fn *word;              /* WORD */
    const struct field *fields; /* STRUCT */
    bool later;                 /* may be missing: an earlier version did not write it */
};
#define INT(s, m)                                                                                            \
    {                                                                                                        \
#m, F_INT, offsetof(struct s, m), 0, NULL, NULL, false                                               \
    }
#define TEXT(s, m)                                                                                           \
    {                                                                                                        \
#m, F_TEXT, offsetof(struct s, m), sizeof(((struct s *)0)->m), NULL, NULL, false                     \
    }
#define LATER_INT(s, m)                                                                                      \
    {                                                                                                        \
        .name = #m, .type = F_INT, .offset = offsetof(struct s, m), .later = true                            \
    }
#define LATER_TEXT(s, m)                                                                                     \
    {                                                                                                        \
        .name = #m, .type = F_TEXT, .offset = offsetof(struct s, m), .size = sizeof(((struct s *)0)->m),     \
        .later = true                                                                                        \
    }
#define BOOL(s, m)                                                                                           \
    {                                                                                                        \
#m, F_BOOL, offsetof(struct s, m), 0, NULL, NULL, false                                              \
    }
#define WORD(s, m, w)                                                                                        \
    {                                                                                                        \
#m, F_WORD, offsetof(struct s, m), 0, (w), NULL, false                                               \
    }
#define SUB(s, m, f)                                                                                         \
    {                                                                                                        \
#m, F_STRUCT, offsetof(struct s, m), 0, NULL, (f), false                                             \
    }
#define END                                                                                                  \
    {                                                                                                        \
        NULL, F_INT, 0, 0, NULL, NULL, false                                                                 \
    }

static const struct field process_fields[] = {INT(process_id, pid), INT(process_id, start_ticks),
                                              TEXT(process_id, boot), END};

static const struct field mark_fields[] = {WORD(mark, kind, word_mark),
                                           BOOL(mark, by_pid_file),
                                           TEXT(mark, boot),
                                           INT(mark, boot_ms),
                                           SUB(mark, process, process_fields),
                                           END};

static const struct field version_fields[] = {INT(version, generation), TEXT(version, hash),
                                              WORD(version, stage, word_stage), END};

static const struct field order_fields[] = {INT(cluster_order, id),
                                            WORD(cluster_order, kind, word_kind),
                                            TEXT(cluster_order, operation),
                                            INT(cluster_order, generation),
                                            TEXT(cluster_order, hash),
                                            WORD(cluster_order, stage, word_stage),
                                            INT(cluster_order, fence),
                                            INT(cluster_order, given_ms),
                                            LATER_INT(cluster_order, from),
                                            LATER_TEXT(cluster_order, call),
                                            END};

static const struct field job_fields[] = {WORD(job, step, word_step),
                                          SUB(job, order, order_fields),
                                          WORD(job, state, word_state),
                                          TEXT(job, why),
                                          TEXT(job, undo_why),
                                          SUB(job, mark, mark_fields),
                                          SUB(job, child, process_fields),
                                          END};

static const struct field record_fields[] = {SUB(file_record, written, version_fields),
                                             INT(file_record, written_ms),
                                             INT(file_record, written_ctime_us),
                                             SUB(file_record, mark, mark_fields),
                                             SUB(file_record, intent, version_fields),
                                             SUB(file_record, previous, version_fields),
                                             END};

static const struct field loaded_fields[] = {SUB(loaded, process, process_fields), TEXT(loaded, hash),
                                             INT(loaded, generation), END};

static const struct field sighting_fields[] = {TEXT(sighting, hash), INT(sighting, since_ms),
                                               INT(sighting, ctime_us), SUB(sighting, mark, mark_fields),
                                               END};

static const struct field state_fields[] = {INT(agent_state, seq),
                                            INT(agent_state, fence),
                                            INT(agent_state, restarts),
                                            BOOL(agent_state, fresh),
                                            INT(agent_state, forgotten),
                                            WORD(agent_state, stage, word_stage),
                                            SUB(agent_state, job, job_fields),
                                            SUB(agent_state, file, record_fields),
                                            SUB(agent_state, loaded, loaded_fields),
                                            SUB(agent_state, seen, sighting_fields),
                                            END};

static int encode(const struct field *fields, const char *base, struct json *obj, struct error *err);

static int encode_field(const struct field *f, const char *at, struct json *obj, struct error *err)
{
    switch (f->type) {
    case F_INT:
        return json_set_int(obj, f->name, *(const int64_t *)(const void *)at, err);
    case F_TEXT:
        return json_set_string(obj, f->name, at, err);
    case F_BOOL:
        return json_set_bool(obj, f->name, *(const bool *)(const void *)at, err);
    case F_WORD: {
        const char *word = f->word(*(const int *)(const void *)at);
        return word ? json_set_string(obj, f->name, word, err)
                    : error_set(err, ERR_INTERNAL, "%s: a value without a name", f->name);
    }
    case F_STRUCT: {
        _cleanup_(json_freep) struct json *sub = json_new_object();
        if (!sub)
            return error_no_memory(err);
        int rc = encode(f->fields, at, sub, err);
        return rc < 0 ? rc : json_set(obj, f->name, take(sub), err);
    }
    }
    return error_set(err, ERR_INTERNAL, "%s: a field without a type", f->name);
}

static int encode(const struct field *fields, const char *base, struct json *obj, struct error *err)
{
    int rc = 0;
    for (const struct field *f = fields; rc == 0 && f->name; f++)
        rc = encode_field(f, base + f->offset, obj, err);
    return rc;
}

static int decode(const struct field *fields, char *base, const struct json *obj, struct error *err);

static int decode_word(const struct field *f, char *at, const struct json *obj, struct error *err)
{
    char word[64];
    int rc = json_need_string(obj, f->name, word, sizeof(word), err);
    if (rc < 0)
        return rc;
    const char *name = NULL;
    for (int v = 0; v < 64 && (name = f->word(v)); v++) {
        if (strcmp(name, word) == 0) {
            *(int *)(void *)at = v;
            return 0;
        }
    }
    return error_set(err, ERR_INVALID, "%s: '%s' is unknown", f->name, word);
}

static int decode_field(const struct field *f, char *at, const struct json *obj, struct error *err)
{
    switch (f->type) {
    case F_INT:
        return json_need_int(obj, f->name, (int64_t *)(void *)at, err);
    case F_TEXT:
        return json_need_string(obj, f->name, at, f->size, err);
    case F_BOOL:
        return json_need_bool(obj, f->name, (bool *)(void *)at, err);
    case F_WORD:
        return decode_word(f, at, obj, err);
    case F_STRUCT:
        return decode(f->fields, at, json_get(obj, f->name), err);
    }
    return error_set(err, ERR_INTERNAL, "%s: a field without a type", f->name);
}

static int decode(const struct field *fields, char *base, const struct json *obj, struct error *err)
{
    int rc = 0;
    for (const struct field *f = fields; rc == 0 && f->name; f++)
        if (!f->later || json_get(obj, f->name))
            rc = decode_field(f, base + f->offset, obj, err);
    return rc;
}

static int encode_head(struct json *root, const char *cluster, const char *server, struct error *err)
{
    int rc = json_set_int(root, "version", STATE_VERSION, err);
    if (rc == 0)
        rc = json_set_string(root, "cluster", cluster, err);
    return rc < 0 ? rc : json_set_string(root, "server", server, err);
}

int state_encode(const struct agent_state *s, const char *cluster, const char *server, struct buf *out,
                 struct error *err)
{
    _cleanup_(json_freep) struct json *root = json_new_object();
    if (!root)
        return error_no_memory(err);
    int rc = encode_head(root, cluster, server, err);
    if (rc == 0)
        rc = encode(state_fields, (const char *)s, root, err);
    return rc < 0 ? rc : json_print(root, out, err);
}

static int check_head(const struct json *root, const char *cluster, const char *server, struct error *err)
{
    if (json_int(json_get(root, "version"), 0) != STATE_VERSION)
        return error_set(err, ERR_INVALID, "version: not %d", STATE_VERSION);
    if (strcmp(json_string(json_get(root, "cluster"), ""), cluster) != 0)
        return error_set(err, ERR_INVALID, "it is another cluster's");
    if (strcmp(json_string(json_get(root, "server"), ""), server) != 0)
        return error_set(err, ERR_INVALID, "it is another server's");
    return 0;
}

int state_decode(const char *text, size_t len, const char *what, const char *cluster, const char *server,
                 struct agent_state *ret, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    int rc = json_parse(text, len, what, &root, err);
    if (rc < 0)
        return rc;
    struct agent_state s;
    memset(&s, 0, sizeof(s));
    rc = check_head(root, cluster, server, err);
    if (rc == 0)
        rc = decode(state_fields, (char *)&s, root, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", what);
    *ret = s;
    return 0;
}
