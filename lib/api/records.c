#include <api/records.h>

#include <stdlib.h>
#include <string.h>

#include <json/json.h>

#define ROOT      "/secrets-encrypt/"
#define VALUE_MAX (4 * 1024 * 1024)
#define BYTES_MAX (14 * 1024 * 1024) /* of all of them: an answer has to take them */

bool record_travels(int kind)
{
    return kind > CLUSTER_KEY_ALL && kind != CLUSTER_KEY_REQUEST && kind != CLUSTER_KEY_CHECKS;
}

/* ---------- one record ---------- */

struct record *record_ref(struct record *r)
{
    __atomic_add_fetch(&r->references, 1, __ATOMIC_RELAXED);
    return r;
}

void record_unref(struct record *r)
{
    if (!r || __atomic_sub_fetch(&r->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(r->key);
    free(r->value);
    free(r->why);
    free(r);
}

static void record_unrefp(struct record **r)
{
    record_unref(*r);
}

/* The sealed config of a bundle, the sealed key in escrow: nobody outside opens them, and they are most of
 * it. An empty box stays, as a reader wants one. */
static int without_box(const char *body, size_t len, struct buf *out, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    int rc = json_parse(body, len, "a sealed record", &root, err);
    if (rc == 0)
        rc = json_set(root, "box", json_new_object(), err);
    return rc == 0 ? json_print(root, out, err) : rc;
}

static int copy_value(const struct snapshot_input *in, struct record *r, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(VALUE_MAX);
    bool sealed = in->kind == CLUSTER_KEY_BUNDLE || in->kind == CLUSTER_KEY_ESCROW;
    int rc = sealed ? without_box(in->body, in->len, &out, err) : buf_add(&out, in->body, in->len, err);
    if (rc < 0)
        return rc;
    r->len = out.len;
    r->value = out.data ? take(out.data) : strdup("");
    return r->value ? 0 : error_no_memory(err);
}

int record_new(const struct snapshot_input *in, struct record **ret, struct error *err)
{
    _cleanup_(record_unrefp) struct record *r = calloc(1, sizeof(*r));
    if (!r)
        return error_no_memory(err);
    r->references = 1;
    r->create_revision = in->create_revision;
    r->mod_revision = in->mod_revision;
    r->key = strdup(in->key);
    int rc = in->body ? copy_value(in, r, err) : 0;
    if (rc == 0 && !in->body)
        r->why = strdup(in->why && *in->why ? in->why : "not authentic");
    if (rc < 0)
        return rc;
    if (!r->key || (!in->body && !r->why))
        return error_no_memory(err);
    *ret = take(r);
    return 0;
}

/* ---------- sets ---------- */

void records_free(struct records *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        record_unref(r->items[i]);
    free(r->items);
    memset(r, 0, sizeof(*r));
}

int records_copy(const struct records *from, struct records *ret, struct error *err)
{
    struct record **items = calloc(from->count + 1, sizeof(*items));
    if (!items)
        return error_no_memory(err);
    for (size_t i = 0; i < from->count; i++)
        items[i] = record_ref(from->items[i]);
    *ret = (struct records){items, from->count, from->bytes};
    return 0;
}

/* Where the key stands, or would. */
static size_t place_of(const struct records *r, const char *key, bool *ret_there)
{
    size_t low = 0, high = r->count;
    *ret_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(r->items[middle]->key, key);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct record *records_find(const struct records *r, const char *key)
{
    bool there;
    size_t i = place_of(r, key, &there);
    return there ? r->items[i] : NULL;
}

static size_t size_of(const struct record *r)
{
    return strlen(r->key) + r->len + 64;
}

static void take_out(struct records *r, size_t i)
{
    r->bytes -= size_of(r->items[i]);
    record_unref(r->items[i]);
    memmove(r->items + i, r->items + i + 1, (r->count - i - 1) * sizeof(r->items[0]));
    r->count--;
}

/* The set has room for one more; the reference is the set's from now on. */
static void put_in(struct records *r, struct record *v)
{
    bool there;
    size_t i = place_of(r, v->key, &there);
    if (there)
        take_out(r, i);
    memmove(r->items + i + 1, r->items + i, (r->count - i) * sizeof(r->items[0]));
    r->items[i] = v;
    r->count++;
    r->bytes += size_of(v);
}

int records_snapshot(const struct records *r, const char *cluster, int64_t revision, int64_t now_ms,
                     struct cluster_snapshot *ret, struct error *err)
{
    _cleanup_free_ struct snapshot_input *inputs = calloc(r->count + 1, sizeof(*inputs));
    if (!inputs)
        return error_no_memory(err);
    for (size_t i = 0; i < r->count; i++)
        inputs[i] = (struct snapshot_input){.key = r->items[i]->key,
                                            .body = r->items[i]->value,
                                            .len = r->items[i]->len,
                                            .why = r->items[i]->why,
                                            .create_revision = r->items[i]->create_revision,
                                            .mod_revision = r->items[i]->mod_revision};
    return snapshot_build(cluster, revision, now_ms, inputs, r->count, ret, err);
}

/* ---------- on the wire ---------- */

int records_to_messages(struct record *const *items, size_t count, const char *cluster,
                        Secretsencrypt__V1__Record ***ret, struct error *err)
{
    size_t prefix = strlen(ROOT) + strlen(cluster) + 1;
    /* One piece of memory: the pointers, then what they point to. */
    size_t pointers = (count + 1) * sizeof(**ret);
    Secretsencrypt__V1__Record **list = malloc(pointers + count * sizeof(***ret));
    if (!list)
        return error_no_memory(err);
    Secretsencrypt__V1__Record *messages = (void *)((char *)list + pointers);
    for (size_t i = 0; i < count; i++) {
        list[i] = &messages[i];
        secretsencrypt__v1__record__init(list[i]);
        list[i]->key = items[i]->key + prefix;
        list[i]->value.data = (uint8_t *)items[i]->value;
        list[i]->value.len = items[i]->len;
        list[i]->why = items[i]->why ? items[i]->why : (char *)"";
        list[i]->create_revision = items[i]->create_revision;
        list[i]->mod_revision = items[i]->mod_revision;
    }
    *ret = list;
    return 0;
}

static int key_of(const char *cluster, const char *rest, char out[CLUSTER_KEY_PATH_MAX], struct error *err)
{
    int n = snprintf(out, CLUSTER_KEY_PATH_MAX, ROOT "%s/%s", cluster, rest);
    return n > 0 && n < CLUSTER_KEY_PATH_MAX
               ? 0
               : error_set(err, ERR_INVALID, "the coordinator sent a key of %zu bytes", strlen(rest));
}

static int from_message(const char *cluster, const Secretsencrypt__V1__Record *m, struct record **ret,
                        struct error *err)
{
    char key[CLUSTER_KEY_PATH_MAX];
    int rc = key_of(cluster, m->key, key, err);
    if (rc < 0)
        return rc;
    if (m->value.len > VALUE_MAX)
        return error_set(err, ERR_TOO_LARGE, "the coordinator sent %s with %zu bytes", m->key, m->value.len);
    const struct snapshot_input in = {.key = key,
                                      .body = *m->why         ? NULL
                                              : m->value.data ? (const char *)m->value.data
                                                              : "",
                                      .len = m->value.len,
                                      .why = m->why,
                                      .create_revision = m->create_revision,
                                      .mod_revision = m->mod_revision};
    return record_new(&in, ret, err);
}

static int apply_items(struct records *r, const char *cluster, Secretsencrypt__V1__Record *const *items,
                       size_t count, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct record *v = NULL;
        rc = from_message(cluster, items[i], &v, err);
        if (rc == 0)
            put_in(r, v);
        if (rc == 0 && r->bytes > BYTES_MAX)
            rc = error_set(err, ERR_TOO_LARGE, "the cluster's records take more than %d bytes", BYTES_MAX);
    }
    return rc;
}

static int apply_deleted(struct records *r, const char *cluster, char *const *deleted, size_t count,
                         struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        char key[CLUSTER_KEY_PATH_MAX];
        bool there = false;
        rc = key_of(cluster, deleted[i], key, err);
        size_t at = rc == 0 ? place_of(r, key, &there) : 0;
        if (there)
            take_out(r, at);
    }
    return rc;
}

int records_apply(struct records *r, const char *cluster, bool whole,
                  Secretsencrypt__V1__Record *const *items, size_t count, char *const *deleted,
                  size_t deleted_count, struct error *err)
{
    _cleanup_(records_free) struct records next = {0};
    size_t old = whole ? 0 : r->count;
    if (old + count > API_RECORDS_MAX)
        return error_set(err, ERR_TOO_LARGE, "the coordinator sent more than %d records", API_RECORDS_MAX);
    next.items = calloc(old + count + 1, sizeof(*next.items));
    if (!next.items)
        return error_no_memory(err);
    for (size_t i = 0; i < old; i++)
        next.items[i] = record_ref(r->items[i]);
    next.count = old;
    next.bytes = whole ? 0 : r->bytes;
    int rc = apply_deleted(&next, cluster, deleted, deleted_count, err);
    if (rc == 0)
        rc = apply_items(&next, cluster, items, count, err);
    if (rc < 0)
        return rc;
    records_free(r);
    *r = next;
    next = (struct records){0};
    return 0;
}
