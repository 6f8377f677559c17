/* A change of the file wakes, in every way in which files are changed; nothing else in its folder does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/file.h>

#include "../../../agent/file_watch.h"

#define WAIT_MS 5000

static char folder[64], file[96], other[96];
static struct file_watch watch;

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/file-watch.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof(file), "%s/enc.json", folder);
    snprintf(other, sizeof(other), "%s/other", folder);
    if (file_write_atomic(file, "a", 1, 0600, NULL) < 0)
        return -1;
    file_watch_open(&watch, file);
    return watch.fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const left[] = {"/away/real", "/away/real2", "/away", "/enc.json", "/other", ""};
    file_watch_close(&watch);
    for (size_t i = 0; i < array_len(left); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s%s", folder, left[i]);
        (void)remove(path); /* what the test did not make is not there */
    }
    return access(folder, F_OK) == 0 ? -1 : 0;
}

/* True when it wakes within the time, for the file's sake. */
static bool wakes(int timeout_ms)
{
    struct pollfd p = {file_watch_fd(&watch), POLLIN, 0};
    while (poll(&p, 1, timeout_ms) == 1)
        if (file_watch_take(&watch))
            return true;
    return false;
}

static void drain(void)
{
    while (file_watch_take(&watch))
        ;
}

static void write_in_place(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void every_kind_of_change(void **state)
{
    (void)state;
    write_in_place(file, "b");
    assert_true(wakes(WAIT_MS));
    drain();
    assert_int_equal(file_write_atomic(file, "c", 1, 0600, NULL), 0); /* as editors do */
    assert_true(wakes(WAIT_MS));
    drain();
    assert_int_equal(unlink(file), 0);
    assert_true(wakes(WAIT_MS));
    drain();
    write_in_place(file, "d");
    assert_true(wakes(WAIT_MS));
}

static void other_files_do_not_count(void **state)
{
    (void)state;
    write_in_place(other, "x");
    struct pollfd p = {file_watch_fd(&watch), POLLIN, 0};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_false(file_watch_take(&watch));
}

/* What a symbolic link leads to is watched too, also when it leads elsewhere afterwards. */
static void a_link(void **state)
{
    (void)state;
    char away[96], target[128], second[128];
    snprintf(away, sizeof(away), "%s/away", folder);
    snprintf(target, sizeof(target), "%s/real", away);
    snprintf(second, sizeof(second), "%s/real2", away);
    assert_int_equal(mkdir(away, 0700), 0);
    write_in_place(target, "a");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink(target, file), 0);
    assert_true(wakes(WAIT_MS));
    drain();
    write_in_place(target, "b");
    assert_true(wakes(WAIT_MS));
    drain();
    write_in_place(second, "a");
    drain();
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink(second, file), 0);
    assert_true(wakes(WAIT_MS));
    drain();
    write_in_place(second, "c");
    assert_true(wakes(WAIT_MS));
}

/* A folder that is taken away and made again is found again: at the next look. */
static void the_folder_itself(void **state)
{
    (void)state;
    char moved[96];
    snprintf(moved, sizeof(moved), "%s.moved", folder);
    assert_int_equal(rename(folder, moved), 0);
    assert_true(wakes(WAIT_MS));
    drain();
    assert_int_equal(mkdir(folder, 0700), 0);
    (void)file_watch_take(&watch);
    write_in_place(file, "b");
    assert_true(wakes(WAIT_MS));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(rename(moved, folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_of_change, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files_do_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(the_folder_itself, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
