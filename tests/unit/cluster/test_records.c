#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <cluster/codec.h>

static void rotation_round_trip(void **state)
{
    (void)state;
    struct cluster_rotation a = {.stage = STAGE_ROTATE,
                                 .generation = 3,
                                 .issued = 4,
                                 .next_order = 17,
                                 .reads_plain = true,
                                 .keys = 2};
    text_copy(a.write_key, sizeof(a.write_key), "aescbckey-2021-12-10T22:54:38Z");
    text_copy(a.op.id, sizeof(a.op.id), "0a-1b");
    text_copy(a.op.why, sizeof(a.op.why), "with \"quotes\" and \xc3\xa9");
    a.op.kind = OP_ROTATE_KEYS;
    a.op.phase = PHASE_VERIFY;
    a.op.state = OP_STATE_HALTED;
    a.op.restart = true;
    a.op.started_ms = 1700000000123;
    struct cluster_rotation b;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_rotation_encode(&a, &json, NULL), 0);
    assert_non_null(strstr(buf_str(&json), "\"phase\":\"verify\""));
    assert_int_equal(cluster_rotation_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void schedule_round_trip(void **state)
{
    (void)state;
    struct cluster_schedule a = {.next_ms = 1700000000123,
                                 .asked_ms = 5,
                                 .writes_since = 100,
                                 .writes = 2000,
                                 .writes_guessed = 30,
                                 .writes_to = 4000,
                                 .writes_base = 1500,
                                 .writes_base_ms = 6},
                            b;
    text_copy(a.when, sizeof(a.when), "2027-02-26 02:13 Europe/Berlin");
    text_copy(a.why, sizeof(a.why), "every 90 days");
    text_copy(a.held, sizeof(a.held), "alert \"x\" is firing");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_schedule_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_schedule_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void checks_round_trip(void **state)
{
    (void)state;
    static struct cluster_checks a, b;
    text_copy(a.server, sizeof(a.server), "s2");
    a.time_ms = 1700000000123;
    a.checks_count = CLUSTER_CHECKS_MAX;
    for (size_t i = 0; i < a.checks_count; i++) {
        a.checks[i].result = (enum check_result)(i % 3);
        snprintf(a.checks[i].name, sizeof(a.checks[i].name), "check-%zu", i);
        text_copy(a.checks[i].text, sizeof(a.checks[i].text), "mode 0644");
        text_copy(a.checks[i].remedy, sizeof(a.checks[i].remedy), "chmod 600 \"it\"");
    }
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_checks_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_checks_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));

    struct error err = ERROR_INIT;
    static const char odd[] = "{\"server\":\"s1\",\"checks\":[{\"name\":\"x\",\"result\":\"perhaps\"}]}";
    assert_int_equal(cluster_checks_decode(odd, strlen(odd), &b, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "result"));
    buf_reset(&json);
    assert_int_equal(buf_adds(&json, "{\"checks\":[{}", NULL), 0);
    for (int i = 0; i < CLUSTER_CHECKS_MAX; i++)
        assert_int_equal(buf_adds(&json, ",{}", NULL), 0);
    assert_int_equal(buf_adds(&json, "]}", NULL), 0);
    assert_int_equal(cluster_checks_decode(buf_str(&json), json.len, &b, &err), ERR_INVALID);
}

/* Reports of agents that know no layout are read, and records of servers whose files were changed. */
static void layout_and_drift(void **state)
{
    (void)state;
    static struct cluster_report r;
    static struct cluster_drift a, b;
    static const char old[] = "{\"server\":\"s1\",\"stage\":\"start\",\"order_state\":\"none\"}";
    memset(&r, 'x', sizeof(r));
    assert_int_equal(cluster_report_decode(old, strlen(old), &r, NULL), 0);
    assert_string_equal(r.layout, "");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536), body = BUF_INIT(65536);
    memset(r.layout, 'x', sizeof(r.layout) - 1);
    assert_int_equal(cluster_report_encode(&r, &json, NULL), 0);
    assert_int_equal(cluster_report_decode(buf_str(&json), json.len, &r, NULL), 0);
    assert_int_equal(strlen(r.layout), CLUSTER_LAYOUT_MAX - 1);
    memcpy(a.servers[0].server, "s3", 3);
    memcpy(a.servers[0].what, "what", 5);
    a.servers[0].since_ms = 5;
    a.servers_count = 1;
    assert_int_equal(cluster_drift_encode(&a, &body, NULL), 0);
    assert_int_equal(cluster_drift_decode(buf_str(&body), body.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void report_and_order_round_trip(void **state)
{
    (void)state;
    static struct cluster_report a, b;
    text_copy(a.server, sizeof(a.server), "s2");
    a.stage = STAGE_PREPARE;
    a.loaded_known = a.ready = true;
    a.order_state = ORDER_RESTARTING;
    a.order_id = 9;
    a.restarts = 4;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_report_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_report_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
    struct cluster_order o = {.id = 5,
                              .kind = ORDER_SYNC,
                              .generation = 2,
                              .fence = 44,
                              .stage = STAGE_ROTATE},
                         p;
    buf_reset(&json);
    assert_int_equal(cluster_order_encode(&o, &json, NULL), 0);
    assert_int_equal(cluster_order_decode(buf_str(&json), json.len, &p, NULL), 0);
    assert_memory_equal(&o, &p, sizeof(o));
}

static void lists_round_trip(void **state)
{
    (void)state;
    static struct cluster_reencrypt a, b;
    a.state = REENCRYPT_ENDED;
    a.done = 500;
    a.scan_revision = 1234;
    a.failures_count = 2;
    text_copy(a.failures[1].object, sizeof(a.failures[1].object), "secrets/default/x");
    text_copy(a.failures[1].why, sizeof(a.failures[1].why), "422: invalid");
    a.keys_count = 1;
    text_copy(a.keys[0].provider, sizeof(a.keys[0].provider), "aescbc");
    a.keys[0].values = 500;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_reencrypt_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_reencrypt_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
    static struct cluster_spec s, t;
    s.servers_count = 2;
    text_copy(s.servers[1].name, sizeof(s.servers[1].name), "s2");
    s.resources_count = 1;
    text_copy(s.resources[0], sizeof(s.resources[0]), "secrets");
    buf_reset(&json);
    assert_int_equal(cluster_spec_encode(&s, &json, NULL), 0);
    assert_int_equal(cluster_spec_decode(buf_str(&json), json.len, &t, NULL), 0);
    assert_memory_equal(&s, &t, sizeof(s));
}

static void bundle_round_trip(void **state)
{
    (void)state;
    char box[] = "{\"v\":1,\"box\":\"abc\"}";
    struct cluster_bundle a = {.generation = 7,
                               .stage = STAGE_ROTATE,
                               .box = box,
                               .box_len = sizeof(box) - 1},
                          b = {0};
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_bundle_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_bundle_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_int_equal(b.generation, 7);
    assert_string_equal(b.box, box);
    cluster_bundle_free(&b);
    cluster_bundle_free(NULL);
    assert_int_equal(cluster_bundle_decode("{}", 2, &b, NULL), ERR_INVALID);
}

static void proofs_round_trip(void **state)
{
    (void)state;
    static struct cluster_proofs a, b;
    text_copy(a.operation, sizeof(a.operation), "0a-1b");
    a.proofs_count = CLUSTER_PROOFS_MAX;
    a.proofs[0] = (struct cluster_proof){.phase = PHASE_READABLE,
                                         .step = 7,
                                         .state = PROOF_FAILED,
                                         .generation = 3,
                                         .revision = 9001,
                                         .values = 12,
                                         .attempts = 2,
                                         .time_ms = 1700000000123,
                                         .servers_count = CLUSTER_SERVERS_MAX};
    text_copy(a.proofs[0].method, sizeof(a.proofs[0].method), "canary");
    text_copy(a.proofs[0].why, sizeof(a.proofs[0].why), "s2 answers 500");
    struct cluster_server_proof *last = &a.proofs[0].servers[CLUSTER_SERVERS_MAX - 1];
    text_copy(last->server, sizeof(last->server), "s16");
    last->state = PROOF_UNMADE;
    last->time_ms = 5;
    text_copy(last->why, sizeof(last->why), "\"quoted\"");
    a.proofs[CLUSTER_PROOFS_MAX - 1].phase = PHASE_BRING_BACK;
    a.proofs[CLUSTER_PROOFS_MAX - 1].state = PROOF_RUNNING;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(1 << 20);
    assert_int_equal(cluster_proofs_encode(&a, &json, NULL), 0);
    assert_non_null(strstr(buf_str(&json), "\"state\":\"failed\""));
    assert_int_equal(cluster_proofs_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void keys_round_trip(void **state)
{
    (void)state;
    static struct cluster_keys a, b;
    a.keys_count = CLUSTER_KEY_BOOK_MAX;
    a.keys[0] = (struct cluster_key_info){.state = KEY_ACTIVE,
                                          .generation = 4,
                                          .created_ms = 1,
                                          .since_ms = 2,
                                          .since_revision = 3,
                                          .writes = 5};
    text_copy(a.keys[0].provider, sizeof(a.keys[0].provider), "aesgcm");
    memset(a.keys[0].name, 'n', sizeof(a.keys[0].name) - 1);
    a.keys[CLUSTER_KEY_BOOK_MAX - 1].state = KEY_RETIRED;
    a.keys[CLUSTER_KEY_BOOK_MAX - 1].until_ms = 99;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_keys_encode(&a, &json, NULL), 0);
    assert_non_null(strstr(buf_str(&json), "\"state\":\"active\""));
    assert_int_equal(cluster_keys_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void escrow_round_trip(void **state)
{
    (void)state;
    char box[] = "{\"v\":1,\"box\":\"abc\"}";
    struct cluster_escrow a = {.generation = 7,
                               .retired_ms = 11,
                               .until_ms = 12,
                               .box = box,
                               .box_len = sizeof(box) - 1},
                          b = {0};
    text_copy(a.provider, sizeof(a.provider), "secretbox");
    text_copy(a.name, sizeof(a.name), "a/b:c");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_escrow_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_escrow_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_string_equal(b.provider, "secretbox");
    assert_string_equal(b.name, "a/b:c");
    assert_int_equal(b.generation, 7);
    assert_int_equal(b.retired_ms, 11);
    assert_int_equal(b.until_ms, 12);
    assert_int_equal(b.box_len, sizeof(box) - 1);
    assert_string_equal(b.box, box);
    cluster_escrow_free(&b);
    assert_null(b.box);
    cluster_escrow_free(NULL);
    /* what is no JSON object is no box */
    a.box = NULL;
    a.box_len = 0;
    assert_int_equal(cluster_escrow_encode(&a, &json, NULL), ERR_INVALID);
}

/* An operation's step, and what an abort goes back to. */
static void a_rotation_knows_its_way_back(void **state)
{
    (void)state;
    static struct cluster_rotation a, b;
    a.base = 2;
    a.base_stage = STAGE_REENCRYPT_FINISHED;
    a.promoted = true;
    a.op.kind = OP_ABORT;
    a.op.state = OP_STATE_PAUSED;
    a.op.phase = PHASE_BRING_BACK;
    a.op.step = 12;
    a.op.before = 6;
    a.op.touched = true;
    text_copy(a.op.also, sizeof(a.op.also), "00ff");
    text_copy(a.op.key, sizeof(a.op.key), "key-1");
    text_copy(a.op.key_provider, sizeof(a.op.key_provider), "aescbc");
    text_copy(a.op.aborts, sizeof(a.op.aborts), "0a-1a");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_rotation_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_rotation_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void a_spec_carries_the_policy(void **state)
{
    (void)state;
    static struct cluster_spec a, b;
    a.snapshots = a.auto_repair = true;
    a.escrow_days = 30;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_spec_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_spec_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void a_restart_names_its_servers(void **state)
{
    (void)state;
    static struct cluster_rotation a, b;
    static struct cluster_request r, s;
    a.op.kind = OP_RESTART;
    a.op.phase = PHASE_RESTART;
    a.op.state = OP_STATE_HALTED;
    a.op.cause = CAUSE_SERVER;
    a.op.now = a.op.ends = true;
    a.op.restarted = 2;
    a.op.list = 77;
    r.kind = OP_RESTART;
    r.now = true;
    r.cause = CAUSE_DENIED;
    cluster_lease_format(INT64_MAX - 1, r.lease);
    assert_true(cluster_lease_parse(r.lease) == INT64_MAX - 1);
    assert_int_equal(cluster_lease_parse(""), 0);
    assert_int_equal(cluster_lease_parse("12x"), 0);
    assert_int_equal(cluster_lease_parse("11111111111111111"), 0);
    r.ttl_s = 60;
    for (size_t i = 0; i < CLUSTER_SUBSET_MAX; i++) {
        snprintf(a.op.servers[i], CLUSTER_NAME_MAX, "s%zu", i);
        snprintf(r.servers[i], CLUSTER_NAME_MAX, "s%zu", i);
    }
    a.op.servers_count = r.servers_count = CLUSTER_SUBSET_MAX;
    memset(a.op.reason, 'r', sizeof(a.op.reason) - 1);
    memset(r.reason, 'r', sizeof(r.reason) - 1);
    text_copy(a.op.role, sizeof(a.op.role), "operator");
    text_copy(r.role, sizeof(r.role), "operator");
    text_copy(r.lock, sizeof(r.lock), "0a-1a");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_rotation_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_rotation_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
    buf_reset(&json);
    assert_int_equal(cluster_request_encode(&r, &json, NULL), 0);
    assert_int_equal(cluster_request_decode(buf_str(&json), json.len, &s, NULL), 0);
    assert_memory_equal(&r, &s, sizeof(r));
}

static void locks_and_audits_round_trip(void **state)
{
    (void)state;
    static struct cluster_lock a, b;
    static struct cluster_audit c, d;
    text_copy(a.id, sizeof(a.id), "0a-1a");
    text_copy(a.holder, sizeof(a.holder), "ops@jump");
    memset(a.reason, 'r', sizeof(a.reason) - 1);
    a.since_ms = 5;
    cluster_lease_format(6, a.lease);
    a.ttl_s = 60;
    c.time_ms = 7;
    text_copy(c.server, sizeof(c.server), "s1");
    memset(c.who, 'w', sizeof(c.who) - 1);
    memset(c.from, 'f', sizeof(c.from) - 1);
    memset(c.what, 'x', sizeof(c.what) - 1);
    memset(c.why, 'y', sizeof(c.why) - 1);
    text_copy(c.role, sizeof(c.role), "viewer");
    text_copy(c.call, sizeof(c.call), "Start");
    text_copy(c.result, sizeof(c.result), "refused");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_lock_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_lock_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
    buf_reset(&json);
    assert_int_equal(cluster_audit_encode(&c, &json, NULL), 0);
    assert_int_equal(cluster_audit_decode(buf_str(&json), json.len, &d, NULL), 0);
    assert_memory_equal(&c, &d, sizeof(c));
}

static void requests_and_vectors_round_trip(void **state)
{
    (void)state;
    static struct cluster_request a, b;
    a.kind = OP_RESTORE_KEY;
    a.answer = ANSWER_REFUSED;
    text_copy(a.server, sizeof(a.server), "s2");
    text_copy(a.key, sizeof(a.key), "key-1");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_request_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_request_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
    char box[] = "{}";
    struct cluster_bundle c = {.box = box, .box_len = 2}, d = {0};
    memset(c.vector, 'v', sizeof(c.vector) - 1);
    buf_reset(&json);
    assert_int_equal(cluster_bundle_encode(&c, &json, NULL), 0);
    assert_int_equal(cluster_bundle_decode(buf_str(&json), json.len, &d, NULL), 0);
    assert_string_equal(c.vector, d.vector);
    cluster_bundle_free(&d);
}

/* One refusal of each kind for each of the decoders that read what proofs and keys rest on. */
#define REFUSES(name, json, part)                                                                            \
    do {                                                                                                     \
        static struct cluster_##name v, untouched;                                                           \
        struct error err = ERROR_INIT;                                                                       \
        assert_int_equal(cluster_##name##_decode(json, strlen(json), &v, &err), ERR_INVALID);                \
        if (!strstr(err.text, part))                                                                         \
            fail_msg("%s\n gives '%s'\n without '%s'", json, err.text, part);                                \
        assert_memory_equal(&v, &untouched, sizeof(v));                                                      \
    } while (0)

#define TEN(x)    x "," x "," x "," x "," x "," x "," x "," x "," x "," x
#define LONG_NAME TEN("1234567890123456789012345")

static void list_of_empty(const char *before, size_t count, const char *after, struct buf *out)
{
    assert_int_equal(buf_adds(out, before, NULL), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_adds(out, i ? ",{}" : "{}", NULL), 0);
    assert_int_equal(buf_adds(out, after, NULL), 0);
}

static void bad_requests_are_refused_by_name(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(1 << 16);
    assert_int_equal(buf_adds(&json, "{\"servers\":[\"s\"", NULL), 0);
    for (size_t i = 0; i < CLUSTER_SUBSET_MAX; i++)
        assert_int_equal(buf_adds(&json, ",\"s\"", NULL), 0);
    assert_int_equal(buf_adds(&json, "]}", NULL), 0);
    REFUSES(request, buf_str(&json), "request: 'servers' has too many elements");
    REFUSES(request, "{\"servers\":[1]}", "request: servers[0]: 'servers' is not a text");
    REFUSES(request, "{\"cause\":\"bad luck\"}", "'cause' is not a word");
    REFUSES(request, "{\"ttl_s\":-1}", "'ttl_s' is negative");
    REFUSES(lock, "{\"ttl_s\":-1}", "lock: 'ttl_s' is negative");
    REFUSES(audit, "{\"role\":\"the emperor of everything\"}", "audit: 'role' is too long");
}

static void bad_proofs_are_refused_by_name(void **state)
{
    (void)state;
    REFUSES(proofs, "", "proofs");
    REFUSES(proofs, "[]", "proofs: not an object");
    REFUSES(proofs, "{\"proofs\":{}}", "proofs: 'proofs' is not a list");
    REFUSES(proofs, "{\"proofs\":[{},{\"phase\":\"guess\"}]}",
            "proofs: proofs[1]: 'phase' is not a word that this version knows");
    REFUSES(proofs, "{\"proofs\":[{\"state\":\"true\"}]}", "'state' is not a word");
    REFUSES(proofs, "{\"proofs\":[{\"state\":2}]}", "'state' is not a word");
    REFUSES(proofs, "{\"proofs\":[{\"step\":-1}]}", "'step' is negative");
    REFUSES(proofs, "{\"proofs\":[{\"revision\":1.5}]}", "'revision' is not a whole number");
    REFUSES(proofs, "{\"proofs\":[{\"method\":\"a method of more than 23 bytes\"}]}", "'method' is too long");
    REFUSES(proofs, "{\"proofs\":[{\"servers\":[{\"state\":\"sure\"}]}]}",
            "proofs: proofs[0]: servers[0]: 'state' is not a word");
    REFUSES(proofs, "{\"proofs\":[" TEN("{}") "," TEN("{}") ",{},{},{},{},{}]}",
            "'proofs' has too many elements");
    _cleanup_(buf_freep) struct buf json = BUF_INIT(1 << 20);
    list_of_empty("{\"proofs\":[{\"servers\":[", CLUSTER_SERVERS_MAX + 1, "]}]}", &json);
    REFUSES(proofs, buf_str(&json), "'servers' has too many elements");
}

/* Two phases prove something of each server. With a reason from each, the record of a thousand is still one
 * value of etcd (1.5 MiB); what is none is refused as too large. */
static void proofs_of_a_thousand_servers_are_one_value(void **state)
{
    (void)state;
    static struct cluster_proofs p;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(1536 * 1024);
    for (size_t i = 0; i < CLUSTER_PROOFS_MAX; i++) {
        p.proofs[i].servers_count = CLUSTER_SERVERS_MAX;
        for (size_t k = 0; k < CLUSTER_SERVERS_MAX; k++) {
            snprintf(p.proofs[i].servers[k].server, CLUSTER_NAME_MAX, "server-%zu.example.org", k);
            p.proofs[i].servers[k].time_ms = 1700000000123;
            memset(p.proofs[i].servers[k].why, 'w', sizeof(p.proofs[i].servers[k].why) - 1);
        }
    }
    p.proofs_count = 2;
    assert_int_equal(cluster_proofs_encode(&p, &json, NULL), 0);
    buf_reset(&json);
    p.proofs_count = CLUSTER_PROOFS_MAX;
    assert_int_equal(cluster_proofs_encode(&p, &json, &err), ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, "proofs"));
}

static void bad_keys_and_escrow_are_refused_by_name(void **state)
{
    (void)state;
    REFUSES(keys, "null", "keys: not an object");
    REFUSES(keys, "{\"keys\":[{\"state\":\"lost\"}]}", "keys: keys[0]: 'state' is not a word");
    REFUSES(keys, "{\"keys\":[{\"writes\":-1}]}", "'writes' is negative");
    REFUSES(keys, "{\"keys\":[{\"provider\":\"more-than-15-bytes\"}]}", "'provider' is too long");
    REFUSES(keys, "{\"keys\":[{\"name\":\"" LONG_NAME "\"}]}", "'name' is too long");
    REFUSES(keys, "{\"keys\":[" TEN(TEN("{}")) "," TEN(TEN("{}")) "," TEN(TEN("{}")) "]}",
            "'keys' has too many elements");
    REFUSES(escrow, "{}", "escrow: 'box' is missing");
    REFUSES(escrow, "{\"box\":\"text\"}", "escrow: 'box' is missing");
    REFUSES(escrow, "{\"box\":{},\"generation\":-7}", "escrow: 'generation' is negative");
    REFUSES(escrow, "{\"box\":{},\"name\":\"" LONG_NAME "\"}", "escrow: 'name' is too long");
    REFUSES(escrow, "{\"box\":{},\"name\":null}", "escrow: 'name' is not a text");
    REFUSES(rotation, "{\"op\":{\"phase\":\"somewhere\"}}", "'phase' is not a word");
    REFUSES(rotation, "{\"op\":{\"step\":-3}}", "'step' is negative");
    REFUSES(spec, "{\"snapshots\":\"on\"}", "spec: 'snapshots' is not true or false");
}

static void unknown_members_are_ignored_and_missing_ones_are_zero(void **state)
{
    (void)state;
    static const char json[] = "{\"id\":3,\"from_the_future\":[1,2],\"kind\":\"apply\"}";
    struct cluster_order o;
    assert_int_equal(cluster_order_decode(json, strlen(json), &o, NULL), 0);
    assert_int_equal(o.id, 3);
    assert_int_equal(o.generation, 0);
    assert_string_equal(o.hash, "");
}

static void bad_values_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text;
    } cases[] = {
        {"", "order"},
        {"[]", "order: not an object"},
        {"{\"id\":\"3\"}", "order: 'id' is not a whole number"},
        {"{\"id\":-3}", "order: 'id' is negative"},
        {"{\"id\":1.5}", "order: 'id' is not a whole number"},
        {"{\"kind\":\"explode\"}", "order: 'kind' is not a word that this version knows"},
        {"{\"kind\":7}", "order: 'kind' is not a word that this version knows"},
        {"{\"hash\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0\"}",
         "order: 'hash' is too long"},
        {"{\"hash\":{}}", "order: 'hash' is not a text"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct error err = ERROR_INIT;
        struct cluster_order o = {.id = 99};
        assert_int_equal(cluster_order_decode(cases[i].json, strlen(cases[i].json), &o, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_int_equal(o.id, 99);
    }
    _cleanup_(buf_freep) struct buf many = BUF_INIT(1 << 20);
    list_of_empty("{\"servers\":[", CLUSTER_SERVERS_MAX + 1, "]}", &many);
    struct error err = ERROR_INIT;
    static struct cluster_spec s;
    assert_int_equal(cluster_spec_decode(buf_str(&many), many.len, &s, &err), ERR_INVALID);
    assert_string_equal(err.text, "spec: 'servers' has too many elements");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotation_round_trip),
        cmocka_unit_test(schedule_round_trip),
        cmocka_unit_test(checks_round_trip),
        cmocka_unit_test(layout_and_drift),
        cmocka_unit_test(report_and_order_round_trip),
        cmocka_unit_test(lists_round_trip),
        cmocka_unit_test(bundle_round_trip),
        cmocka_unit_test(proofs_round_trip),
        cmocka_unit_test(keys_round_trip),
        cmocka_unit_test(escrow_round_trip),
        cmocka_unit_test(a_rotation_knows_its_way_back),
        cmocka_unit_test(a_spec_carries_the_policy),
        cmocka_unit_test(a_restart_names_its_servers),
        cmocka_unit_test(locks_and_audits_round_trip),
        cmocka_unit_test(requests_and_vectors_round_trip),
        cmocka_unit_test(bad_requests_are_refused_by_name),
        cmocka_unit_test(bad_proofs_are_refused_by_name),
        cmocka_unit_test(proofs_of_a_thousand_servers_are_one_value),
        cmocka_unit_test(bad_keys_and_escrow_are_refused_by_name),
        cmocka_unit_test(unknown_members_are_ignored_and_missing_ones_are_zero),
        cmocka_unit_test(bad_values_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
