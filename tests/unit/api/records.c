/* Records from the state store, to the wire and back: the snapshot that comes out is the same, to the byte of
 * `status -o json`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <api/records.h>
#include <base/text.h>
#include <report/explain.h>
#include <report/status.h>

#define NOW  1700000100000
#define ROOT "/secrets-encrypt/demo/"
#define HASH "1111111111111111111111111111111111111111111111111111111111111111"

#define INPUTS_MAX 64

struct store {
    struct snapshot_input inputs[INPUTS_MAX];
    struct buf bodies[INPUTS_MAX];
    char keys[INPUTS_MAX][CLUSTER_KEY_PATH_MAX];
    size_t count;
};

static struct buf *add(struct store *s, enum cluster_key kind, const char *name)
{
    size_t i = s->count++;
    s->bodies[i] = (struct buf)BUF_INIT(1024 * 1024);
    cluster_key_path(s->keys[i], "demo", kind, name);
    s->inputs[i] = (struct snapshot_input){.key = s->keys[i],
                                           .kind = kind,
                                           .name = name,
                                           .create_revision = 10 + (int64_t)i,
                                           .mod_revision = 50 + (int64_t)i};
    return &s->bodies[i];
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct snapshot_input *)a)->key, ((const struct snapshot_input *)b)->key);
}

/* As a view gives them: sorted. */
static void finish(struct store *s)
{
    for (size_t i = 0; i < s->count; i++) {
        s->inputs[i].body = buf_str(&s->bodies[i]);
        s->inputs[i].len = s->bodies[i].len;
    }
    qsort(s->inputs, s->count, sizeof(s->inputs[0]), by_key);
}

static void add_server(struct store *s, const char *name)
{
    struct cluster_report *r = calloc(1, sizeof(*r));
    text_copy(r->server, sizeof(r->server), name);
    text_copy(r->hash, sizeof(r->hash), HASH);
    text_copy(r->driver, sizeof(r->driver), "exec");
    r->time_ms = NOW - 1000;
    r->ready = r->loaded_known = true;
    r->generation = r->loaded_generation = 1;
    assert_int_equal(cluster_report_encode(r, add(s, CLUSTER_KEY_REPORT, name), NULL), 0);
    assert_int_equal(buf_adds(add(s, CLUSTER_KEY_STAGE, name), "start", NULL), 0);
    assert_int_equal(buf_adds(add(s, CLUSTER_KEY_HASH, name), "start-" HASH, NULL), 0);
    free(r);
}

static void add_spec(struct store *s)
{
    struct cluster_spec *v = calloc(1, sizeof(*v));
    v->servers_count = 2;
    text_copy(v->servers[0].name, CLUSTER_NAME_MAX, "s1");
    text_copy(v->servers[0].api, CLUSTER_URL_MAX, "https://10.0.0.1:6443");
    text_copy(v->servers[1].name, CLUSTER_NAME_MAX, "s2");
    text_copy(v->servers[1].api, CLUSTER_URL_MAX, "https://10.0.0.2:6443");
    v->resources_count = 1;
    text_copy(v->resources[0], CLUSTER_KEY_NAME_MAX, "secrets");
    assert_int_equal(cluster_spec_encode(v, add(s, CLUSTER_KEY_SPEC, ""), NULL), 0);
    free(v);
}

static void add_rotation(struct store *s)
{
    struct cluster_rotation *v = calloc(1, sizeof(*v));
    v->generation = v->issued = 1;
    text_copy(v->hash, sizeof(v->hash), HASH);
    text_copy(v->write_key, sizeof(v->write_key), "aescbckey");
    text_copy(v->op.id, sizeof(v->op.id), "op-1");
    v->op.kind = OP_ROTATE_KEYS;
    v->op.state = OP_STATE_HALTED;
    text_copy(v->op.why, sizeof(v->op.why), "s2 does not come back \xe2\x80\x94 \"look\"");
    assert_int_equal(cluster_rotation_encode(v, add(s, CLUSTER_KEY_ROTATION, ""), NULL), 0);
    free(v);
}

static void add_bundle(struct store *s)
{
    char name[24] = "00000000000000000001";
    struct cluster_bundle v = {.generation = 1, .created_ms = NOW - 5000};
    text_copy(v.hash, sizeof(v.hash), HASH);
    v.box = strdup("{\"sealed\":\"c2VjcmV0IGJveA==\"}");
    v.box_len = strlen(v.box);
    assert_int_equal(cluster_bundle_encode(&v, add(s, CLUSTER_KEY_BUNDLE, name), NULL), 0);
    cluster_bundle_free(&v);
    s->inputs[s->count - 1].name = "";
}

static void add_request(struct store *s)
{
    struct cluster_request *v = calloc(1, sizeof(*v));
    text_copy(v->id, sizeof(v->id), "r-1");
    assert_int_equal(cluster_request_encode(v, add(s, CLUSTER_KEY_REQUEST, "r-1"), NULL), 0);
    free(v);
}

static struct store *demo(void)
{
    struct store *s = calloc(1, sizeof(*s));
    add_spec(s);
    add_rotation(s);
    add_bundle(s);
    add_server(s, "s1");
    add_server(s, "s2");
    add_request(s);
    assert_int_equal(buf_adds(add(s, CLUSTER_KEY_LEADER, ""), "s1", NULL), 0);
    finish(s);
    return s;
}

static void free_store(struct store *s)
{
    for (size_t i = 0; i < s->count; i++)
        buf_free(&s->bodies[i]);
    free(s);
}

static void render(const struct cluster_snapshot *s, struct buf *out)
{
    struct key_table *keys = calloc(1, sizeof(*keys));
    assert_int_equal(render_status_json(s, keys, out, NULL), 0);
    assert_int_equal(render_status_wide(s, keys, out, NULL), 0);
    assert_int_equal(render_explain_json(s, out, NULL), 0);
    free(keys);
}

/* What the serving side makes of a store. */
static void take_over(const struct store *s, struct records *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->items = calloc(s->count, sizeof(*ret->items));
    for (size_t i = 0; i < s->count; i++)
        if (record_travels(s->inputs[i].kind))
            assert_int_equal(record_new(&s->inputs[i], &ret->items[ret->count++], NULL), 0);
}

/* Packed and unpacked, as between two machines. */
static Secretsencrypt__V1__WatchReply *carry(struct record *const *items, size_t count, char **deleted,
                                             size_t deleted_count)
{
    Secretsencrypt__V1__WatchReply m = SECRETSENCRYPT__V1__WATCH_REPLY__INIT;
    Secretsencrypt__V1__Record **list = NULL;
    assert_int_equal(records_to_messages(items, count, "demo", &list, NULL), 0);
    m.records = list;
    m.n_records = count;
    m.deleted = deleted;
    m.n_deleted = deleted_count;
    size_t size = secretsencrypt__v1__watch_reply__get_packed_size(&m);
    uint8_t *bytes = malloc(size + 1);
    secretsencrypt__v1__watch_reply__pack(&m, bytes);
    Secretsencrypt__V1__WatchReply *out = secretsencrypt__v1__watch_reply__unpack(NULL, size, bytes);
    assert_non_null(out);
    free(bytes);
    free(list);
    return out;
}

static int apply(struct records *r, bool whole, const Secretsencrypt__V1__WatchReply *m, struct error *err)
{
    return records_apply(r, "demo", whole, m->records, m->n_records, m->deleted, m->n_deleted, err);
}

static void the_snapshot_is_the_same(void **state)
{
    (void)state;
    struct store *store = demo();
    struct records here, there = {0};
    struct cluster_snapshot *direct = calloc(1, sizeof(*direct)), *remote = calloc(1, sizeof(*remote));
    _cleanup_(buf_freep) struct buf a = BUF_INIT(1 << 20);
    _cleanup_(buf_freep) struct buf b = BUF_INIT(1 << 20);
    take_over(store, &here);
    Secretsencrypt__V1__WatchReply *m = carry(here.items, here.count, NULL, 0);
    assert_int_equal(apply(&there, true, m, NULL), 0);
    assert_int_equal(snapshot_build("demo", 99, NOW, store->inputs, store->count, direct, NULL), 0);
    assert_int_equal(records_snapshot(&there, "demo", 99, NOW, remote, NULL), 0);
    render(direct, &a);
    render(remote, &b);
    assert_true(a.len > 1000);
    assert_string_equal(buf_str(&a), buf_str(&b));
    assert_int_equal(remote->bundles_count, 1);
    assert_int_equal(remote->servers[1].report_mod, direct->servers[1].report_mod);
    secretsencrypt__v1__watch_reply__free_unpacked(m, NULL);
    records_free(&here);
    records_free(&there);
    free(direct);
    free(remote);
    free_store(store);
}

/* Neither what is sealed nor what others asked for leaves the server. */
static void boxes_and_requests_stay(void **state)
{
    (void)state;
    struct store *store = demo();
    struct records here;
    size_t requests = 0;
    take_over(store, &here);
    for (size_t i = 0; i < here.count; i++) {
        assert_null(strstr(here.items[i]->value, "c2VjcmV0"));
        requests += strstr(here.items[i]->key, "/requests/") != NULL;
    }
    assert_int_equal(requests, 0);
    assert_false(record_travels(CLUSTER_KEY_REQUEST));
    assert_false(record_travels(-1));
    records_free(&here);
    free_store(store);
}

/* What is not authentic stays so, with its reason, on the other side. */
static void what_is_not_authentic_is_told(void **state)
{
    (void)state;
    struct store *store = demo();
    struct records here, there = {0};
    struct error err = ERROR_INIT;
    struct cluster_snapshot *s = calloc(1, sizeof(*s));
    for (size_t i = 0; i < store->count; i++)
        if (store->inputs[i].kind == CLUSTER_KEY_ROTATION) {
            store->inputs[i].body = NULL;
            store->inputs[i].why = "its signature is forged";
        }
    take_over(store, &here);
    Secretsencrypt__V1__WatchReply *m = carry(here.items, here.count, NULL, 0);
    assert_int_equal(apply(&there, true, m, NULL), 0);
    assert_int_equal(records_snapshot(&there, "demo", 99, NOW, s, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "its signature is forged"));
    secretsencrypt__v1__watch_reply__free_unpacked(m, NULL);
    records_free(&here);
    records_free(&there);
    free(s);
    free_store(store);
}

static void changes_are_put_on_top(void **state)
{
    (void)state;
    struct store *store = demo();
    struct records here, there = {0};
    struct record *changed = NULL;
    char *deleted[] = {(char *)"leader/holder", (char *)"servers/none/report"};
    take_over(store, &here);
    Secretsencrypt__V1__WatchReply *m = carry(here.items, here.count, NULL, 0);
    assert_int_equal(apply(&there, true, m, NULL), 0);
    secretsencrypt__v1__watch_reply__free_unpacked(m, NULL);
    size_t count = there.count;
    const struct snapshot_input in = {.key = ROOT "servers/s2/stage",
                                      .kind = CLUSTER_KEY_STAGE,
                                      .body = "prepare",
                                      .len = 7,
                                      .mod_revision = 200,
                                      .create_revision = 5};
    assert_int_equal(record_new(&in, &changed, NULL), 0);
    m = carry(&changed, 1, deleted, 2);
    assert_int_equal(apply(&there, false, m, NULL), 0);
    assert_int_equal(there.count, count - 1);
    assert_null(records_find(&there, ROOT "leader/holder"));
    assert_string_equal(records_find(&there, ROOT "servers/s2/stage")->value, "prepare");
    assert_int_equal(records_find(&there, ROOT "servers/s2/stage")->mod_revision, 200);
    for (size_t i = 1; i < there.count; i++)
        assert_true(strcmp(there.items[i - 1]->key, there.items[i]->key) < 0);
    secretsencrypt__v1__watch_reply__free_unpacked(m, NULL);
    record_unref(changed);
    records_free(&here);
    records_free(&there);
    free_store(store);
}

/* Somebody who is no coordinator may send anything: refused, and what was known stays. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    struct records r = {0};
    struct error err = ERROR_INIT;
    char key[600];
    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = 0;
    Secretsencrypt__V1__Record m = SECRETSENCRYPT__V1__RECORD__INIT, *one = &m;
    m.key = (char *)"spec";
    assert_int_equal(records_apply(&r, "demo", true, &one, 1, NULL, 0, NULL), 0);
    m.key = key;
    assert_int_equal(records_apply(&r, "demo", false, &one, 1, NULL, 0, &err), ERR_INVALID);
    assert_int_equal(r.count, 1);
    m.key = (char *)"rotation";
    m.value.len = (size_t)64 << 20; /* not looked at */
    m.value.data = (uint8_t *)key;
    assert_int_equal(records_apply(&r, "demo", false, &one, 1, NULL, 0, &err), ERR_TOO_LARGE);
    size_t many = API_RECORDS_MAX + 1;
    Secretsencrypt__V1__Record **list = calloc(many, sizeof(*list));
    for (size_t i = 0; i < many; i++)
        list[i] = &m;
    assert_int_equal(records_apply(&r, "demo", true, list, many, NULL, 0, &err), ERR_TOO_LARGE);
    assert_int_equal(r.count, 1);
    free(list);
    records_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_snapshot_is_the_same),      cmocka_unit_test(boxes_and_requests_stay),
        cmocka_unit_test(what_is_not_authentic_is_told), cmocka_unit_test(changes_are_put_on_top),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
