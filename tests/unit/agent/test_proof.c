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
    assert_false(proof_update(&s, &p, &f, NULL));
    assert_string_equal(s.loaded.hash, "old");
}

/* It ran when the file was written and was never seen before: it may have read either. */
static void test_running_at_write_is_unknown(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct agent_state s = written(8000, &p);
    struct file_seen f = file("new", 1008000);
    assert_true(proof_update(&s, &p, &f, NULL));
    assert_string_equal(s.loaded.hash, "");
    assert_true(process_same(&s.loaded.process, &p.id));
    assert_false(proof_update(&s, &p, &f, NULL));
}

static void test_new_process_loaded_it(void **state)
{
    (void)state;
    struct process_found old = process(7, 5000), next = process(8, 8500);
    struct agent_state s = written(8000, &old);
    struct file_seen f = file("new", 1008000);
    s.loaded = (struct loaded){.process = old.id, .hash = "old"};
    assert_true(proof_update(&s, &next, &f, NULL));
    assert_string_equal(s.loaded.hash, "new");
}

/* Forked before the write (a shell), executed after it: the search at the write saw no API server. */
static void test_exec_after_write(void **state)
{
    (void)state;
    struct process_found none = {.count = PROCESS_NONE}, shell = process(8, 7900);
    struct agent_state s = written(8000, &none);
    struct file_seen f = file("new", 1008000);
    assert_true(proof_update(&s, &shell, &f, NULL));
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
        assert_true(proof_update(&s, &before, &f, NULL));
        assert_string_equal(s.loaded.hash, "");
        assert_true(proof_update(&s, &after, &f, NULL));
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
    assert_true(proof_update(&s, &next, &f, NULL));
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
    assert_true(proof_update(&s, &p, &f, NULL));
    assert_string_equal(s.loaded.hash, "");
}

/* A file that nobody recorded: the process must have started well after its change. */
static void test_first_start(void **state)
{
    (void)state;
    struct agent_state s = {0};
    struct process_found p = process(7, 5000); /* wall 1005000 */
    struct file_seen older = file("x", 1003000), close = file("x", 1004900), newer = file("x", 1006000);
    assert_true(proof_update(&s, &p, &newer, NULL));
    assert_string_equal(s.loaded.hash, "");
    assert_false(proof_update(&s, &p, &close, NULL));
    assert_string_equal(s.loaded.hash, "");
    assert_true(proof_update(&s, &p, &older, NULL));
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
    assert_true(proof_update(&s, &old, &f, NULL));
    assert_string_equal(s.loaded.hash, "");
    assert_true(proof_update(&s, &next, &touched, NULL)); /* not the version that was seen */
    assert_string_equal(s.loaded.hash, "");
    assert_true(proof_update(&s, &next, &f, NULL));
    assert_string_equal(s.loaded.hash, "x");
}

/* Changed and changed back by hand since we wrote it: our mark says nothing about that. */
static void test_touched_since(void **state)
{
    (void)state;
    struct process_found none = {.count = PROCESS_NONE}, p = process(8, 9000);
    struct agent_state s = written(8000, &none);
    struct file_seen f = file("new", 1009500);
    assert_true(proof_update(&s, &p, &f, NULL));
    assert_string_equal(s.loaded.hash, "");
}

static void test_no_process_changes_nothing(void **state)
{
    (void)state;
    struct process_found p = {.count = PROCESS_MANY};
    struct agent_state s = {.loaded.hash = "old"};
    struct file_seen f = file("x", 1);
    assert_false(proof_update(&s, &p, &f, NULL));
    p.count = PROCESS_NONE;
    assert_false(proof_update(&s, &p, &f, NULL));
    assert_string_equal(s.loaded.hash, "old");
}

static void test_missing_file(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct agent_state s = {0};
    struct file_seen f = {0};
    assert_true(proof_update(&s, &p, &f, NULL));
    assert_string_equal(s.loaded.hash, "");
}

/* ---------- a program that writes the file itself while it starts ---------- */

#define YOUNG_MS 60000

static struct early looked(const struct process_found *p, const struct file_seen *f, bool ready,
                           int64_t boot_ms)
{
    struct early e = {0};
    early_look(&e, p, f, ready, YOUNG_MS, boot_ms);
    return e;
}

/* It was started at 5000, wrote the file at 6000, and was ready at 9000. */
static void test_early(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct file_seen old = file("old", 1001000), f = file("new", 1006000);
    struct early e = looked(&p, &old, false, 5500);
    assert_false(early_proves(&e, &p, &old)); /* it has not been ready: it may write yet */
    early_look(&e, &p, &f, false, YOUNG_MS, 7000);
    assert_false(early_proves(&e, &p, &f));
    early_look(&e, &p, &f, true, YOUNG_MS, 9000);
    assert_true(early_proves(&e, &p, &f));
    assert_false(early_proves(&e, &p, &old));
    /* unready for a moment later: what it read at its start stays */
    early_look(&e, &p, &f, false, YOUNG_MS, 20000);
    early_look(&e, &p, &f, true, YOUNG_MS, 21000);
    assert_true(early_proves(&e, &p, &f));
}

/* Each of these leaves open what it read. */
static void test_early_proves_nothing(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000), other = process(8, 9500), none = {.count = PROCESS_NONE},
                         many = {.count = PROCESS_MANY};
    struct file_seen f = file("new", 1006000), touched = file("new", 1009500), later = file("later", 1009500),
                     missing = {0};
    struct early e = looked(&p, &f, true, 9000); /* never seen before it was ready */
    early_look(&e, &p, &f, true, YOUNG_MS, 9500);
    assert_false(early_proves(&e, &p, &f));
    early_look(&e, &p, &f, false, YOUNG_MS, 10000); /* nor can a later moment make up for it */
    early_look(&e, &p, &f, true, YOUNG_MS, 10500);
    assert_false(early_proves(&e, &p, &f));
    e = looked(&p, &f, false,
               5000 + YOUNG_MS); /* old when it was seen first: it may have been ready before */
    early_look(&e, &p, &f, true, YOUNG_MS, 6000 + YOUNG_MS);
    assert_false(early_proves(&e, &p, &f));
    e = looked(&p, &f, false, 7000);
    early_look(&e, &p, &touched, true, YOUNG_MS, 10000); /* changed between the last look and readiness */
    assert_false(early_proves(&e, &p, &touched));
    assert_false(early_proves(&e, &p, &later));
    assert_true(early_proves(&e, &p, &f));
    assert_false(early_proves(&e, &other, &f));
    assert_false(early_proves(&e, &none, &f));
    assert_false(early_proves(&e, &many, &f));
    e = looked(&p, &missing, false, 7000); /* there was no file */
    early_look(&e, &p, &missing, true, YOUNG_MS, 9000);
    assert_false(early_proves(&e, &p, &missing));
    e = (struct early){0};
    assert_false(early_proves(&e, &p, &f));
}

/* The next process begins anew; one that cannot be told changes nothing. */
static void test_early_of_the_next_process(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000), next = process(8, 20000), reused = process(7, 20000),
                         many = {.count = PROCESS_MANY};
    struct file_seen f = file("new", 1006000);
    const struct process_found *successors[] = {&next, &reused};
    for (size_t i = 0; i < 2; i++) {
        struct early e = looked(&p, &f, false, 7000);
        early_look(&e, &p, &f, true, YOUNG_MS, 9000);
        early_look(&e, &many, &f, false, YOUNG_MS, 9500);
        assert_true(early_proves(&e, &p, &f));
        early_look(&e, successors[i], &f, false, YOUNG_MS, 20500);
        assert_false(early_proves(&e, successors[i], &f));
        early_look(&e, successors[i], &f, true, YOUNG_MS, 21000);
        assert_true(early_proves(&e, successors[i], &f));
        assert_false(early_proves(&e, &p, &f));
    }
}

/* It is asked only where it is given. */
static void test_update_with_early(void **state)
{
    (void)state;
    struct process_found p = process(7, 5000);
    struct file_seen f = file("new", 1006000), changed = file("newer", 1012000);
    struct early e = looked(&p, &f, false, 7000);
    struct agent_state s = {0};
    assert_true(proof_update(&s, &p, &f, &e));
    assert_string_equal(s.loaded.hash, "");
    assert_false(proof_update(&s, &p, &f, NULL));
    early_look(&e, &p, &f, true, YOUNG_MS, 9000);
    assert_false(proof_update(&s, &p, &f, NULL));
    assert_true(proof_update(&s, &p, &f, &e));
    assert_string_equal(s.loaded.hash, "new");
    assert_false(proof_update(&s, &p, &changed, &e)); /* changed since: it runs with what it read */
    assert_string_equal(s.loaded.hash, "new");
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
    assert_true(proof_update(&s, &p, &keys, NULL));
    assert_string_equal(s.loaded.hash, "");
    assert_false(proof_update(&s, &p, &keys, NULL));
    assert_true(proof_update(&s, &p, &plain, NULL));
    assert_string_equal(s.loaded.hash, "plain");
    assert_false(proof_update(&s, &p, &keys, NULL)); /* it goes on with what it has */
    struct file_seen none = {.plain = true};
    struct process_found next = process(8, 6000);
    next.plain = true;
    assert_true(proof_update(&s, &next, &none, NULL));
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
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_early_proves_nothing),
        cmocka_unit_test(test_early_of_the_next_process),
        cmocka_unit_test(test_update_with_early),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_plain_is_newer_by_its_start_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
