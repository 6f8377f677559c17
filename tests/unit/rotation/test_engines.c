/* How values are rewritten: through which engine, how fast, and with every API server stopped. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

static struct cluster_request *last_request(struct world *w)
{
    return &w->s->requests[w->s->requests_count - 1].request;
}

static void throttle(struct world *w, int64_t rate)
{
    world_ask(w, OP_THROTTLE, false, "", "");
    last_request(w)->max_rate = rate;
    world_step(w);
}

/* Prepared and rotated; then reencrypt is asked for. */
static void ask_reencrypt(struct world *w, bool offline)
{
    world_init_adopted(w, 3);
    world_request(w, OP_PREPARE, false, false, true);
    world_run(w);
    world_request(w, OP_ROTATE, false, false, true);
    world_run(w);
    world_request(w, OP_REENCRYPT, false, false, true);
    text_copy(last_request(w)->engine, sizeof(last_request(w)->engine), "datastore");
    last_request(w)->offline = offline;
}

static void a_rate_can_be_changed_while_values_are_rewritten(void **state)
{
    (void)state;
    struct world w;
    ask_reencrypt(&w, false);
    world_until(&w, PHASE_REWRITE, ACTION_REWRITE);
    assert_int_equal(w.s->rotation.op.max_rate, -1);
    assert_string_equal(w.s->rotation.op.engine, "datastore");
    struct cluster_operation before = w.s->rotation.op;
    throttle(&w, 500);
    assert_int_equal(w.last.action, ACTION_THROTTLE);
    assert_int_equal(w.s->rotation.op.max_rate, 500);
    assert_int_equal(w.s->rotation.op.step, before.step);
    assert_int_equal(w.s->rotation.op.phase, PHASE_REWRITE);
    assert_string_equal(w.s->rotation.op.id, before.id);
    throttle(&w, 0);
    assert_int_equal(w.s->rotation.op.max_rate, 0);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void without_an_operation_there_is_no_rate(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    throttle(&w, 500);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_non_null(strstr(w.last.why, "reencrypt.max_rate"));
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_step(&w);
    throttle(&w, -1);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    world_free(&w);
}

/* The same command again, with another engine: what the API would not take is moved by the datastore's. */
static void asked_again_another_engine_goes_on(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    last_request(&w)->max_rate = 40;
    w.failed_rewrite = 1;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_string_equal(w.s->rotation.op.engine, "");
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    text_copy(last_request(&w)->engine, sizeof(last_request(&w)->engine), "datastore");
    world_until(&w, PHASE_REWRITE, ACTION_REWRITE);
    assert_string_equal(w.s->rotation.op.engine, "datastore");
    assert_int_equal(w.s->rotation.op.max_rate, 40);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void set_running(struct world *w, size_t i, bool running)
{
    struct cluster_report *r = &w->s->servers[i].report;
    r->ready = r->loaded_known = running;
    text_copy(r->loaded_hash, sizeof(r->loaded_hash), running ? r->hash : "");
}

static void offline_waits_until_every_api_server_is_stopped(void **state)
{
    (void)state;
    struct world w;
    ask_reencrypt(&w, true);
    world_until(&w, PHASE_REWRITE, ACTION_WAIT);
    assert_string_equal(w.last.row, "standing");
    assert_string_equal(w.last.on, "s1");
    set_running(&w, 0, false);
    set_running(&w, 2, false);
    world_wait(&w, 5);
    assert_string_equal(w.last.row, "standing");
    assert_string_equal(w.last.on, "s2");
    set_running(&w, 1, false);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REWRITE);
    world_free(&w);
}

static void offline_a_silent_server_still_blocks(void **state)
{
    (void)state;
    struct world w;
    ask_reencrypt(&w, true);
    world_until(&w, PHASE_REWRITE, ACTION_WAIT);
    for (size_t i = 0; i < 3; i++)
        set_running(&w, i, false);
    world_silence(&w, 2);
    world_wait(&w, 3);
    assert_string_equal(w.last.row, "silent");
    world_free(&w);
}

/* Values are counted with the API servers stopped; the old key goes only once all are back. */
static void offline_the_drop_waits_for_the_api_servers(void **state)
{
    (void)state;
    struct world w;
    ask_reencrypt(&w, true);
    world_until(&w, PHASE_REWRITE, ACTION_WAIT);
    for (size_t i = 0; i < 3; i++)
        set_running(&w, i, false);
    world_until(&w, PHASE_DROP, ACTION_WAIT);
    assert_false(world_did(&w, 0, "issue 4"));
    world_wait(&w, 3);
    assert_string_equal(w.last.row, "unready");
    set_running(&w, 0, true);
    set_running(&w, 1, true);
    world_wait(&w, 3);
    assert_string_equal(w.last.row, "unready");
    assert_string_equal(w.last.on, "s3");
    assert_int_equal(w.s->rotation.op.target, 0);
    set_running(&w, 2, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_can_be_changed_while_values_are_rewritten),
        cmocka_unit_test(without_an_operation_there_is_no_rate),
        cmocka_unit_test(asked_again_another_engine_goes_on),
        cmocka_unit_test(offline_waits_until_every_api_server_is_stopped),
        cmocka_unit_test(offline_a_silent_server_still_blocks),
        cmocka_unit_test(offline_the_drop_waits_for_the_api_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
