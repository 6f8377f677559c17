/* The status texts against tests/golden/status: <case>.txt is K3s's text byte for byte (two of them are the
 * documentation's own samples), <case>.json and <case>.wide.txt are ours. With
 * SECRETS_ENCRYPT_UPDATE_GOLDEN=1 the files are written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <report/status.h>

#include "fixture.h"

#define OLD_KEY "aescbckey"
#define NEW_KEY "aescbckey-2021-12-10T22:54:38Z"

static void add_key(struct key_table *k, const char *name, const char *type, bool active)
{
    struct key_row *row = &k->rows[k->count++];
    text_copy(row->name, sizeof(row->name), name);
    row->type = type;
    row->active = active;
}

static void keys_one(struct key_table *k)
{
    k->known = k->enabled = true;
    add_key(k, OLD_KEY, "AES-CBC", true);
}

static void keys_rotated(struct key_table *k)
{
    k->known = k->enabled = true;
    add_key(k, NEW_KEY, "AES-CBC", true);
    add_key(k, OLD_KEY, "AES-CBC", false);
}

static struct cluster_snapshot *case_start(struct key_table *k)
{
    keys_one(k);
    return fixture_cluster(1, "node-");
}

/* The documentation's HA sample: after rotate, before the restarts. */
static struct cluster_snapshot *case_rotate_mismatch(struct key_table *k)
{
    struct cluster_snapshot *s = fixture_cluster(3, "node-");
    fixture_operation(s, OP_ROTATE, PHASE_PROMOTE, STAGE_ROTATE);
    s->rotation.op.restart = false;
    for (int i = 0; i < 3; i++)
        s->servers[i].report.stage = STAGE_PREPARE;
    fixture_at_target(s, 0);
    s->servers[0].report.loaded_generation = 1;
    fixture_order(s, 0, ORDER_WRITE, ORDER_DONE);
    fixture_order(s, 1, ORDER_SYNC, ORDER_TAKEN);
    keys_rotated(k);
    return s;
}

static struct cluster_snapshot *case_disabled(struct key_table *k)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    s->rotation.write_key[0] = 0;
    k->known = true;
    add_key(k, OLD_KEY, "AES-CBC", false);
    return s;
}

static struct cluster_snapshot *case_no_file(struct key_table *k)
{
    (void)k;
    struct cluster_snapshot *s = fixture_cluster(1, "s");
    s->bundles_count = 0;
    s->rotation.generation = 0;
    s->servers[0].report.hash[0] = 0;
    s->servers[0].report.generation = 0;
    text_copy(s->servers[0].report.file_why, CLUSTER_TEXT_MAX, "/etc/enc.json: No such file or directory");
    return s;
}

/* Secretbox and a wide type column; all stages are shown while a re-encryption runs. */
static struct cluster_snapshot *case_reencrypting(struct key_table *k)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_REWRITE, STAGE_ROTATE);
    for (int i = 0; i < 3; i++)
        fixture_at_target(s, i);
    s->rotation.stage = STAGE_REENCRYPT_ACTIVE;
    s->rotation.generation = 2;
    s->has_reencrypt = true;
    s->reencrypt = (struct cluster_reencrypt){.state = REENCRYPT_RUNNING,
                                              .done = 1234,
                                              .total = 5000,
                                              .gone = 2,
                                              .failed = 1,
                                              .rate = 812,
                                              .failures_count = 1};
    text_copy(s->reencrypt.operation, CLUSTER_ID_MAX, "op-1");
    text_copy(s->reencrypt.failures[0].object, sizeof(s->reencrypt.failures[0].object),
              "secrets/default/broken");
    text_copy(s->reencrypt.failures[0].why, sizeof(s->reencrypt.failures[0].why),
              "HTTP 403: webhook \"x\" denied it");
    text_copy(s->candidates[0], CLUSTER_NAME_MAX, "s1");
    text_copy(s->candidates[1], CLUSTER_NAME_MAX, "s2");
    s->candidates_count = 2;
    k->known = k->enabled = true;
    add_key(k, "secretboxkey-2026-11-24T22:42:40Z", "XSalsa20-POLY1305", true);
    add_key(k, OLD_KEY, "AES-CBC", false);
    return s;
}

/* A silent server, one that is not ready after a halted operation, and one that is in no list. */
static struct cluster_snapshot *case_halted(struct key_table *k)
{
    struct cluster_snapshot *s = fixture_cluster(4, "s");
    fixture_operation(s, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
    s->rotation.op.cause = CAUSE_SERVER;
    text_copy(s->rotation.op.reason, sizeof(s->rotation.op.reason), "as every quarter");
    fixture_at_target(s, 0);
    s->servers[1].report.ready = false;
    text_copy(s->servers[1].report.ready_why, CLUSTER_TEXT_MAX, "/readyz: etcd failed\033[31m");
    fixture_order(s, 1, ORDER_APPLY, ORDER_FAILED);
    text_copy(s->servers[1].report.order_why, CLUSTER_TEXT_MAX,
              "not ready within 180 s; the previous file is back");
    s->servers[2].reports = false;
    text_copy(s->servers[2].report_why, CLUSTER_TEXT_MAX, "silent: its agent publishes nothing");
    s->servers[3].in_spec = false;
    s->spec.servers_count = 3;
    s->rotation.op.state = OP_STATE_HALTED;
    s->rotation.op.ended_ms = NOW_MS - 1000;
    text_copy(s->rotation.op.why, CLUSTER_TEXT_MAX, "an order failed: s2: not ready within 180 s");
    s->leader[0] = 0;
    keys_one(k);
    add_key(k, NEW_KEY, "AES-CBC", false);
    return s;
}

static struct cluster_snapshot *case_finished(struct key_table *k)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_DONE, STAGE_REENCRYPT_FINISHED);
    for (int i = 0; i < 3; i++)
        fixture_at_target(s, i);
    s->rotation.stage = STAGE_REENCRYPT_FINISHED;
    s->rotation.generation = 2;
    text_copy(s->rotation.hash, sizeof(s->rotation.hash), NEW_HASH);
    s->rotation.op.state = OP_STATE_FINISHED;
    s->rotation.op.ended_ms = NOW_MS - 1000;
    s->has_reencrypt = true;
    s->reencrypt = (struct cluster_reencrypt){.state = REENCRYPT_ENDED,
                                              .done = 5000,
                                              .total = 5000,
                                              .scan_revision = 9000,
                                              .scan_values = 5000,
                                              .keys_count = 1};
    text_copy(s->reencrypt.operation, CLUSTER_ID_MAX, "op-1");
    s->reencrypt.keys[0].values = 5000;
    text_copy(s->reencrypt.keys[0].provider, sizeof(s->reencrypt.keys[0].provider), "aescbc");
    text_copy(s->reencrypt.keys[0].name, CLUSTER_KEY_NAME_MAX, NEW_KEY);
    k->known = k->enabled = true;
    add_key(k, NEW_KEY, "AES-CBC", true);
    return s;
}

/* Proofs of all kinds, a test vector that one server's keys do not open, an API server that nobody knows, and
 * a paused operation. */
static struct cluster_snapshot *case_proofs(struct key_table *k)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_WRITTEN, STAGE_ROTATE);
    s->bundles[1].has_vector = true;
    for (int i = 0; i < 3; i++) {
        fixture_at_target(s, i);
        s->servers[i].report.vector_generation = 2;
    }
    s->servers[2].report.vector_generation = 0;
    text_copy(s->servers[2].report.vector_why, CLUSTER_TEXT_MAX, "its keys do not open the test vector");
    s->rotation.stage = STAGE_ROTATE;
    s->rotation.op.state = OP_STATE_PAUSED;
    struct cluster_proof *p = fixture_proof(s, PHASE_BACKUP, PROOF_MADE, "snapshot");
    p->values = 200 * 1024 * 1024;
    text_copy(p->why, sizeof(p->why), "/var/lib/se/snapshots/op-1.db, 200 MiB, sha256 0123");
    p = fixture_proof(s, PHASE_READABLE, PROOF_MADE, "list");
    text_copy(p->why, sizeof(p->why), "canaries are off");
    for (int i = 0; i < 3; i++)
        fixture_server_proof(p, s->servers[i].name, PROOF_MADE, "");
    p = fixture_proof(s, PHASE_WRITTEN, PROOF_UNMADE, "canary");
    text_copy(p->why, sizeof(p->why), "s2: connection refused");
    fixture_server_proof(p, "s1", PROOF_MADE, "");
    fixture_server_proof(p, "s2", PROOF_UNMADE, "connection refused");
    fixture_key(s, NEW_KEY, KEY_ACTIVE)->since_revision = 8000;
    fixture_key(s, OLD_KEY, KEY_READABLE)->writes = 1234;
    text_copy(s->unknown_api, CLUSTER_TEXT_MAX, "10.0.0.14 is alive in the datastore, and no server has it");
    keys_rotated(k);
    return s;
}

/* One that comes by itself, and did not begin when it was due. */
static struct cluster_snapshot *case_scheduled(struct key_table *k)
{
    struct cluster_snapshot *s = case_finished(k);
    s->has_schedule = true;
    s->schedule.next_ms = NOW_MS + 86400000;
    text_copy(s->schedule.when, sizeof(s->schedule.when), "2023-11-15 22:13 Europe/Berlin");
    text_copy(s->schedule.why, sizeof(s->schedule.why), "every 90 days");
    text_copy(s->schedule.held, sizeof(s->schedule.held), "s2 is not ready: etcd");
    return s;
}

/* s3's second key was changed by hand. */
static struct cluster_snapshot *case_drift(struct key_table *k)
{
#define LAYOUT(second)                                                                                       \
    "e\nr secrets\np aescbc\nk 0000000000000001 " NEW_KEY "\nk " second " " OLD_KEY "\np identity\n"
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    for (int i = 0; i < 2; i++)
        fixture_layout(s, i, LAYOUT("0000000000000002"));
    fixture_foreign(s, 2, LAYOUT("00000000000000ff"));
    text_copy(s->servers[2].report.file_why, CLUSTER_TEXT_MAX, "/etc/enc.json was changed by somebody else");
    s->drift.servers_count = 1;
    text_copy(s->drift.servers[0].server, CLUSTER_NAME_MAX, "s3");
    s->drift.servers[0].since_ms = NOW_MS - 5000;
    keys_rotated(k);
    return s;
}

/* Nothing has reported and nothing is known. */
static struct cluster_snapshot *case_nobody(struct key_table *k)
{
    (void)k;
    struct cluster_snapshot *s = fixture_cluster(2, "s");
    s->has_rotation = false;
    s->bundles_count = 0;
    memset(&s->rotation, 0, sizeof(s->rotation));
    for (int i = 0; i < 2; i++)
        s->servers[i].reports = false;
    s->leader[0] = 0;
    return s;
}

typedef struct cluster_snapshot *case_fn(struct key_table *);
typedef int render_fn(const struct cluster_snapshot *, const struct key_table *, struct buf *,
                      struct error *);

static const struct {
    const char *name;
    case_fn *make;
} cases[] = {
    {"start", case_start},
    {"rotate-mismatch", case_rotate_mismatch},
    {"disabled", case_disabled},
    {"no-file", case_no_file},
    {"reencrypting", case_reencrypting},
    {"halted", case_halted},
    {"finished", case_finished},
    {"proofs", case_proofs},
    {"scheduled", case_scheduled},
    {"drift", case_drift},
    {"nobody", case_nobody},
};

static void test_goldens(void **state)
{
    (void)state;
    static const struct {
        const char *ending;
        render_fn *render;
    } formats[] = {
        {"txt", render_status_text}, {"json", render_status_json}, {"wide.txt", render_status_wide}};
    for (size_t i = 0; i < array_len(cases); i++)
        for (size_t k = 0; k < array_len(formats); k++) {
            _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
            _cleanup_free_ struct cluster_snapshot *s = cases[i].make(keys);
            _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
            struct error err = ERROR_INIT;
            if (formats[k].render(s, keys, &out, &err) < 0)
                fail_msg("%s: %s", cases[i].name, err.text);
            char name[64];
            snprintf(name, sizeof(name), "status/%s.%s", cases[i].name, formats[k].ending);
            fixture_compare(name, &out);
        }
}

static void test_full_buffer(void **state)
{
    (void)state;
    static render_fn *const renders[] = {render_status_text, render_status_json, render_status_wide};
    for (size_t i = 0; i < array_len(renders); i++) {
        _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
        _cleanup_free_ struct cluster_snapshot *s = case_halted(keys);
        _cleanup_(buf_freep) struct buf out = BUF_INIT(60);
        struct error err = ERROR_INIT;
        assert_int_equal(renders[i](s, keys, &out, &err), ERR_TOO_LARGE);
    }
}

static void test_wide_shows_who_holds_the_lock(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    s->has_lock = true;
    text_copy(s->lock.holder, sizeof(s->lock.holder), "ann@s1");
    text_copy(s->lock.reason, sizeof(s->lock.reason), "new disks");
    assert_int_equal(render_status_wide(s, keys, &out, NULL), 0);
    assert_non_null(strstr(buf_str(&out), "\nLocked by ann@s1 since 1970-01-01T00:00:00Z, new disks: "));
}

/* --- where the keys come from --- */

static enum key_source choose(const struct cluster_snapshot *s, const char *file_hash, int64_t *generation,
                              char why[CLUSTER_TEXT_MAX])
{
    *generation = 0;
    return key_source_choose(s, file_hash, generation, why);
}

static void test_keys_of_the_file_that_s1_published(void **state)
{
    (void)state;
    int64_t generation = 0;
    char why[CLUSTER_TEXT_MAX];
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    fixture_operation(s, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
    assert_int_equal(choose(s, "", &generation, why), KEY_SOURCE_BUNDLE);
    assert_int_equal(generation, 1); /* 2 is issued, and not on S1 yet */
    fixture_at_target(s, 0);
    assert_int_equal(choose(s, OLD_HASH, &generation, why), KEY_SOURCE_BUNDLE);
    assert_int_equal(generation, 2);
    /* the same file issued twice: the newest */
    text_copy(s->bundles[0].hash, CLUSTER_HASH_MAX, NEW_HASH);
    assert_int_equal(choose(s, "", &generation, why), KEY_SOURCE_BUNDLE);
    assert_int_equal(generation, 2);
}

static void test_keys_before_anything_was_adopted(void **state)
{
    (void)state;
    int64_t generation = 0;
    char why[CLUSTER_TEXT_MAX];
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    s->bundles_count = 0;
    s->rotation.generation = 0;
    assert_int_equal(choose(s, NEW_HASH, &generation, why), KEY_SOURCE_FILE);
    assert_int_equal(choose(s, "", &generation, why), KEY_SOURCE_NONE);
    assert_string_equal(
        why, "no encryption config has been taken over yet: run status on s1 to see the keys of its file");
}

static void test_keys_of_a_file_changed_by_hand(void **state)
{
    (void)state;
    int64_t generation = 0;
    char why[CLUSTER_TEXT_MAX];
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    text_copy(s->servers[0].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    assert_int_equal(choose(s, NEW_HASH, &generation, why),
                     KEY_SOURCE_FILE); /* this machine has that very file */
    assert_int_equal(choose(s, OLD_HASH, &generation, why), KEY_SOURCE_NONE);
    assert_string_equal(
        why,
        "the file of s1 (hash 222222222222) is none that was issued here: run status on s1 to see its keys");
}

static void test_keys_while_s1_is_silent(void **state)
{
    (void)state;
    int64_t generation = 0;
    char why[CLUSTER_TEXT_MAX];
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    s->servers[0].reports = false;
    assert_int_equal(choose(s, "", &generation, why), KEY_SOURCE_BUNDLE);
    assert_int_equal(generation, 1);
    s->bundles_count = 0;
    assert_int_equal(choose(s, OLD_HASH, &generation, why), KEY_SOURCE_FILE);
    assert_int_equal(choose(s, "", &generation, why), KEY_SOURCE_NONE);
    assert_string_equal(why, "");
}

static void test_no_file_tells_why(void **state)
{
    (void)state;
    int64_t generation = 0;
    char why[CLUSTER_TEXT_MAX];
    struct key_table keys = {0};
    _cleanup_free_ struct cluster_snapshot *s = case_no_file(&keys);
    assert_int_equal(choose(s, OLD_HASH, &generation, why), KEY_SOURCE_NONE);
    assert_string_equal(why, "/etc/enc.json: No such file or directory");
    assert_int_equal(status_encryption(s, &keys), ENCRYPTION_NO_FILE);
}

static void test_encryption_without_keys(void **state)
{
    (void)state;
    struct key_table keys = {0};
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    assert_int_equal(status_encryption(s, &keys), ENCRYPTION_ON);
    s->rotation.write_key[0] = 0;
    assert_int_equal(status_encryption(s, &keys), ENCRYPTION_OFF);
    s->rotation.generation = 0;
    assert_int_equal(status_encryption(s, &keys), ENCRYPTION_UNKNOWN);
}

static void test_stage(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(2, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_REWRITE, STAGE_ROTATE);
    fixture_at_target(s, 0);
    s->rotation.stage = STAGE_PREPARE;
    assert_int_equal(status_stage(s), STAGE_ROTATE); /* what S1 published */
    s->rotation.stage = STAGE_REENCRYPT_REQUEST;
    assert_int_equal(status_stage(s), STAGE_REENCRYPT_REQUEST);
    s->rotation.stage = STAGE_REENCRYPT_ACTIVE;
    assert_int_equal(status_stage(s), STAGE_REENCRYPT_ACTIVE);
    /* the drop: active until S1 has the file, then what S1 published */
    s->rotation.op.phase = PHASE_DROP;
    s->rotation.op.target = 3;
    assert_int_equal(status_stage(s), STAGE_REENCRYPT_ACTIVE);
    s->servers[0].report.generation = 3;
    s->servers[0].report.stage = STAGE_REENCRYPT_FINISHED;
    assert_int_equal(status_stage(s), STAGE_REENCRYPT_FINISHED);
    s->servers[0].reports = false;
    s->rotation.stage = STAGE_PREPARE;
    assert_int_equal(status_stage(s), STAGE_PREPARE); /* no report of S1 */
    s->has_rotation = false;
    assert_int_equal(status_stage(s), STAGE_START);
}

static void test_servers_of_the_configuration(void **state)
{
    (void)state;
    static const char text[] = "cluster: demo\n"
                               "servers: [{name: s2, api: 'https://b:1'}, {name: s9, api: 'https://c:1'}]\n"
                               "resources: [secrets, configmaps]\n"
                               "state_store: {endpoints: ['http://a:1']}\n";
    _cleanup_(config_freep) struct config *c = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(config_parse(text, strlen(text), "/c", CONFIG_FOR_CLI, &c, &err), 0);
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(2, "s");
    status_use_config(s, c); /* a spec is there: nothing changes */
    assert_string_equal(s->servers[0].name, "s1");

    s->has_spec = false;
    s->servers[0].in_spec = s->servers[1].in_spec = false;
    status_use_config(s, c);
    assert_int_equal(s->servers_count, 3);
    assert_string_equal(s->servers[0].name, "s2");
    assert_true(s->servers[0].in_spec && s->servers[0].reports);
    assert_string_equal(s->servers[1].name, "s9");
    assert_true(s->servers[1].in_spec && !s->servers[1].reports);
    assert_string_equal(s->servers[2].name, "s1");
    assert_false(s->servers[2].in_spec);
    assert_int_equal(s->spec.servers_count, 2);
    assert_int_equal(s->spec.resources_count, 2);
    assert_string_equal(s->spec.resources[1], "configmaps");
    char why[CLUSTER_TEXT_MAX];
    assert_false(snapshot_hashes_match(s, why));
    assert_string_equal(why, "missing hash on s9");
}

static void test_key_table_of_a_config(void **state)
{
    (void)state;
    static const char text[] =
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/"
        "v1\",\"resources\":[{\"resources\":"
        "[\"secrets\"],\"providers\":[{\"secretbox\":{\"keys\":[{\"name\":\"a\",\"secret\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}},{\"aescbc\":{\"keys\":[{\"name\":\"b:c\","
        "\"secret\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}},{\"identity\":{}}]}]}";
    static const char *const names[] = {"secrets"};
    const struct resource_set managed = {names, 1};
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL, *off = NULL;
    struct error err = ERROR_INIT;
    if (encryption_config_parse(text, strlen(text), "test", &c, &err) < 0)
        fail_msg("%s", err.text);
    struct key_table keys;
    key_table_fill(c, managed, &keys);
    assert_true(keys.known && keys.enabled);
    assert_int_equal(keys.count, 2);
    assert_string_equal(keys.rows[0].name, "a");
    assert_string_equal(keys.rows[0].type, "XSalsa20-POLY1305");
    assert_true(keys.rows[0].active);
    assert_string_equal(keys.rows[1].name, "b:c");
    assert_string_equal(keys.rows[1].type, "AES-CBC");
    assert_false(keys.rows[1].active);

    assert_int_equal(encryption_disable(c, managed, &off, &err), 0);
    key_table_fill(off, managed, &keys);
    assert_true(keys.known && !keys.enabled);
    assert_int_equal(keys.count, 2);
    assert_false(keys.rows[0].active || keys.rows[1].active);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_full_buffer),
        cmocka_unit_test(test_wide_shows_who_holds_the_lock),
        cmocka_unit_test(test_keys_of_the_file_that_s1_published),
        cmocka_unit_test(test_keys_before_anything_was_adopted),
        cmocka_unit_test(test_keys_of_a_file_changed_by_hand),
        cmocka_unit_test(test_keys_while_s1_is_silent),
        cmocka_unit_test(test_no_file_tells_why),
        cmocka_unit_test(test_encryption_without_keys),
        cmocka_unit_test(test_stage),
        cmocka_unit_test(test_servers_of_the_configuration),
        cmocka_unit_test(test_key_table_of_a_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
