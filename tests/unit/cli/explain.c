/* `explain` against tests/golden/explain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <report/explain.h>

#include "fixture.h"

static struct cluster_snapshot *at(enum operation_kind kind, enum phase phase, const char *row,
                                   const char *why, const char *on)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    fixture_operation(s, kind, phase, STAGE_PREPARE);
    struct cluster_operation *op = &s->rotation.op;
    op->step = 5;
    op->touched = true;
    op->row_ms = NOW_MS - 3000;
    text_copy(op->row, sizeof(op->row), row);
    text_copy(op->why, sizeof(op->why), why);
    text_copy(op->on, sizeof(op->on), on);
    s->rotation.base = 1;
    s->rotation.stage = STAGE_PREPARE;
    for (int i = 0; i < 3; i++)
        fixture_at_target(s, i);
    return s;
}

/* The proof that the new key is readable runs, and one server has not answered. */
static struct cluster_snapshot *case_readable(void)
{
    struct cluster_snapshot *s =
        at(OP_ROTATE_KEYS, PHASE_READABLE, "job-running", "the proof is being made", "s3");
    struct cluster_proof *p = fixture_proof(s, PHASE_OPENS, PROOF_MADE, "scan");
    p->step = 2;
    p->values = 5000;
    p = fixture_proof(s, PHASE_BACKUP, PROOF_MADE, "snapshot");
    p->step = 3;
    p->values = 123LL * 1024 * 1024;
    text_copy(p->why, sizeof(p->why), "/var/lib/secrets-encrypt/snapshots/op-1.db, 123 MiB");
    p = fixture_proof(s, PHASE_READABLE, PROOF_RUNNING, "canary");
    fixture_server_proof(p, "s1", PROOF_MADE, "");
    fixture_server_proof(p, "s2", PROOF_MADE, "");
    fixture_server_proof(p, "s3", PROOF_RUNNING, "");
    return s;
}

/* S3 cannot read the canary: nothing was rotated. */
static struct cluster_snapshot *case_halted(void)
{
    struct cluster_snapshot *s =
        at(OP_ROTATE_KEYS, PHASE_READABLE, "proof-failed",
           "s3 cannot read values under aescbc:new\033[31m: nothing was rotated", "s3");
    s->rotation.op.state = OP_STATE_HALTED;
    s->rotation.op.ended_ms = NOW_MS - 2000;
    struct cluster_proof *p = fixture_proof(s, PHASE_READABLE, PROOF_FAILED, "canary");
    text_copy(p->why, sizeof(p->why), "s3 cannot read values under aescbc:new");
    fixture_server_proof(p, "s1", PROOF_MADE, "");
    fixture_server_proof(p, "s3", PROOF_FAILED, "HTTP 500: no matching prefix found");
    return s;
}

/* The drop has been issued: past the point of no return, with the watch at work. */
static struct cluster_snapshot *case_drop(void)
{
    struct cluster_snapshot *s =
        at(OP_ROTATE_KEYS, PHASE_DROP, "order-in-flight", "a server is at work; one at a time", "s2");
    s->rotation.stage = STAGE_REENCRYPT_ACTIVE;
    s->rotation.op.before = 1;
    for (int i = 0; i < 3; i++)
        s->servers[i].report.stage = STAGE_REENCRYPT_FINISHED;
    s->spec.snapshots = true;
    fixture_proof(s, PHASE_DROP, PROOF_RUNNING, "watch");
    return s;
}

static struct cluster_snapshot *case_abort(void)
{
    struct cluster_snapshot *s = at(OP_ABORT, PHASE_RETURN, "order", "every server is ready", "");
    text_copy(s->rotation.op.aborts, CLUSTER_ID_MAX, "op-0");
    s->rotation.op.state = OP_STATE_PAUSED;
    return s;
}

static struct cluster_snapshot *case_idle(void)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    memset(s->rotation.hash, '1', CLUSTER_HASH_MAX - 1);
    for (int i = 0; i < 3; i++)
        memset(s->servers[i].report.config_id, 'c', CLUSTER_HASH_MAX - 1);
    return s;
}

/* prepare is over, rotate has not begun; S2 is not ready; nobody leads. */
static struct cluster_snapshot *case_blocked(void)
{
    struct cluster_snapshot *s = at(OP_PREPARE, PHASE_DONE, "", "", "");
    s->rotation.op.state = OP_STATE_FINISHED;
    s->rotation.op.ended_ms = NOW_MS - 2000;
    s->servers[1].report.ready = false;
    text_copy(s->servers[1].report.ready_why, CLUSTER_TEXT_MAX, "/readyz: etcd failed");
    s->leader[0] = 0;
    for (int i = 0; i < 3; i++)
        memset(s->servers[i].report.config_id, 'c', CLUSTER_HASH_MAX - 1);
    return s;
}

static struct cluster_snapshot *case_unknown_api(void)
{
    struct cluster_snapshot *s = case_idle();
    text_copy(s->unknown_api, CLUSTER_TEXT_MAX, "10.0.0.14 is alive in the datastore, and no server has it");
    return s;
}

static struct cluster_snapshot *case_unknown_api_running(void)
{
    struct cluster_snapshot *s =
        at(OP_ROTATE_KEYS, PHASE_APPEND, "order-in-flight", "a server is at work", "s1");
    text_copy(s->unknown_api, CLUSTER_TEXT_MAX, "10.0.0.14 is alive in the datastore, and no server has it");
    return s;
}

static const struct {
    const char *name;
    struct cluster_snapshot *(*make)(void);
} cases[] = {
    {"readable", case_readable},
    {"halted", case_halted},
    {"drop", case_drop},
    {"abort", case_abort},
    {"idle", case_idle},
    {"blocked", case_blocked},
    {"unknown-api", case_unknown_api},
    {"unknown-api-running", case_unknown_api_running},
};

typedef int render_fn(const struct cluster_snapshot *, struct buf *, struct error *);
static const struct {
    const char *ending;
    render_fn *render;
} formats[] = {{"txt", render_explain_text}, {"json", render_explain_json}};

static void test_goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++)
        for (size_t k = 0; k < array_len(formats); k++) {
            _cleanup_free_ struct cluster_snapshot *s = cases[i].make();
            _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
            struct error err = ERROR_INIT;
            char name[64];
            if (formats[k].render(s, &out, &err) < 0)
                fail_msg("%s: %s", cases[i].name, err.text);
            snprintf(name, sizeof(name), "explain/%s.%s", cases[i].name, formats[k].ending);
            fixture_compare(name, &out);
        }
}

static void test_full_buffer(void **state)
{
    (void)state;
    for (size_t size = 1; size < 700; size += 37)
        for (size_t k = 0; k < array_len(formats); k++) {
            _cleanup_free_ struct cluster_snapshot *s = case_readable();
            _cleanup_(buf_freep) struct buf out = BUF_INIT(size);
            struct error err = ERROR_INIT;
            assert_int_equal(formats[k].render(s, &out, &err), ERR_TOO_LARGE);
        }
}

/* Proofs of an earlier entry of a phase are told apart by what proof_of_phase takes; the table shows all. */
static void test_no_proofs_no_table(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = case_abort();
    _cleanup_(buf_freep) struct buf out = BUF_INIT(4096);
    assert_int_equal(render_proofs(s, &out, NULL), 0);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_full_buffer),
        cmocka_unit_test(test_no_proofs_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
