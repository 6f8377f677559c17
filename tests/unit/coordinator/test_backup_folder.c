#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include <base/cleanup.h>

#include "backup_folder.h"

static char root[64];
static char folder[96];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/backup-folder-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(folder, sizeof(folder), "%s/backups", root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file whose age is `age_s`. */
static void file(int fd, const char *name, int age_s)
{
    int f = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(f >= 0);
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = 1700000000 - age_s}};
    assert_int_equal(futimens(f, times), 0);
    close(f);
}

static bool there(int fd, const char *name)
{
    struct stat st;
    return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void names(void **state)
{
    (void)state;
    char name[BACKUP_NAME_MAX];
    struct error err = ERROR_INIT;
    assert_int_equal(backup_name("6f1c", "rewrite", name, NULL), 0);
    assert_string_equal(name, "6f1c-before-rewrite.db");
    assert_true(backup_name_is_ours(name));
    char long_one[2 * BACKUP_NAME_MAX];
    memset(long_one, 'a', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = 0;
    assert_int_equal(backup_name(long_one, "drop", name, &err), ERR_INVALID);
    assert_int_equal(backup_name("../x", "drop", name, &err), ERR_INVALID);
    assert_int_equal(backup_name("a/b", "drop", name, &err), ERR_INVALID);
    assert_int_equal(backup_name("a", "", name, &err), ERR_INVALID);
    static const char *const others[] = {
        "snapshot.db",     "etcd-snapshot-1.db",  "6f1c-before-rewrite.db.sha256",
        "-before-x.db",    ".6f1c-before-x.db",   "6f1c-before-rewrite.db.part",
        "6f1c-before-.db", "6f1c-before-rewrite", ""};
    for (size_t i = 0; i < array_len(others); i++)
        if (backup_name_is_ours(others[i]))
            fail_msg("%s", others[i]);
}

static void the_folder_is_made_for_us_alone(void **state)
{
    (void)state;
    int fd = -1, second = -1;
    struct stat st;
    struct error err = ERROR_INIT;
    mode_t before = umask(0);
    assert_int_equal(backup_folder_open(folder, &fd, NULL), 0);
    umask(before);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(backup_folder_open(folder, &second, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.text, folder));
    assert_int_equal(second, -1);
    close(fd);
    assert_int_equal(backup_folder_open(folder, &fd, NULL), 0);
    close(fd);
}

static void a_folder_that_will_not_do(void **state)
{
    (void)state;
    char path[128];
    int fd = -1;
    struct error err = ERROR_INIT;
    snprintf(path, sizeof(path), "%s/missing/backups", root);
    assert_int_equal(backup_folder_open(path, &fd, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "folder above"));
    static const mode_t modes[] = {0750, 0705, 0701, 0710, 0720, 0702, 01777};
    assert_int_equal(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < array_len(modes); i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        assert_int_equal(backup_folder_open(folder, &fd, &err), ERR_DENIED);
        assert_non_null(strstr(err.text, "chmod 0700"));
    }
    assert_int_equal(chmod(folder, 0700), 0);
    snprintf(path, sizeof(path), "%s/link", root);
    assert_int_equal(symlink(folder, path), 0);
    assert_int_equal(backup_folder_open(path, &fd, &err), ERR_INVALID);
    snprintf(path, sizeof(path), "%s/file", root);
    file(AT_FDCWD, path, 0);
    assert_int_equal(backup_folder_open(path, &fd, &err), ERR_INVALID);
    if (geteuid() == 0) {
        assert_int_equal(chown(folder, 65534, 65534), 0);
        assert_int_equal(backup_folder_open(folder, &fd, &err), ERR_DENIED);
        assert_non_null(strstr(err.text, "belongs to user 65534"));
    }
    assert_int_equal(fd, -1);
}

static void what_a_crash_left_is_removed(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(backup_folder_open(folder, &fd, NULL), 0);
    file(fd, "a-before-rewrite.db.part", 0);
    file(fd, "b-before-drop.db.part", 0);
    file(fd, "b-before-drop.db", 0);
    file(fd, "movie.part", 0);
    file(fd, ".part", 0);
    assert_int_equal(backup_folder_clean(fd, NULL), 0);
    assert_false(there(fd, "a-before-rewrite.db.part"));
    assert_false(there(fd, "b-before-drop.db.part"));
    assert_true(there(fd, "b-before-drop.db"));
    assert_true(there(fd, "movie.part"));
    assert_true(there(fd, ".part"));
    close(fd);
}

static void the_oldest_of_ours_go(void **state)
{
    (void)state;
    int fd = -1;
    size_t removed;
    assert_int_equal(backup_folder_open(folder, &fd, NULL), 0);
    file(fd, "new-before-drop.db", 9000); /* the clock was set back: still the newest */
    file(fd, "b-before-drop.db", 100);
    file(fd, "b-before-drop.db.sha256", 100);
    file(fd, "c-before-drop.db", 200);
    file(fd, "c-before-drop.db.sha256", 200);
    file(fd, "a-before-drop.db", 300);
    file(fd, "operators-own.db", 5000);
    file(fd, "operators-own.db.sha256", 5000);
    assert_int_equal(mkdirat(fd, "dir-before-drop.db", 0700), 0);
    assert_int_equal(symlinkat("/etc/hostname", fd, "link-before-drop.db"), 0);
    assert_int_equal(backup_folder_prune(fd, "new-before-drop.db", 0, &removed, NULL), 0);
    assert_int_equal(removed, 0);
    assert_int_equal(backup_folder_prune(fd, "new-before-drop.db", 2, &removed, NULL), 0);
    assert_int_equal(removed, 2);
    static const char *const stay[] = {
        "new-before-drop.db",      "b-before-drop.db",   "b-before-drop.db.sha256", "operators-own.db",
        "operators-own.db.sha256", "dir-before-drop.db", "link-before-drop.db"};
    for (size_t i = 0; i < array_len(stay); i++)
        if (!there(fd, stay[i]))
            fail_msg("%s is gone", stay[i]);
    assert_false(there(fd, "a-before-drop.db"));
    assert_false(there(fd, "c-before-drop.db"));
    assert_false(there(fd, "c-before-drop.db.sha256"));
    assert_int_equal(backup_folder_prune(fd, "new-before-drop.db", 1, &removed, NULL), 0);
    assert_int_equal(removed, 1);
    assert_true(there(fd, "new-before-drop.db"));
    assert_int_equal(backup_folder_prune(fd, "new-before-drop.db", 1, &removed, NULL), 0);
    assert_int_equal(removed, 0);
    close(fd);
}

static void free_space_is_told(void **state)
{
    (void)state;
    int fd = -1;
    uint64_t bytes = 0;
    assert_int_equal(backup_folder_open(folder, &fd, NULL), 0);
    assert_int_equal(backup_folder_free(fd, &bytes, NULL), 0);
    assert_true(bytes > 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test_setup_teardown(the_folder_is_made_for_us_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_will_not_do, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_of_ours_go, setup, teardown),
        cmocka_unit_test_setup_teardown(free_space_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
