/* A snapshot that is refreshed is the one that is built from nothing, whatever happened to the keys
 * meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <cluster/snapshot.h>

#define P        "/secrets-encrypt/demo/"
#define SERVERS  7
#define BODY_MAX 2048
#define TURNS    20000

/* --- a store of few keys --- */

struct key {
    char path[96], body[BODY_MAX];
    bool there, forged;
    int64_t create, mod;
};

struct world {
    struct key keys[64];
    size_t count;
    int64_t revision;
    uint64_t random; /* xorshift64 */
};

static size_t roll(struct world *w, size_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (size_t)(w->random >> 11) % below;
}

static void add_key(struct world *w, const char *format, ...) _printf_(2, 3);
static void add_key(struct world *w, const char *format, ...)
{
    struct key *k = &w->keys[w->count++];
    va_list ap;
    va_start(ap, format);
    vsnprintf(k->path, sizeof(k->path), format, ap);
    va_end(ap);
}

/* In etcd's order: by the key's bytes. */
static void make_keys(struct world *w)
{
    for (int i = 1; i <= 5; i++)
        add_key(w, P "bundles/%020d", i);
    add_key(w, P "keys");
    add_key(w, P "leader/candidates/s1");
    add_key(w, P "leader/holder");
    for (int i = 1; i <= SERVERS; i++)
        add_key(w, P "orders/s%d", i);
    add_key(w, P "proofs");
    add_key(w, P "reencrypt");
    add_key(w, P "requests/r1");
    add_key(w, P "requests/r2");
    add_key(w, P "rotation");
    for (int i = 1; i <= SERVERS; i++) {
        add_key(w, P "servers/s%d/hash", i);
        add_key(w, P "servers/s%d/report", i);
        add_key(w, P "servers/s%d/stage", i);
    }
    add_key(w, P "spec");
}

static void body_of_spec(struct world *w, char out[BODY_MAX])
{
    size_t count = roll(w, SERVERS), first = roll(w, SERVERS), n = 0;
    n += (size_t)snprintf(out, BODY_MAX, "{\"auto_repair\":%s,\"servers\":[", roll(w, 2) ? "true" : "false");
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(out + n, BODY_MAX - n, "%s{\"name\":\"s%zu\"}", i ? "," : "",
                              (first + i) % SERVERS + 1);
    snprintf(out + n, BODY_MAX - n, "]}");
}

static void body_of_proofs(struct world *w, char out[BODY_MAX])
{
    size_t count = roll(w, 4), n = 0;
    n += (size_t)snprintf(out, BODY_MAX, "{\"operation\":\"op%zu\",\"proofs\":[", roll(w, 2));
    for (size_t i = 0; i < count; i++) {
        n += (size_t)snprintf(out + n, BODY_MAX - n, "%s{\"phase\":\"verify\",\"step\":%zu,\"servers\":[",
                              i ? "," : "", roll(w, 9));
        for (size_t k = 0, rows = roll(w, 4); k < rows; k++)
            n += (size_t)snprintf(out + n, BODY_MAX - n, "%s{\"server\":\"s%zu\",\"why\":\"%zu\"}",
                                  k ? "," : "", k, roll(w, 99999));
        n += (size_t)snprintf(out + n, BODY_MAX - n, "]}");
    }
    snprintf(out + n, BODY_MAX - n, "]}");
}

static void body_of_report(struct world *w, const char *path, char out[BODY_MAX])
{
    size_t kind = roll(w, 8);
    char server = path[strlen(P "servers/s")];
    size_t time = roll(w, 1000);
    switch (kind) {
    case 0:
        snprintf(out, BODY_MAX, "{\"server\":\"x%c\",\"hash\":\"aa\",\"time_ms\":%zu}", server, time);
        break;
    case 1:
        snprintf(out, BODY_MAX, "{\"server\":\"s%c\",\"time_ms\":%zu,\"hash\":7}", server, time);
        break;
    case 2:
        snprintf(out, BODY_MAX, "{\"server\":\"s%c\",\"hash\":\"bb\",\"file_why\":\"%zu\"}", server, time);
        break;
    default:
        snprintf(out, BODY_MAX,
                 "{\"server\":\"s%c\",\"hash\":\"aa\",\"stage\":\"prepare\",\"time_ms\":%zu,\"ready\":true}",
                 server, time);
    }
}

static void fill_body(struct world *w, struct key *k)
{
    const char *name = NULL;
    size_t n = roll(w, 1000);
    switch (cluster_key_parse(k->path, "demo", &name)) {
    case CLUSTER_KEY_SPEC:
        body_of_spec(w, k->body);
        break;
    case CLUSTER_KEY_PROOFS:
        body_of_proofs(w, k->body);
        break;
    case CLUSTER_KEY_REPORT:
        body_of_report(w, k->path, k->body);
        break;
    case CLUSTER_KEY_STAGE:
        snprintf(k->body, BODY_MAX, "%s", n % 4 ? "prepare" : "start");
        break;
    case CLUSTER_KEY_HASH:
        snprintf(k->body, BODY_MAX, "%s", n % 4 ? "prepare-aa" : "start-bb");
        break;
    case CLUSTER_KEY_ORDER:
        snprintf(k->body, BODY_MAX, n % 5 ? "{\"id\":%zu,\"kind\":\"apply\"}" : "{\"id\":\"%zu\"}", n);
        break;
    case CLUSTER_KEY_ROTATION:
        snprintf(k->body, BODY_MAX, "{\"generation\":%zu,\"op\":{\"id\":\"op%zu\"}}", n, roll(w, 2));
        break;
    case CLUSTER_KEY_BUNDLE:
        snprintf(k->body, BODY_MAX, "{\"generation\":%lld,\"hash\":\"%zu\",\"box\":{}}",
                 strtoll(name, NULL, 10), n);
        break;
    case CLUSTER_KEY_REQUEST:
        snprintf(k->body, BODY_MAX, "{\"id\":\"%s\",\"max_rate\":%zu}", name, n);
        break;
    default: /* the rest */
        snprintf(k->body, BODY_MAX, "{\"operation\":\"%zu\"}", n);
    }
}

/* A revision may write several keys. */
static void change(struct world *w)
{
    w->revision++;
    for (size_t i = 0, count = 1 + roll(w, 4); i < count; i++) {
        struct key *k = &w->keys[roll(w, w->count)];
        size_t what = roll(w, 10);
        if (k->mod == w->revision && k->there)
            continue;
        if (what < 3) { /* deleted, if it was there; it may come back in a later revision */
            k->there = false;
            continue;
        }
        k->create = k->there ? k->create : w->revision;
        k->mod = w->revision;
        k->there = true;
        if (what > 3 || !k->body[0]) /* else what was there before, once more */
            fill_body(w, k);
        k->forged = what == 9 && roll(w, 3) == 0;
    }
}

static size_t inputs_of(const struct world *w, struct snapshot_input *out)
{
    size_t n = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct key *k = &w->keys[i];
        bool forged = k->forged && !strstr(k->path, "/stage") && !strstr(k->path, "/hash");
        if (!k->there)
            continue;
        out[n++] = (struct snapshot_input){.key = k->path,
                                           .body = forged ? NULL : k->body,
                                           .len = forged ? 0 : strlen(k->body),
                                           .why = forged ? "forged" : NULL,
                                           .create_revision = k->create,
                                           .mod_revision = k->mod};
    }
    return n;
}

/* --- comparing --- */

static void same_texts(const char *what, int ra, struct buf *a, int rb, struct buf *b)
{
    assert_int_equal(ra, rb);
    if (strcmp(buf_str(a), buf_str(b)) != 0)
        fail_msg("%s: %s\n is not %s", what, buf_str(a), buf_str(b));
    buf_reset(a);
    buf_reset(b);
}

static void same_server(const struct snapshot_server *a, const struct snapshot_server *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->report_why, b->report_why);
    assert_int_equal(a->in_spec, b->in_spec);
    assert_int_equal(a->reports, b->reports);
    assert_int_equal(a->plain_keys_differ, b->plain_keys_differ);
    assert_int_equal(a->report_mod, b->report_mod);
    assert_int_equal(a->unchanged_ms, b->unchanged_ms);
    assert_int_equal(a->has_order, b->has_order);
    assert_int_equal(a->order_mod, b->order_mod);
    assert_memory_equal(&a->report, &b->report, sizeof(a->report));
    assert_memory_equal(&a->order, &b->order, sizeof(a->order));
}

static void same_lists(const struct cluster_snapshot *a, const struct cluster_snapshot *b)
{
    assert_int_equal(a->servers_count, b->servers_count);
    for (size_t i = 0; i < a->servers_count; i++)
        same_server(&a->servers[i], &b->servers[i]);
    assert_int_equal(a->bundles_count, b->bundles_count);
    for (size_t i = 0; i < a->bundles_count; i++) {
        assert_int_equal(a->bundles[i].generation, b->bundles[i].generation);
        assert_int_equal(a->bundles[i].mod, b->bundles[i].mod);
        assert_string_equal(a->bundles[i].hash, b->bundles[i].hash);
    }
    assert_int_equal(a->requests_count, b->requests_count);
    for (size_t i = 0; i < a->requests_count; i++) {
        assert_int_equal(a->requests[i].mod, b->requests[i].mod);
        assert_memory_equal(&a->requests[i].request, &b->requests[i].request, sizeof(a->requests[i].request));
    }
    assert_int_equal(a->candidates_count, b->candidates_count);
    assert_int_equal(a->escrow_count, b->escrow_count);
}

static void same(const struct cluster_snapshot *a, const struct cluster_snapshot *b)
{
    _cleanup_(buf_freep) struct buf x = BUF_INIT(1 << 20), y = BUF_INIT(1 << 20);
    assert_int_equal(a->revision, b->revision);
    assert_int_equal(a->has_spec, b->has_spec);
    assert_int_equal(a->spec_mod, b->spec_mod);
    same_texts("spec", cluster_spec_encode(&a->spec, &x, NULL), &x, cluster_spec_encode(&b->spec, &y, NULL),
               &y);
    assert_int_equal(a->has_rotation, b->has_rotation);
    assert_int_equal(a->rotation_mod, b->rotation_mod);
    assert_memory_equal(&a->rotation, &b->rotation, sizeof(a->rotation));
    assert_int_equal(a->has_reencrypt, b->has_reencrypt);
    assert_memory_equal(&a->reencrypt, &b->reencrypt, sizeof(a->reencrypt));
    assert_int_equal(a->has_keys, b->has_keys);
    assert_memory_equal(&a->keys, &b->keys, sizeof(a->keys));
    assert_int_equal(a->has_proofs, b->has_proofs);
    assert_int_equal(a->proofs_mod, b->proofs_mod);
    if (a->has_proofs)
        same_texts("proofs", cluster_proofs_encode(&a->proofs, &x, NULL), &x,
                   cluster_proofs_encode(&b->proofs, &y, NULL), &y);
    assert_string_equal(a->leader, b->leader);
    assert_int_equal(a->leader_fence, b->leader_fence);
    assert_string_equal(a->unknown_api, b->unknown_api);
    same_lists(a, b);
}

/* --- tests --- */

static struct cluster_snapshot *dirty_snapshot(void)
{
    struct cluster_snapshot *s = malloc(sizeof(*s));
    memset(s, 0xa5, sizeof(*s));
    return s;
}

/* What a caller may do to what it was given. */
static void scribble(struct cluster_snapshot *s)
{
    memset(&s->rotation, 0x5a, sizeof(s->rotation));
    memset(&s->reencrypt, 0x5a, sizeof(s->reencrypt));
    memset(&s->requests, 0x5a, sizeof(s->requests));
    s->unknown_api[0] = 'x';
    for (size_t i = 0; i < s->servers_count; i++)
        s->servers[i].unchanged_ms = 99;
}

static void a_refreshed_snapshot_is_the_one_built_from_nothing(void **state)
{
    (void)state;
    static struct world w = {.random = 20261127, .revision = 1};
    static struct snapshot_input inputs[64];
    struct cluster_snapshot *kept = dirty_snapshot(), *built = dirty_snapshot();
    size_t refused = 0, kept_reports = 0;
    make_keys(&w);
    snapshot_clear(kept);
    for (int turn = 0; turn < TURNS; turn++) {
        struct error a = ERROR_INIT, b = ERROR_INIT;
        for (size_t i = 0, changes = roll(&w, 4); i < changes; i++)
            change(&w);
        size_t count = inputs_of(&w, inputs);
        int rc = snapshot_refresh("demo", w.revision, turn, inputs, count, kept, &a);
        assert_int_equal(rc, snapshot_build("demo", w.revision, turn, inputs, count, built, &b));
        assert_string_equal(a.text, b.text);
        refused += rc < 0;
        if (rc < 0)
            continue;
        same(kept, built);
        kept_reports += kept->servers_count > 0 && kept->servers[0].reports;
        scribble(kept);
    }
    /* it was no empty exercise */
    assert_true(refused > TURNS / 100 && refused < TURNS / 2);
    assert_true(kept_reports > TURNS / 10);
    free(kept);
    free(built);
}

/* What is kept is kept by the mod revision, and not decoded: a body that changed under it would not be seen.
 */
static void an_unchanged_record_is_not_decoded_again(void **state)
{
    (void)state;
    struct snapshot_input in[] = {
        {.key = P "bundles/00000000000000000001", .body = "{\"generation\":1,\"box\":{}}", .mod_revision = 3},
        {.key = P "orders/s1", .body = "{\"id\":4}", .mod_revision = 4},
        {.key = P "servers/s1/report", .body = "{\"server\":\"s1\",\"generation\":1}", .mod_revision = 5},
    };
    for (size_t i = 0; i < array_len(in); i++)
        in[i].len = strlen(in[i].body);
    struct cluster_snapshot *s = dirty_snapshot();
    assert_int_equal(snapshot_build("demo", 9, 1, in, array_len(in), s, NULL), 0);
    for (size_t i = 0; i < array_len(in); i++) {
        in[i].body = "no JSON";
        in[i].len = 7;
    }
    assert_int_equal(snapshot_refresh("demo", 10, 2, in, array_len(in), s, NULL), 0);
    assert_true(s->servers[0].reports && s->servers[0].has_order);
    assert_int_equal(s->servers[0].report.generation, 1);
    assert_int_equal(s->servers[0].order.id, 4);
    assert_int_equal(s->bundles_count, 1);
    in[2].mod_revision = 11; /* now it is another one */
    assert_int_equal(snapshot_refresh("demo", 11, 3, in, array_len(in), s, NULL), 0);
    assert_false(s->servers[0].reports);
    assert_int_equal(s->servers[0].report.generation, 0);
    free(s);
}

static void more_bundles_than_there_is_room_for_keep_the_newest(void **state)
{
    (void)state;
    enum { COUNT = SNAPSHOT_BUNDLES_MAX + 10 };
    static struct snapshot_input in[COUNT];
    static char paths[COUNT][64], bodies[COUNT][64];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(paths[i], sizeof(paths[i]), P "bundles/%020zu", i + 1);
        snprintf(bodies[i], sizeof(bodies[i]), "{\"generation\":%zu,\"box\":{}}", i + 1);
        in[i] = (struct snapshot_input){
            .key = paths[i], .body = bodies[i], .len = strlen(bodies[i]), .mod_revision = (int64_t)i + 1};
    }
    struct cluster_snapshot *s = dirty_snapshot();
    snapshot_clear(s);
    for (size_t count = COUNT - 20; count <= COUNT; count++) {
        assert_int_equal(snapshot_refresh("demo", 9, 1, in, count, s, NULL), 0);
        assert_int_equal(s->bundles_count, count < SNAPSHOT_BUNDLES_MAX ? count : SNAPSHOT_BUNDLES_MAX);
        for (size_t i = 0; i < s->bundles_count; i++)
            assert_int_equal(s->bundles[i].generation, count - s->bundles_count + i + 1);
    }
    free(s);
}

static void a_thousand_servers_stand_in_the_order_of_the_spec(void **state)
{
    (void)state;
    static struct snapshot_input in[CLUSTER_SERVERS_MAX + 1];
    static char paths[CLUSTER_SERVERS_MAX][64], bodies[CLUSTER_SERVERS_MAX][64];
    static struct cluster_spec spec = {.servers_count = CLUSTER_SERVERS_MAX};
    _cleanup_(buf_freep) struct buf body = BUF_INIT(1 << 20);
    for (size_t i = 0; i < CLUSTER_SERVERS_MAX; i++) {
        snprintf(spec.servers[CLUSTER_SERVERS_MAX - 1 - i].name, CLUSTER_NAME_MAX, "s%zu", i);
        snprintf(paths[i], sizeof(paths[i]), P "servers/s%zu/report", i);
        snprintf(bodies[i], sizeof(bodies[i]), "{\"server\":\"s%zu\",\"generation\":%zu}", i, i);
        in[i] = (struct snapshot_input){
            .key = paths[i], .body = bodies[i], .len = strlen(bodies[i]), .mod_revision = 2};
    }
    assert_int_equal(cluster_spec_encode(&spec, &body, NULL), 0);
    in[CLUSTER_SERVERS_MAX] =
        (struct snapshot_input){.key = P "spec", .body = buf_str(&body), .len = body.len, .mod_revision = 1};
    struct cluster_snapshot *s = dirty_snapshot();
    snapshot_clear(s);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(snapshot_refresh("demo", 9, 1, in, array_len(in), s, NULL), 0);
        assert_int_equal(s->servers_count, CLUSTER_SERVERS_MAX);
        for (size_t i = 0; i < s->servers_count; i++) {
            assert_true(s->servers[i].reports && s->servers[i].in_spec);
            assert_int_equal(s->servers[i].report.generation, CLUSTER_SERVERS_MAX - 1 - i);
        }
    }
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refreshed_snapshot_is_the_one_built_from_nothing),
        cmocka_unit_test(an_unchanged_record_is_not_decoded_again),
        cmocka_unit_test(more_bundles_than_there_is_room_for_keep_the_newest),
        cmocka_unit_test(a_thousand_servers_stand_in_the_order_of_the_spec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
