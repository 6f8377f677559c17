/* The coordinator's backup of the datastore, from a real etcd. */
#include "snapshot_data.h"

#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "backup.h"

#define NAME "4f6d-before-rewrite.db"

static struct etcd_fixture *fixture;
static struct etcd *client;
static char folder[600];

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 1};
    if (etcd_fixture_start(&o, &fixture) < 0)
        return -1;
    client = etcd_fixture_client(fixture);
    if (!client)
        return -1;
    data_put(client, DATA_KEYS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    etcd_close(client);
    etcd_fixture_free(fixture); /* and all folders below it */
    return 0;
}

/* A folder of its own for each test. */
static int new_folder(void **state)
{
    (void)state;
    static int count;
    char name[32];
    snprintf(name, sizeof(name), "backups-%d", count++);
    snprintf(folder, sizeof(folder), "%s", etcd_fixture_path(fixture, name));
    return 0;
}

static struct backup_options options(const char *name)
{
    return (struct backup_options){.datastore = client, .folder = folder, .name = name};
}

static size_t counted;

static int count_files(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)ftw;
    counted += type != FTW_D;
    return 0;
}

static size_t files_in(const char *path)
{
    counted = 0;
    nftw(path, count_files, 16, FTW_PHYS);
    return counted;
}

static bool there(const char *name)
{
    char path[800];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return stat(path, &st) == 0;
}

static void assert_private(const char *path, mode_t mode)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    assert_int_equal(st.st_uid, geteuid());
}

static void sha256sum_agrees(const char *name, int want)
{
    char sum[200];
    snprintf(sum, sizeof(sum), "%s.sha256", name);
    const char *const args[] = {"sha256sum", "--strict", "-c", sum, NULL};
    assert_int_equal(run_program(folder, args), want);
}

static void a_backup_restores_every_key(void **state)
{
    (void)state;
    int64_t revision;
    struct backup_result r, again;
    struct backup_options o = options(NAME);
    must(etcd_put(client, "/other", "1", 1, 0, CALL_MS, &revision, &err));
    must(backup_take(&o, &r, &err));
    assert_false(r.reused);
    assert_true(r.revision >= revision);
    assert_string_equal(r.member, etcd_fixture_endpoint(fixture, 0));
    assert_true(r.size > DATA_KEYS * DATA_BYTES);
    assert_int_equal(r.pruning.code, 0);
    assert_private(folder, 0700);
    assert_private(r.path, 0600);
    assert_int_equal(files_in(folder), 2);
    sha256sum_agrees(NAME, 0);
    /* The same name again: nothing is done. */
    struct stat before, after;
    assert_int_equal(stat(r.path, &before), 0);
    must(etcd_put(client, "/other", "2", 1, 0, CALL_MS, NULL, &err));
    must(backup_take(&o, &again, &err));
    assert_true(again.reused);
    assert_string_equal(again.sha256, r.sha256);
    assert_string_equal(again.path, r.path);
    assert_int_equal(again.size, r.size);
    assert_int_equal(again.revision, r.revision);
    assert_string_equal(again.member, r.member);
    assert_int_equal(stat(r.path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    data_restore_and_check(r.path, DATA_KEYS);
}

static void damage(const char *name)
{
    char path[800];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, "?!", 2, 20) == 2);
    close(fd);
}

static void remove_in_folder(const char *name)
{
    char path[800];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static void a_damaged_one_is_taken_anew(void **state)
{
    (void)state;
    struct backup_result r;
    struct backup_options o = options(NAME);
    must(backup_take(&o, &r, &err));
    damage(NAME);
    sha256sum_agrees(NAME, 1);
    must(backup_take(&o, &r, &err));
    assert_false(r.reused);
    sha256sum_agrees(NAME, 0);
    damage(NAME ".sha256");
    must(backup_take(&o, &r, &err));
    assert_false(r.reused);
    remove_in_folder(NAME ".sha256");
    must(backup_take(&o, &r, &err));
    assert_false(r.reused);
    sha256sum_agrees(NAME, 0);
    assert_int_equal(files_in(folder), 2);
}

static void only_older_ones_of_ours_go(void **state)
{
    (void)state;
    struct backup_result r;
    static const char *const names[] = {"1-before-rewrite.db", "1-before-drop.db", "2-before-rewrite.db"};
    for (size_t i = 0; i < array_len(names); i++) {
        struct backup_options o = options(names[i]);
        o.keep = 2;
        must(backup_take(&o, &r, &err));
        if (i == 0) { /* an operator's copy */
            char path[800];
            snprintf(path, sizeof(path), "%s/mine.db", folder);
            assert_int_equal(link(r.path, path), 0);
        }
    }
    assert_int_equal(r.removed, 1);
    assert_false(there("1-before-rewrite.db") || there("1-before-rewrite.db.sha256"));
    assert_true(there("1-before-drop.db") && there("1-before-drop.db.sha256"));
    assert_true(there("2-before-rewrite.db") && there("2-before-rewrite.db.sha256") && there("mine.db"));
    assert_int_equal(files_in(folder), 5);
}

static void what_is_refused(void **state)
{
    (void)state;
    struct backup_result r;
    struct backup_options o = options("../x-before-y.db");
    must_fail(ERR_INVALID, "a name like", backup_take(&o, &r, &err));
    o = options(NAME);
    assert_int_equal(mkdir(folder, 0755), 0);
    must_fail(ERR_DENIED, "chmod 0700", backup_take(&o, &r, &err));
    assert_int_equal(files_in(folder), 0);
}

static int little_space(int fd, uint64_t *ret, struct error *err)
{
    (void)fd;
    (void)err;
    *ret = 70u << 20;
    return 0;
}

static int much_space(int fd, uint64_t *ret, struct error *err)
{
    (void)fd;
    (void)err;
    *ret = 1ull << 40;
    return 0;
}

/* The database has some 17 MiB or more: with a tenth and 64 MiB over 80. */
static void a_disk_that_is_too_small(void **state)
{
    (void)state;
    struct backup_result r;
    struct backup_options o = options(NAME);
    o.free_bytes = little_space;
    must_fail(ERR_NO_SPACE, "70 MiB free", backup_take(&o, &r, &err));
    must_fail(ERR_NO_SPACE, folder, backup_take(&o, &r, &err));
    assert_int_equal(files_in(folder), 0);
}

/* The mount is this thread's alone. */
static void a_disk_that_becomes_full(void **state)
{
    (void)state;
    struct backup_result r;
    struct backup_options o = options(NAME);
    assert_int_equal(mkdir(folder, 0700), 0);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=12m,mode=0700") < 0) {
        print_message("no mount namespace here: a full disk is not tried\n");
        skip();
    }
    must_fail(ERR_NO_SPACE, "MiB free", backup_take(&o, &r, &err)); /* as statvfs says */
    o.free_bytes = much_space;
    must_fail(ERR_NO_SPACE, "became full", backup_take(&o, &r, &err));
    assert_int_equal(files_in(folder), 0);
}

static int unmount(void **state)
{
    (void)state;
    (void)umount2(folder, MNT_DETACH); /* was never mounted, if the test was skipped */
    return 0;
}

struct strike {
    atomic_bool cancel;
    bool kill;
    size_t reports;
};

static void strike(void *arg, uint64_t done, uint64_t remaining)
{
    struct strike *s = arg;
    if (s->reports++ > 0)
        return;
    assert_true(done > 0 && remaining > 0);
    assert_true(there(NAME ".part"));
    assert_false(there(NAME));
    if (s->kill)
        etcd_fixture_kill(fixture, 0);
    else
        atomic_store(&s->cancel, true);
}

static void a_stopped_one_leaves_nothing(void **state)
{
    (void)state;
    struct backup_result r;
    struct strike s = {.cancel = false};
    struct backup_options o = options(NAME);
    o.progress = strike;
    o.arg = &s;
    o.cancel = &s.cancel;
    must_fail(ERR_CANCELED, "stopped", backup_take(&o, &r, &err));
    assert_int_equal(s.reports, 1);
    assert_int_equal(files_in(folder), 0);
}

static void a_member_that_dies_leaves_nothing(void **state)
{
    (void)state;
    struct backup_result r;
    struct strike s = {.cancel = false, .kill = true};
    struct backup_options o = options(NAME);
    o.progress = strike;
    o.arg = &s;
    must_fail(ERR_UNAVAILABLE, "broke off after", backup_take(&o, &r, &err));
    assert_true(s.reports > 0);
    assert_int_equal(files_in(folder), 0);
    o.progress = NULL;
    assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    assert_int_equal(etcd_fixture_leader(fixture, 20000), 0);
    must(backup_take(&o, &r, &err));
    assert_int_equal(files_in(folder), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_backup_restores_every_key, new_folder),
        cmocka_unit_test_setup(a_damaged_one_is_taken_anew, new_folder),
        cmocka_unit_test_setup(only_older_ones_of_ours_go, new_folder),
        cmocka_unit_test_setup(what_is_refused, new_folder),
        cmocka_unit_test_setup(a_disk_that_is_too_small, new_folder),
        cmocka_unit_test_setup_teardown(a_disk_that_becomes_full, new_folder, unmount),
        cmocka_unit_test_setup(a_stopped_one_leaves_nothing, new_folder),
        cmocka_unit_test_setup(a_member_that_dies_leaves_nothing, new_folder),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
