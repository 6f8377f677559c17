#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <agent/proof.h>

#define BOOT "boot-a"

static struct process_found process(int64_t pid, int64_t started_boot_ms)
{
    struct process_found p = {.count = PROCESS_ONE, .id = {pid, started_boot_ms / 10, BOOT}};
    p.started_boot_ms = started_boot_ms;
    p.started_wall_ms = 1000000 + started_boot_ms;
    return p;
}

static struct file_seen file(const char *hash, int64_t wall_ms)
{
    struct file_seen f = {.ctime_us = wall_ms * 1000};
    snprintf(f.hash, sizeof(f.hash), "%s", hash);
    return f;
}

/* Generation 2 was written with hash "new" at boot_ms while `running` ran. */
static struct agent_state written(int64_t boot_ms, const struct process_found *running)
{
    struct agent_state s = {.file.written = {2, "new", STAGE_PREPARE}};
    s.file.written_ctime_us = (1000000 + boot_ms) * 1000;
    mark_take(&s.file.mark, running, BOOT, boot_ms);
    return s;
}

static void test_same_process_keeps(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct agent_state s = written(8000, &p);
    struct file_seen f = file("new", 1008000);
    s.loaded = (struct loaded){.process = p.id, .hash = "old", .generation = 1};
    assert_false(proof_update(&s, &p, &f));
    assert_string_equal(s.loaded.hash, "old");
}

/* It ran when the file was written and was never seen before: it may have read either. */
static void test_running_at_write_is_unknown(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct agent_state s = written(8000, &p);
    struct file_seen f = file("new", 1008000);
    assert_true(proof_update(&s, &p, &f));
    assert_string_equal(s.loaded.hash, "");
    assert_true(process_same(&s.loaded.process, &p.id));
    assert_false(proof_update(&s, &p, &f));
}

static void test_new_process_loaded_it(void **state)
{
    (void)state;
    struct process_found old = process(7, 5000), next = process(8, 8500);
    struct agent_state s = written(8000, &old);
    struct file_seen f = file("new", 1008000);
    s.loaded = (struct loaded){.process = old.id, .hash = "old"};
    assert_true(proof_update(&s, &next, &f));
    assert_string_equal(s.loaded.hash, "new");
}

/* Forked before the write (a shell), executed after it: the search at the write saw no API server. */
static void test_exec_after_write(void **state)
{
    (void)state;
    struct process_found none = {.count = PROCESS_NONE}, shell = process(8, 7900);
    struct agent_state s = written(8000, &none);
    struct file_seen f = file("new", 1008000);
    assert_true(proof_update(&s, &shell, &f));
    assert_string_equal(s.loaded.hash, "new");
}

/* With several at the write, or a pid file, only the start time tells. */
static void test_inexact_marks_need_the_start(void **state)
{
    (void)state;
    struct process_found many = {.count = PROCESS_MANY},
                         pid_file = {.count = PROCESS_NONE, .by_pid_file = true};
    struct process_found before = process(8, 7900), after = process(9, 8010);
    const struct process_found *marks[] = {&many, &pid_file};
    struct file_seen f = file("new", 1008000);
    for (size_t i = 0; i < 2; i++) {
        struct agent_state s = written(8000, marks[i]);
        assert_true(proof_update(&s, &before, &f));
        assert_string_equal(s.loaded.hash, "");
        assert_true(proof_update(&s, &after, &f));
        assert_string_equal(s.loaded.hash, "new");
    }
}

static void test_next_boot_is_newer(void **state)
{
    (void)state;
    struct process_found old = process(7, 5000), next = process(7, 5000);
    struct agent_state s = written(8000, &old);
    struct file_seen f = file("new", 1008000);
    snprintf(next.id.boot, sizeof(next.id.boot), "boot-b");
    assert_true(proof_update(&s, &next, &f));
    assert_string_equal(s.loaded.hash, "new");
}

/* The wall clock was set after the write: the process seems to have started after it, but its mark knows
 * better. */
static void test_clock_set_forward(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct agent_state s = written(8000, &p);
    struct file_seen f = file("new", 1008000);
    p.started_wall_ms += 3600 * 1000;
    assert_true(proof_update(&s, &p, &f));
    assert_string_equal(s.loaded.hash, "");
}

/* A file that nobody recorded: the process must have started well after its change. */
static void test_first_start(void **state)
{
    (void)state;
    struct agent_state s = {0};
    struct process_found p = process(7, 5000); /* wall 1005000 */
    struct file_seen older = file("x", 1003000), close = file("x", 1004900), newer = file("x", 1006000);
    assert_true(proof_update(&s, &p, &newer));
    assert_string_equal(s.loaded.hash, "");
    assert_false(proof_update(&s, &p, &close));
    assert_string_equal(s.loaded.hash, "");
    assert_true(proof_update(&s, &p, &older));
    assert_string_equal(s.loaded.hash, "x");
}

/* A file that somebody else put there, seen at boot 8000: whoever is executed later has read it. */
static void test_sighted(void **state)
{
    (void)state;
    struct process_found old = process(7, 7900), next = process(8, 8010);
    struct file_seen f = file("x", 1007999), touched = file("x", 1008005);
    struct agent_state s = {.seen = {.hash = "x", .ctime_us = f.ctime_us}};
    mark_take(&s.seen.mark, &old, BOOT, 8000);
    assert_true(proof_update(&s, &old, &f));
    assert_string_equal(s.loaded.hash, "");
    assert_true(proof_update(&s, &next, &touched)); /* not the version that was seen */
    assert_string_equal(s.loaded.hash, "");
    assert_true(proof_update(&s, &next, &f));
    assert_string_equal(s.loaded.hash, "x");
}

/* Changed and changed back by hand since we wrote it: our mark says nothing about that. */
static void test_touched_since(void **state)
{
    (void)state;
    struct process_found none = {.count = PROCESS_NONE}, p = process(8, 9000);
    struct agent_state s = written(8000, &none);
    struct file_seen f = file("new", 1009500);
    assert_true(proof_update(&s, &p, &f));
    assert_string_equal(s.loaded.hash, "");
}

static void test_no_process_changes_nothing(void **state)
{
    (void)state;
    struct process_found p = {.count = PROCESS_MANY};
    struct agent_state s = {.loaded.hash = "old"};
    struct file_seen f = file("x", 1);
    assert_false(proof_update(&s, &p, &f));
    p.count = PROCESS_NONE;
    assert_false(proof_update(&s, &p, &f));
    assert_string_equal(s.loaded.hash, "old");
}

static void test_missing_file(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct agent_state s = {0};
    struct file_seen f = {0};
    assert_true(proof_update(&s, &p, &f));
    assert_string_equal(s.loaded.hash, "");
}

/* Without an encryption config it is as with a file that encrypts nothing, whenever that was written; and
 * never as with any other. */
static void test_plain(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct agent_state s = {0};
    struct file_seen plain = file("plain", 1000000000), keys = file("keys", 1);
    p.plain = plain.plain = true;
    assert_true(proof_update(&s, &p, &keys));
    assert_string_equal(s.loaded.hash, "");
    assert_false(proof_update(&s, &p, &keys));
    assert_true(proof_update(&s, &p, &plain));
    assert_string_equal(s.loaded.hash, "plain");
    assert_false(proof_update(&s, &p, &keys)); /* it goes on with what it has */
    struct file_seen none = {.plain = true};
    struct process_found next = process(8, 6000);
    next.plain = true;
    assert_true(proof_update(&s, &next, &none));
    assert_string_equal(s.loaded.hash, "");
}

/* The list of arguments that it is known by may have been another one when the mark was taken. */
static void test_plain_is_newer_by_its_start_alone(void **state)
{
    (void)state;
    struct process_found none = {.count = PROCESS_NONE}, p = process(7, 5000);
    struct mark m;
    mark_take(&m, &none, BOOT, 6000);
    assert_true(mark_is_newer(&m, &p));
    p.plain = true;
    assert_false(mark_is_newer(&m, &p));
    mark_take(&m, &none, BOOT, 4000);
    assert_true(mark_is_newer(&m, &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_process_keeps),
        cmocka_unit_test(test_running_at_write_is_unknown),
        cmocka_unit_test(test_new_process_loaded_it),
        cmocka_unit_test(test_exec_after_write),
        cmocka_unit_test(test_inexact_marks_need_the_start),
        cmocka_unit_test(test_next_boot_is_newer),
        cmocka_unit_test(test_clock_set_forward),
        cmocka_unit_test(test_first_start),
        cmocka_unit_test(test_sighted),
        cmocka_unit_test(test_touched_since),
        cmocka_unit_test(test_no_process_changes_nothing),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_plain_is_newer_by_its_start_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
