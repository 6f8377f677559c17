#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/file.h>

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/test-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"a", ".a.tmp", "big", "d/e/f", "d/e", "d"};
    for (size_t i = 0; i < array_len(names); i++)
        (void)remove(in_folder(names[i]));
    return rmdir(folder);
}

static void writes_whole_and_private(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(100);
    assert_int_equal(file_write_atomic(in_folder("a"), "one", 3, 0600, &err), 0);
    /* a temp file that a crash left behind is no obstacle */
    FILE *f = fopen(in_folder(".a.tmp"), "we");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(file_write_atomic(in_folder("a"), "second", 6, 0600, &err), 0);
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_read(in_folder("a"), 100, &b, &err), 0);
    assert_string_equal(buf_str(&b), "second");
    assert_int_not_equal(access(in_folder(".a.tmp"), F_OK), 0);
}

/* The folder of the file never holds another one. */
static void replaces_by_way_of_another_folder(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(100);
    assert_int_equal(dir_make(in_folder("d/e"), 0700, &err), 0);
    char path[128], link[128];
    snprintf(path, sizeof(path), "%s", in_folder("d/e/f"));
    assert_int_equal(file_replace(path, folder, "x", 1, &err), ERR_NOT_FOUND);
    assert_int_equal(file_write_atomic(path, "one", 3, 0640, &err), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(path, 12, 34), 0);
    assert_int_equal(chmod(in_folder("d/e"), 0500), 0);
    assert_int_equal(file_replace(path, "/proc", "two", 3, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "/proc is on another file system than"));
    assert_int_equal(chmod(in_folder("d/e"), 0700), 0);
    assert_int_equal(file_replace(path, folder, "two", 3, &err), 0);
    assert_int_equal(file_read(path, 100, &b, &err), 0);
    assert_string_equal(buf_str(&b), "two");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    if (geteuid() == 0)
        assert_true(st.st_uid == 12 && st.st_gid == 34);
    assert_int_not_equal(access(in_folder(".f.tmp"), F_OK), 0);
    snprintf(link, sizeof(link), "%s", in_folder("a"));
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(file_replace(link, folder, "three", 5, &err), ERR_INVALID);
    assert_int_equal(file_replace(path, in_folder("none"), "three", 5, &err), ERR_NOT_FOUND);
}

static void failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(100);
    assert_int_equal(file_write_atomic(in_folder("a"), "old", 3, 0600, &err), 0);
    assert_int_equal(mkdir(in_folder(".a.tmp"), 0700), 0); /* a folder where the temp file would be */
    assert_int_not_equal(file_write_atomic(in_folder("a"), "new", 3, 0600, &err), 0);
    assert_non_null(strstr(err.text, "/a"));
    assert_int_equal(file_read(in_folder("a"), 100, &b, &err), 0);
    assert_string_equal(buf_str(&b), "old");
    assert_int_equal(rmdir(in_folder(".a.tmp")), 0);
}

static void bad_files_have_their_own_codes(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct secret *s = NULL;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(1000);
    assert_int_equal(file_read(in_folder("none"), 10, &b, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/none: No such file"));
    assert_int_equal(file_read(folder, 10, &b, &err), ERR_INVALID);
    assert_int_equal(file_write_atomic(in_folder("big"), "0123456789x", 11, 0600, &err), 0);
    assert_int_equal(file_read(in_folder("big"), 10, &b, &err), ERR_TOO_LARGE);
    assert_int_equal(file_read_secret(in_folder("big"), 10, &s, &err), ERR_TOO_LARGE);
    assert_null(s);
    assert_int_equal(file_read_secret(in_folder("big"), 11, &s, &err), 0);
    assert_int_equal(s->len, 11);
    assert_memory_equal(s->data, "0123456789x", 11);
    secret_free(s);
}

static void makes_folders(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(dir_make(in_folder("d/e"), 0700, &err), 0);
    assert_int_equal(dir_make(in_folder("d/e"), 0700, &err), 0);
    assert_int_equal(file_write_atomic(in_folder("d/e/f"), "", 0, 0600, &err), 0);
    assert_int_not_equal(dir_make(in_folder("d/e/f"), 0700, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_whole_and_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replaces_by_way_of_another_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_write_leaves_the_old_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_files_have_their_own_codes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(makes_folders, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
