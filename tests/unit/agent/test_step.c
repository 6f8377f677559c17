/* Orders that go well, orders that are refused, and crashes in between; with real processes and files. */
#include "bench.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

static void assert_file(struct bench *b, int generation)
{
    char *text = bench_read(b->file);
    assert_string_equal(text, b->texts[generation]);
    free(text);
}

static bool yes(struct bench *b)
{
    (void)b;
    return true;
}

static void give(struct bench *b, int64_t id, enum order_kind kind, int64_t generation)
{
    b->order = bench_order(b, id, kind, generation);
    b->seen[0] = 0;
}

/* --- going well --- */

static void test_apply(void **state)
{
    struct bench *b = *state;
    pid_t old = bench_start_server(b);
    give(b, 1, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    struct cluster_report *r = bench_report(b);
    assert_string_equal(r->order_why, "");
    assert_string_equal(b->seen, "none taken restarting done");
    assert_int_equal(r->restarts, 1);
    assert_int_equal(r->generation, 2);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_int_equal(r->loaded_generation, 2);
    assert_string_equal(r->loaded_hash, b->hashes[2]);
    assert_true(r->ready);
    assert_file(b, 2);
    assert_int_not_equal(b->agent.seen.process.id.pid, old);
    /* Once is enough, also after a new start. */
    int fetches = b->fetches;
    bench_run_while(b, yes, 100);
    bench_crash(b);
    bench_run_while(b, yes, 100);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(b->fetches, fetches);
}

static void test_apply_twice(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    for (int i = 2; i <= 3; i++) {
        give(b, i, ORDER_APPLY, i);
        assert_true(bench_run(b, 10000));
        assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
        assert_int_equal(bench_report(b)->loaded_generation, i);
    }
    assert_int_equal(bench_report(b)->restarts, 2);
}

/* The key that a generation dropped is not kept on disk once the server runs without it. */
static void test_previous_file_goes_when_it_is_not_needed(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/" PLACE_PREVIOUS, b->state);
    bench_start_server(b);
    give(b, 1, ORDER_WRITE, 2);
    assert_true(bench_run(b, 10000));
    agent_step(&b->agent, clock_mono_ms());
    assert_int_equal(access(path, F_OK), 0); /* the operator has not restarted it yet */
    give(b, 2, ORDER_APPLY, 3);
    assert_true(bench_run(b, 10000));
    agent_step(&b->agent, clock_mono_ms());
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
}

static void test_apply_without_a_file(void **state)
{
    struct bench *b = *state;
    assert_int_equal(unlink(b->file), 0);
    give(b, 1, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_file(b, 2);
}

static void test_fetch_is_tried_again(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    b->fetch_transient = 2;
    give(b, 1, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(b->fetches, 3);
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
}

static void test_write(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_run_while(b, yes, 50);
    give(b, 1, ORDER_WRITE, 2);
    assert_true(bench_run(b, 5000));
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_DONE);
    assert_int_equal(r->restarts, 0);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_string_equal(r->hash, b->hashes[2]);
    assert_string_not_equal(r->loaded_hash, b->hashes[2]);
    bench_stop_server(b);
    bench_start_server(b);
    bench_run_while(b, yes, 300);
    r = bench_report(b);
    assert_string_equal(r->loaded_hash, b->hashes[2]);
    assert_int_equal(r->loaded_generation, 2);
}

/* The same bytes as a new generation, with another stage: no write, no restart. */
static void test_write_same_bytes(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 1, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    give(b, 2, ORDER_WRITE, 3);
    (void)text_copy(b->order.hash, sizeof(b->order.hash), b->hashes[2]);
    b->order.stage = STAGE_REENCRYPT_FINISHED;
    assert_true(bench_run(b, 5000));
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_DONE);
    assert_int_equal(r->generation, 3);
    assert_int_equal(r->loaded_generation, 3);
    assert_int_equal(r->stage, STAGE_REENCRYPT_FINISHED);
    assert_int_equal(r->restarts, 1);
}

static bool sync_pending(struct bench *b)
{
    return bench_report(b)->order_state != ORDER_DONE;
}

/* What `sync` does, from another process's view of the state. */
static void play_sync(struct bench *b, int generation)
{
    struct state_dir dir;
    struct agent_state s;
    assert_int_equal(state_dir_open(&dir, b->state, "demo", "s1", NULL), 0);
    assert_int_equal(state_lock(&dir, 1000, NULL), 0);
    assert_int_equal(state_load(&dir, &s, NULL), 0);
    struct place place = {b->file, &dir, &b->agent.finder};
    struct version present = {1, "", STAGE_START}, target = {generation, "", b->order.stage};
    (void)text_copy(present.hash, sizeof(present.hash), b->hashes[1]);
    (void)text_copy(target.hash, sizeof(target.hash), b->hashes[generation]);
    struct secret *text = secret_copy(b->texts[generation], strlen(b->texts[generation]));
    assert_int_equal(place_write(&place, &s, &present, true, &target, text, NULL), 0);
    secret_free(text);
    state_unlock(&dir);
    state_dir_close(&dir);
}

static void test_sync(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 1, ORDER_SYNC, 2);
    bench_run_while(b, sync_pending, 300);
    assert_int_equal(bench_report(b)->order_state, ORDER_TAKEN);
    assert_file(b, 1);
    bench_stop_server(b);
    bench_run_while(b, sync_pending, 100);
    play_sync(b, 2);
    bench_run_while(b, sync_pending, 200);
    assert_int_equal(bench_report(b)->order_state, ORDER_TAKEN); /* no server runs with it yet */
    assert_int_equal(bench_report(b)->generation, 2);
    bench_start_server(b);
    bench_run_while(b, sync_pending, 3000);
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_DONE);
    assert_int_equal(r->loaded_generation, 2);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_int_equal(r->restarts, 0);
    assert_int_equal(b->fetches, 0);
    /* The next save keeps what the other process recorded. */
    struct agent_state s;
    assert_int_equal(agent_save(&b->agent, NULL), 0);
    assert_int_equal(state_load(&b->agent.dir, &s, NULL), 0);
    assert_int_equal(s.file.written.generation, 2);
    assert_int_equal(s.file.previous.generation, 0); /* the server runs with 2: nothing to go back to */
}

static void test_restart(void **state)
{
    struct bench *b = *state;
    pid_t old = bench_start_server(b);
    bench_run_while(b, yes, 50);
    give(b, 1, ORDER_RESTART, 0);
    b->order.hash[0] = 0;
    assert_true(bench_run(b, 10000));
    assert_string_equal(b->seen, "none taken restarting done");
    assert_int_not_equal(b->agent.seen.process.id.pid, old);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_file(b, 1);
}

static void test_adopt(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 1, ORDER_ADOPT, 1);
    assert_true(bench_run(b, 5000));
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_DONE);
    assert_int_equal(b->adoptions, 1);
    assert_int_equal(r->generation, 1);
    assert_int_equal(r->stage, STAGE_START);
    assert_int_equal(r->restarts, 0);
}

static void test_adopt_refuses_what_it_cannot_manage(void **state)
{
    struct bench *b = *state;
    b->config.resources[0] = (char[]){"configmaps"};
    give(b, 1, ORDER_ADOPT, 1);
    assert_true(bench_run(b, 5000));
    assert_int_equal(bench_report(b)->order_state, ORDER_REFUSED);
    assert_contains(bench_report(b)->order_why, "configmaps");
    assert_int_equal(b->adoptions, 0);
    give(b, 2, ORDER_ADOPT, 1);
    bench_write(b, "{");
    assert_true(bench_run(b, 5000));
    assert_int_equal(bench_report(b)->order_state, ORDER_REFUSED);
}

/* --- refused --- */

static void assert_refused(struct bench *b, const char *why)
{
    assert_true(bench_run(b, 5000));
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_REFUSED);
    assert_int_equal(r->order_id, b->order.id);
    assert_contains(r->order_why, why);
}

static void test_stale_orders(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 5, ORDER_APPLY, 3);
    assert_true(bench_run(b, 10000));
    give(b, 6, ORDER_APPLY, 4);
    b->order.fence = 9;
    assert_refused(b, "replaced");
    give(b, 4, ORDER_APPLY, 4);
    assert_refused(b, "later order");
    give(b, 6, ORDER_APPLY, 2);
    assert_refused(b, "newer generation");
    give(b, 5, ORDER_APPLY, 4);
    assert_refused(b, "other content");
    assert_file(b, 3);
    /* A higher fence is remembered even from a refused order, across a start. */
    give(b, 6, ORDER_APPLY, 2);
    b->order.fence = 20;
    assert_refused(b, "newer generation");
    bench_crash(b);
    give(b, 7, ORDER_APPLY, 4);
    b->order.fence = 19;
    assert_refused(b, "replaced");
    b->order.fence = 20;
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    /* A restart may name an older generation, but not another file. */
    give(b, 8, ORDER_RESTART, 3);
    b->order.fence = 20;
    assert_refused(b, "another hash");
    give(b, 9, ORDER_RESTART, 2);
    b->order.fence = 20;
    (void)text_copy(b->order.hash, sizeof(b->order.hash), b->hashes[4]);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
}

static void test_bad_bundles(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 1, ORDER_APPLY, 2);
    (void)text_copy(b->order.hash, sizeof(b->order.hash), b->hashes[3]);
    assert_refused(b, "does not have the hash");
    b->fetch_rc = ERR_DENIED;
    give(b, 2, ORDER_WRITE, 2);
    assert_refused(b, "bundle unusable");
    b->fetch_rc = 0;
    free(b->texts[2]);
    b->texts[2] = strdup("not an encryption config");
    assert_non_null(b->texts[2]);
    give(b, 3, ORDER_APPLY, 2);
    (void)text_copy(b->order.hash, sizeof(b->order.hash),
                    "0f0c8ed0a4f1f0cd87d1f0e4ea3ed8c6e2e5fa1de5a8a2b5a4b2a7b0b6c3d9e1");
    assert_refused(b, "hash");
    assert_file(b, 1);
    assert_int_equal(bench_report(b)->restarts, 0);
}

static void test_unknown_order(void **state)
{
    struct bench *b = *state;
    b->offer = false;
    agent_offer_unknown(&b->agent, 77, "kind: 'explode' is unknown");
    bench_run_while(b, yes, 20);
    assert_int_equal(bench_report(b)->order_id, 77);
    assert_int_equal(bench_report(b)->order_state, ORDER_REFUSED);
    assert_contains(bench_report(b)->order_why, "explode");
}

/* A valid file that nobody issued may hold the only copy of a key: it is never written over. */
static void test_foreign_file_is_kept(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 1, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    bench_write(b, b->texts[0]);
    for (int kind = ORDER_APPLY; kind <= ORDER_SYNC; kind++) {
        give(b, 1 + kind, (enum order_kind)kind, 3);
        assert_refused(b, "changed by somebody else");
    }
    assert_file(b, 0);
    assert_int_equal(b->refreshes, 4); /* before the first write, and before it was called foreign */
    assert_int_equal(bench_report(b)->generation, 0);
    assert_contains(bench_report(b)->file_why, "changed by somebody else since");
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[2]);
    /* One that does not parse cannot be running anywhere: it is replaced. */
    bench_write(b, "{\"kind\":");
    give(b, 9, ORDER_APPLY, 3);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_file(b, 3);
}

static void test_restart_refused_on_a_broken_file(void **state)
{
    struct bench *b = *state;
    pid_t pid = bench_start_server(b);
    bench_write(b, "");
    give(b, 1, ORDER_RESTART, 0);
    b->order.hash[0] = 0;
    assert_refused(b, "would not come back");
    assert_int_equal(kill(pid, 0), 0);
}

/* --- in between --- */

static bool before_restart(struct bench *b)
{
    return b->agent.state.job.step != STEP_WAITING;
}

static bool restart_not_running(struct bench *b)
{
    return b->agent.work.restart != RESTART_RUNNING;
}

static void test_replaced_before_it_began(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 1, ORDER_SYNC, 2);
    bench_run_while(b, yes, 50);
    give(b, 2, ORDER_APPLY, 3);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->generation, 3);
}

static void test_withdrawn(void **state)
{
    struct bench *b = *state;
    give(b, 1, ORDER_SYNC, 2);
    bench_run_while(b, yes, 50);
    b->offer = false;
    agent_withdraw(&b->agent);
    assert_int_equal(bench_report(b)->order_state, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "withdrawn");
}

/* A new order has to wait while a server is being restarted, and is taken then. */
static void test_next_order_waits(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_script(b, "sleep 0.3\nrestart");
    give(b, 1, ORDER_APPLY, 2);
    bench_run_while(b, restart_not_running, 5000);
    give(b, 2, ORDER_APPLY, 3);
    bench_run_while(b, yes, 50);
    assert_int_equal(bench_report(b)->order_id, 1);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_id, 2);
    assert_int_equal(bench_report(b)->loaded_generation, 3);
    assert_int_equal(bench_report(b)->restarts, 2);
}

/* After a start the order is read again before anything is done with it. */
static void test_taken_is_confirmed(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    b->fetch_transient = 1000;
    give(b, 1, ORDER_APPLY, 2);
    bench_run_while(b, yes, 50);
    assert_int_equal(bench_report(b)->order_state, ORDER_TAKEN);
    b->fetch_transient = 0;
    b->offer = false;
    bench_crash(b);
    int fetches = b->fetches;
    bench_run_while(b, yes, 200);
    assert_int_equal(b->fetches, fetches);
    assert_true(b->agent.want_order);
    b->offer = true;
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
}

/* Killed between the write and the restart. */
static void test_crash_before_restart(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    b->order = bench_order(b, 1, ORDER_APPLY, 2);
    agent_offer(&b->agent, &b->order);
    while (before_restart(b))
        assert_true(agent_step(&b->agent, clock_mono_ms()));
    bench_crash(b);
    b->offer = false; /* the state store may be away: this is local work */
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_int_equal(bench_report(b)->loaded_generation, 2);
}

/* Killed after the server came back, before that was recorded: not restarted a second time. */
static void test_crash_after_restart(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    b->order = bench_order(b, 1, ORDER_APPLY, 2);
    agent_offer(&b->agent, &b->order);
    while (before_restart(b))
        assert_true(agent_step(&b->agent, clock_mono_ms()));
    bench_stop_server(b);
    bench_start_server(b);
    bench_crash(b);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 0);
}

/* Killed while the restart command ran: it is waited for, and not run a second time. */
static void test_crash_during_restart(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_script(b, "echo x >>mark\nsleep 0.5\nrestart");
    give(b, 1, ORDER_APPLY, 2);
    bench_run_while(b, restart_not_running, 5000);
    bench_crash(b);
    assert_int_equal(b->agent.work.restart, RESTART_RUNNING);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/mark", b->dir);
    char *text = bench_read(path);
    assert_string_equal(text, "x\n");
    free(text);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

/* Killed between the file's rename and its record. */
static void test_crash_during_write(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    b->order = bench_order(b, 1, ORDER_APPLY, 2);
    agent_offer(&b->agent, &b->order);
    b->agent.state.file.intent = (struct version){2, "", STAGE_PREPARE};
    (void)text_copy(b->agent.state.file.intent.hash, CLUSTER_HASH_MAX, b->hashes[2]);
    (void)text_copy(b->agent.state.file.previous.hash, CLUSTER_HASH_MAX, b->hashes[1]);
    assert_int_equal(agent_save(&b->agent, NULL), 0);
    bench_write(b, b->texts[2]);
    bench_crash(b);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
}

static void test_lost_state(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    give(b, 1, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/agent.json", b->state);
    assert_int_equal(file_write_atomic(path, "{\"version\":", 11, 0600, NULL), 0);
    bench_crash(b);
    assert_int_equal(bench_report(b)->order_state, ORDER_NONE);
    /* The order may have been carried out: only a new one is taken. What the server loaded is not known any
     * more, so it is restarted once. */
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_REFUSED);
    give(b, 2, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->loaded_generation, 2);
}

static int setup(void **state)
{
    struct bench *b = malloc(sizeof(*b));
    bench_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    free(*state);
    return 0;
}

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_apply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apply_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_previous_file_goes_when_it_is_not_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apply_without_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt_refuses_what_it_cannot_manage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_orders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_bundles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_file_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_refused_on_a_broken_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_before_it_began, setup, teardown),
        cmocka_unit_test_setup_teardown(test_withdrawn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_next_order_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_is_confirmed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_before_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_after_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_during_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_during_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_state, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
