/* --dry-run: what the planner would do, step by step, and what would refuse it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <cli/plan.h>
#include <report/exits.h>

#include "fixture.h"

/* Well, adopted, and with a file that can be rotated. */
static struct cluster_snapshot *ready_cluster(int count)
{
    struct cluster_snapshot *s = fixture_cluster(count, "s");
    text_copy(s->rotation.hash, sizeof(s->rotation.hash), OLD_HASH);
    text_copy(s->rotation.write_provider, sizeof(s->rotation.write_provider), "aescbc");
    s->rotation.keys = 1;
    s->spec.snapshots = s->spec.canaries = true;
    for (int i = 0; i < count; i++)
        text_copy(s->servers[i].report.config_id, CLUSTER_HASH_MAX, OLD_HASH);
    return s;
}

static struct cluster_request request_of(enum operation_kind kind)
{
    return (struct cluster_request){.kind = kind, .restart = true, .max_rate = -1};
}

static void expect_planned(const char *name, const struct cluster_snapshot *s,
                           const struct cluster_request *r, int code)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(256 * 1024);
    _cleanup_(buf_freep) struct buf json = BUF_INIT(256 * 1024);
    struct forecast f;
    struct error err = ERROR_INIT;
    char path[64];
    if (rotation_forecast(s, r, &f, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal(f.stuck, "");
    assert_int_equal(f.starts ? EXIT_DONE : exit_of_cause(f.cause), code);
    assert_int_equal(render_plan_text(s, r, &f, &text, &err), 0);
    assert_int_equal(render_plan_json(s, r, &f, code, &json, &err), 0);
    snprintf(path, sizeof(path), "plan/%s.txt", name);
    fixture_compare(path, &text);
    snprintf(path, sizeof(path), "plan/%s.json", name);
    fixture_compare(path, &json);
    forecast_free(&f);
}

/* The phases of the plan, as "append promote …". */
static void phases_of(const struct cluster_snapshot *s, const struct cluster_request *r, char *out,
                      size_t size)
{
    struct forecast f;
    struct error err = ERROR_INIT;
    size_t used = 0;
    if (rotation_forecast(s, r, &f, &err) < 0)
        fail_msg("%s", err.text);
    if (*f.stuck)
        fail_msg("stuck: %s", f.stuck);
    out[0] = 0;
    for (size_t i = 0; i < f.count && used < size; i++)
        if (i == 0 || f.steps[i].phase != f.steps[i - 1].phase)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     phase_name(f.steps[i].phase));
    forecast_free(&f);
}

static void test_plans(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = ready_cluster(3);
    struct cluster_request r = request_of(OP_ROTATE_KEYS);
    expect_planned("rotate-keys", s, &r, EXIT_DONE);
    r = request_of(OP_RESTART);
    text_copy(r.servers[r.servers_count++], CLUSTER_NAME_MAX, "s3");
    text_copy(r.servers[r.servers_count++], CLUSTER_NAME_MAX, "s2");
    expect_planned("restart", s, &r, EXIT_DONE);
    r = request_of(OP_PREPARE);
    r.restart = false;
    expect_planned("prepare-no-restart", s, &r, EXIT_DONE);
}

static void test_phases_of_every_operation(void **state)
{
    (void)state;
    static const struct {
        enum operation_kind kind;
        enum stage stage;
        const char *phases;
    } cases[] = {
        {OP_PREPARE, STAGE_START, "opens append readable"},
        {OP_ROTATE, STAGE_PREPARE, "backup readable promote written"},
        {OP_REENCRYPT, STAGE_ROTATE, "written backup rewrite verify backup_drop drop final"},
        {OP_ENABLE, STAGE_START, "opens readable switch written"},
        {OP_DISABLE, STAGE_START, "opens identity switch written"},
        {OP_RESTART, STAGE_START, "restart"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_free_ struct cluster_snapshot *s = ready_cluster(3);
        struct cluster_request r = request_of(cases[i].kind);
        char phases[256];
        s->rotation.stage = s->bundles[0].stage = cases[i].stage;
        for (int k = 0; k < 3; k++)
            s->servers[k].report.stage = cases[i].stage;
        if (cases[i].kind == OP_ROTATE)
            text_copy(s->rotation.new_key, sizeof(s->rotation.new_key), "aescbckey-2");
        if (cases[i].kind == OP_ENABLE)
            s->rotation.write_key[0] = 0;
        phases_of(s, &r, phases, sizeof(phases));
        assert_string_equal(phases, cases[i].phases);
    }
}

/* Servers that hand their config to one another, and the operator who stops the API servers. */
static void test_other_ways(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = ready_cluster(3);
    struct cluster_request r = request_of(OP_REENCRYPT);
    s->rotation.stage = s->bundles[0].stage = STAGE_ROTATE;
    for (int k = 0; k < 3; k++)
        s->servers[k].report.stage = STAGE_ROTATE;
    text_copy(r.engine, sizeof(r.engine), "datastore");
    r.offline = true;
    expect_planned("reencrypt-offline", s, &r, EXIT_DONE);

    _cleanup_free_ struct cluster_snapshot *k3s = ready_cluster(3);
    k3s->spec.owned = true;
    k3s->spec.servers[2].role = ROLE_ETCD;
    r = request_of(OP_PREPARE);
    expect_planned("k3s", k3s, &r, EXIT_DONE);
}

/* Files that were changed by hand, alike: taking them over is a step of its own. */
static void test_adoption_comes_first(void **state)
{
    (void)state;
    char phases[256];
    _cleanup_free_ struct cluster_snapshot *s = ready_cluster(2);
    struct cluster_request r = request_of(OP_PREPARE);
    for (int i = 0; i < 2; i++) {
        text_copy(s->servers[i].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
        text_copy(s->servers[i].report.loaded_hash, CLUSTER_HASH_MAX, NEW_HASH);
    }
    phases_of(s, &r, phases, sizeof(phases));
    assert_string_equal(phases, "adopt opens append readable");
}

static void test_refusals(void **state)
{
    (void)state;
    struct cluster_request r = request_of(OP_ROTATE_KEYS);
    _cleanup_free_ struct cluster_snapshot *silent = ready_cluster(2);
    silent->servers[1].reports = false;
    text_copy(silent->servers[1].report_why, CLUSTER_TEXT_MAX, "silent: its agent publishes nothing");
    expect_planned("silent", silent, &r, EXIT_SERVER);

    _cleanup_free_ struct cluster_snapshot *differ = ready_cluster(2);
    text_copy(differ->servers[1].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    expect_planned("mismatch", differ, &r, EXIT_MISMATCH);

    /* No server's trouble: where the plan would begin is not known. */
    _cleanup_free_ struct cluster_snapshot *busy = ready_cluster(2);
    fixture_operation(busy, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
    expect_planned("busy", busy, &r, EXIT_GATE);

    /* With nothing to lead back from there is no plan either. */
    _cleanup_free_ struct cluster_snapshot *idle = ready_cluster(2);
    r = request_of(OP_ABORT);
    expect_planned("nothing-to-abort", idle, &r, EXIT_GATE);
}

/* An abort and a halted operation begin where things stand. */
static void test_from_where_it_stands(void **state)
{
    (void)state;
    struct cluster_request r = request_of(OP_ABORT);
    _cleanup_free_ struct cluster_snapshot *s = ready_cluster(3);
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_APPEND, STAGE_PREPARE);
    s->rotation.base = 1;
    s->rotation.stage = STAGE_PREPARE;
    s->rotation.op.touched = true;
    fixture_at_target(s, 0);
    fixture_order(s, 0, ORDER_APPLY, ORDER_DONE);
    fixture_order(s, 1, ORDER_APPLY, ORDER_RESTARTING);
    expect_planned("abort", s, &r, EXIT_DONE);

    s->rotation.op.state = OP_STATE_HALTED;
    fixture_order(s, 1, ORDER_APPLY, ORDER_FAILED);
    r = request_of(OP_ROTATE_KEYS);
    expect_planned("resumed", s, &r, EXIT_DONE);
}

static void test_a_large_cluster(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = ready_cluster(64);
    struct cluster_request r = request_of(OP_ROTATE_KEYS);
    struct forecast f;
    struct error err = ERROR_INIT;
    assert_int_equal(rotation_forecast(s, &r, &f, &err), 0);
    size_t orders = 0;
    for (size_t i = 0; i < f.count; i++)
        orders += f.steps[i].what == FORECAST_ORDER;
    assert_int_equal(orders, 3 * 64);
    forecast_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),           cmocka_unit_test(test_phases_of_every_operation),
        cmocka_unit_test(test_other_ways),      cmocka_unit_test(test_adoption_comes_first),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_from_where_it_stands),
        cmocka_unit_test(test_a_large_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
