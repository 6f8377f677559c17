/* Where a repair stands, report by report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <cli/progress.h>

#include "fixture.h"

#define ORDER 42

/* S2's file is another than the settled one, and its repair is ordered. */
static struct cluster_snapshot *ordered(void)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    struct snapshot_server *v = &s->servers[1];
    text_copy(s->rotation.hash, CLUSTER_HASH_MAX, OLD_HASH);
    text_copy(v->report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    text_copy(v->report.file_why, CLUSTER_TEXT_MAX, "changed by somebody");
    v->has_order = true;
    v->order.id = ORDER;
    v->order.kind = ORDER_REPAIR;
    v->order.generation = 1;
    text_copy(v->order.operation, CLUSTER_ID_MAX, "request-1");
    return s;
}

static void said(struct cluster_snapshot *s, int64_t order, enum order_state state, const char *why)
{
    struct cluster_report *r = &s->servers[1].report;
    r->order_id = order;
    r->order_state = state;
    text_copy(r->order_why, CLUSTER_TEXT_MAX, why);
}

static void put_right(struct cluster_snapshot *s)
{
    text_copy(s->servers[1].report.hash, CLUSTER_HASH_MAX, OLD_HASH);
    s->servers[1].report.file_why[0] = 0;
}

static void expect(const struct cluster_snapshot *s, struct repair_goal *g, enum repair_state state,
                   const char *why)
{
    char text[CLUSTER_TEXT_MAX];
    assert_int_equal(repair_state(s, g, text), state);
    assert_string_equal(text, why);
}

static const struct repair_goal goal = {.server = "s2", .request = "request-1"};

static void test_to_its_end(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = ordered();
    struct repair_goal g = goal;
    expect(s, &g, REPAIR_RUNNING, "the order is given");
    said(s, ORDER, ORDER_TAKEN, "");
    expect(s, &g, REPAIR_RUNNING, "at work");
    put_right(s); /* the file is there, the API server is not yet */
    s->servers[1].report.ready = false;
    said(s, ORDER, ORDER_RESTARTING, "");
    expect(s, &g, REPAIR_RUNNING, "restarting");
    said(s, ORDER, ORDER_DONE, "");
    expect(s, &g, REPAIR_RUNNING, "waiting until it is ready");
    s->servers[1].report.ready = true;
    s->servers[1].has_order = false; /* answered orders are deleted */
    expect(s, &g, REPAIR_REACHED, "");
}

/* It is right and says so only with the order's answer: before that, it may be the restart's beginning. */
static void test_right_but_not_answered(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = ordered();
    struct repair_goal g = goal;
    put_right(s);
    expect(s, &g, REPAIR_RUNNING, "the order is given");
    said(s, ORDER, ORDER_RESTARTING, "");
    expect(s, &g, REPAIR_RUNNING, "restarting");
}

static void test_not_right_yet(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        _cleanup_free_ struct cluster_snapshot *s = ordered();
        struct repair_goal g = goal;
        struct cluster_report *r = &s->servers[1].report;
        put_right(s);
        said(s, ORDER, ORDER_DONE, "");
        if (what == 0)
            text_copy(r->hash, CLUSTER_HASH_MAX, NEW_HASH);
        if (what == 1)
            text_copy(r->loaded_hash, CLUSTER_HASH_MAX, NEW_HASH);
        if (what == 2)
            r->loaded_known = false;
        if (what == 3)
            text_copy(r->file_why, CLUSTER_TEXT_MAX, "truncated");
        expect(s, &g, REPAIR_RUNNING, "waiting for its report");
    }
}

static void test_failures(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = ordered();
    struct repair_goal g = goal;
    said(s, ORDER, ORDER_FAILED, "not ready within 180 s");
    expect(s, &g, REPAIR_FAILED, "not ready within 180 s");
    said(s, ORDER, ORDER_REFUSED, "");
    expect(s, &g, REPAIR_FAILED, "its agent gives no reason");
    /* seen once, the order may go: the agent's word stands */
    s->servers[1].has_order = false;
    expect(s, &g, REPAIR_FAILED, "its agent gives no reason");
    /* an older order's failure is none of ours */
    struct repair_goal fresh = goal;
    expect(s, &fresh, REPAIR_RUNNING, "the order is given");
}

static void test_silent(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = ordered();
    struct repair_goal g = goal;
    s->servers[1].reports = false;
    expect(s, &g, REPAIR_RUNNING, "silent: its agent publishes nothing");
    assert_int_equal(g.order_id, ORDER);
    s->servers_count = 1;
    expect(s, &g, REPAIR_RUNNING, "silent: its agent publishes nothing");
}

static void test_another_order_followed(void **state)
{
    (void)state;
    static const char text[] = "another order has followed; see `secrets-encrypt status -o wide`";
    _cleanup_free_ struct cluster_snapshot *s = ordered();
    struct repair_goal g = goal, seen_done = goal;
    expect(s, &g, REPAIR_RUNNING, "the order is given");
    said(s, ORDER, ORDER_DONE, "");
    expect(s, &seen_done, REPAIR_RUNNING, "waiting for its report");
    said(s, ORDER + 1, ORDER_TAKEN, "");
    expect(s, &g, REPAIR_OVERTAKEN, text);
    expect(s, &seen_done, REPAIR_REACHED, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_its_end),    cmocka_unit_test(test_right_but_not_answered),
        cmocka_unit_test(test_not_right_yet), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_silent),        cmocka_unit_test(test_another_order_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
