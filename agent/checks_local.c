#include <agent/checks.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include <agent/k3s.h>
#include <base/file.h>
#include <base/text.h>
#include <encryption/config.h>

#include "checks_certificates.h"

#define TRY_NAME  ".secrets-encrypt-check.tmp"
#define TRY_BYTES 4096
#define FILES_MAX 10000 /* of the snapshots' folder that are counted */
#define MIB       (1024 * 1024)

void checks_add(struct cluster_checks *c, const char *name, enum check_result result, const char *remedy,
                const char *format, ...)
{
    if (c->checks_count >= CLUSTER_CHECKS_MAX)
        return;
    struct cluster_check *k = &c->checks[c->checks_count++];
    struct error line = ERROR_INIT;
    char text[CLUSTER_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    memset(k, 0, sizeof(*k));
    k->result = result;
    (void)text_copy(k->name, sizeof(k->name), name);
    error_set(&line, ERR_STATE, "%s", text); /* control characters go */
    (void)text_copy(k->text, sizeof(k->text), line.text);
    error_set(&line, ERR_STATE, "%s", result == CHECK_OK || !remedy ? "" : remedy);
    (void)text_copy(k->remedy, sizeof(k->remedy), line.text);
}

/* --- files --- */

static void check_file(const struct config *c, struct cluster_checks *out)
{
    static const char name[] = "encryption-config";
    const char *path = c->encryption_config;
    char remedy[CLUSTER_REMEDY_MAX];
    struct stat st;
    if (stat(path, &st) < 0) {
        struct error err = ERROR_INIT;
        (void)error_errno(&err, errno, "%s", path);
        checks_add(out, name, CHECK_FAIL,
                   "write one and start the API server with --encryption-provider-config, or correct "
                   "`encryption_config`",
                   "%s", err.text);
        return;
    }
    unsigned mode = st.st_mode & 07777;
    if (mode & 077) {
        snprintf(remedy, sizeof(remedy), "chmod 600 %s", path);
        checks_add(out, name, CHECK_FAIL, remedy, "%s: mode %04o: others can read the keys in it", path,
                   mode);
    } else if (st.st_uid != 0 && st.st_uid != geteuid()) {
        checks_add(out, name, CHECK_WARN,
                   "chown it to root, unless the API server runs as that user and cannot read it otherwise",
                   "%s: belongs to user %u, neither to root nor to the agent's", path, (unsigned)st.st_uid);
    } else {
        checks_add(out, name, CHECK_OK, NULL, "%s: mode %04o, owner %u", path, mode, (unsigned)st.st_uid);
    }
}

static void check_content(const struct config *c, struct cluster_checks *out)
{
    static const char name[] = "encryption-config-content";
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *e = NULL;
    const struct resource_set managed = {(const char *const *)c->resources, c->resources_count};
    struct error err = ERROR_INIT;
    int rc = file_read_secret(c->encryption_config, ENCRYPTION_CONFIG_MAX, &text, &err);
    if (rc == 0)
        rc = encryption_config_parse(text->data, text->len, c->encryption_config, &e, &err);
    if (rc < 0) {
        checks_add(out, name, CHECK_FAIL,
                   "mend it, or `secrets-encrypt repair` this server where the cluster knows a config", "%s",
                   err.text);
        return;
    }
    rc = encryption_check_managed(e, managed, &err);
    if (rc < 0) {
        checks_add(out, name, CHECK_FAIL, "correct the file, or `resources` in the configuration", "%s: %s",
                   c->encryption_config, err.text);
        return;
    }
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t count = encryption_keys(e, managed, keys, array_len(keys));
    checks_add(out, name, CHECK_OK, NULL, "%zu key%s for %zu resource%s, values are written %s", count,
               count == 1 ? "" : "s", managed.count, managed.count == 1 ? "" : "s",
               encryption_enabled(e, managed) ? "encrypted" : "plain");
}

/* Is the file the one that the API server was started with? */
static void check_loaded(const struct config *c, const char *proc, struct cluster_checks *out)
{
    static const char name[] = "encryption-config-used";
    static const char remedy[] =
        "start the API server, or correct `encryption_config` (or `pid_file`) in the "
        "configuration";
    struct process_finder finder = {.proc = proc, .config_path = c->encryption_config, .pid_file = ""};
    struct process_found by_argument, by_file = {0};
    if (strcmp(c->driver, "k3s") == 0) { /* its API server is no process of its own */
        checks_add(out, name, CHECK_OK, NULL,
                   "K3s starts its API server inside its own process, with its own file");
        return;
    }
    if (k3s_etcd_only(c)) {
        checks_add(out, name, CHECK_OK, NULL, "this server has no API server (role etcd)");
        return;
    }
    process_find(&finder, &by_argument);
    finder.pid_file = c->pid_file;
    if (*c->pid_file)
        process_find(&finder, &by_file);
    bool listed = by_file.count == PROCESS_ONE;
    if (by_argument.count == PROCESS_ONE && listed && by_argument.id.pid != by_file.id.pid)
        checks_add(out, name, CHECK_WARN, "correct `pid_file`, or leave it out",
                   "%s names process %" PRId64 ", but %" PRId64 " runs with %s", c->pid_file, by_file.id.pid,
                   by_argument.id.pid, c->encryption_config);
    else if (by_argument.count == PROCESS_ONE || (by_argument.count == PROCESS_MANY && listed))
        checks_add(out, name, CHECK_OK, NULL, "process %" PRId64 " was started with %s",
                   listed ? by_file.id.pid : by_argument.id.pid, c->encryption_config);
    else if (listed)
        checks_add(out, name, CHECK_WARN, remedy,
                   "process %" PRId64
                   " (of %s) does not have --encryption-provider-config=%s among its arguments",
                   by_file.id.pid, c->pid_file, c->encryption_config);
    else
        checks_add(out, name, CHECK_FAIL, remedy, "%s", *c->pid_file ? by_file.why : by_argument.why);
}

/* --- rights --- */

static int try_write(int fd)
{
    static const char zeroes[TRY_BYTES];
    ssize_t n = write(fd, zeroes, sizeof(zeroes));
    if (n < (ssize_t)sizeof(zeroes))
        return n < 0 ? errno : ENOSPC;
    return fsync(fd) < 0 ? errno : 0;
}

/* A file that is really made, filled with a page and removed: permissions, read-only mounts, quotas and full
 * disks all show. 0 or an errno. */
static int try_folder(const char *folder)
{
    _cleanup_close_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno;
    (void)unlinkat(dir, TRY_NAME, 0); /* of a run that was killed */
    int fd = openat(dir, TRY_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int problem = try_write(fd);
    close(fd);
    if (unlinkat(dir, TRY_NAME, 0) < 0 && problem == 0)
        problem = errno;
    return problem;
}

/* The folder that the file is in; a symbolic link is followed, as it is when the file is written. */
static void folder_of(const char *path, char out[PATH_MAX])
{
    char real[PATH_MAX];
    (void)text_copy(out, PATH_MAX, realpath(path, real) ? real : path);
    char *slash = strrchr(out, '/');
    if (slash)
        *(slash == out ? slash + 1 : slash) = 0;
}

static void check_folder(const char *name, const char *folder, const char *remedy, struct cluster_checks *out)
{
    int problem = try_folder(folder);
    struct error err = ERROR_INIT;
    if (problem == 0) {
        checks_add(out, name, CHECK_OK, NULL, "%s: a file can be written in it", folder);
        return;
    }
    (void)error_errno(&err, problem, "%s: no file can be written in it", folder);
    checks_add(out, name, CHECK_FAIL, problem == ENOSPC || problem == EDQUOT ? "make room there" : remedy,
               "%s", err.text);
}

static void check_token(const struct config *c, struct cluster_checks *out)
{
    struct stat st;
    char remedy[CLUSTER_REMEDY_MAX];
    snprintf(remedy, sizeof(remedy), "chmod 600 %s", c->token_file);
    if (stat(c->token_file, &st) < 0)
        checks_add(out, "cluster-token", CHECK_FAIL, "copy it from another server", "%s: it is gone",
                   c->token_file);
    else if (st.st_mode & 077)
        checks_add(out, "cluster-token", CHECK_FAIL, remedy, "%s: mode %04o: others can read it",
                   c->token_file, (unsigned)(st.st_mode & 07777));
    else
        checks_add(out, "cluster-token", CHECK_OK, NULL, "%s: mode %04o", c->token_file,
                   (unsigned)(st.st_mode & 07777));
}

static void check_restart(const struct config *c, const struct driver *d, struct cluster_checks *out)
{
    struct error err = ERROR_INIT;
    char remedy[CLUSTER_REMEDY_MAX];
    snprintf(remedy, sizeof(remedy), "correct `driver` and its settings in %s", c->path);
    if (!d)
        checks_add(out, "restart", CHECK_FAIL, remedy, "driver '%s' is not one of this agent's", c->driver);
    else if (d->check(c, &err) < 0)
        checks_add(out, "restart", CHECK_FAIL, remedy, "driver %s: %s", d->name, err.text);
    else
        checks_add(out, "restart", CHECK_OK, NULL, "driver %s: what it restarts the API server with is there",
                   d->name);
}

/* --- disks --- */

static int free_bytes(const char *path, int64_t *ret)
{
    struct statvfs v;
    if (statvfs(path, &v) < 0)
        return errno;
    *ret = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
    return 0;
}

static void check_disk(const char *name, const char *folder, struct cluster_checks *out)
{
    int64_t bytes = 0;
    int problem = free_bytes(folder, &bytes);
    char remedy[CLUSTER_REMEDY_MAX];
    snprintf(remedy, sizeof(remedy), "make room on the disk of %s", folder);
    if (problem) {
        struct error err = ERROR_INIT;
        (void)error_errno(&err, problem, "%s", folder);
        checks_add(out, name, CHECK_FAIL, remedy, "%s", err.text);
        return;
    }
    bool enough = bytes >= CHECKS_DISK_MIN;
    checks_add(out, name, enough ? CHECK_OK : CHECK_FAIL, remedy, "%s: %" PRId64 " MiB are free%s", folder,
               bytes / MIB, enough ? "" : ", 64 MiB are needed");
}

/* Bytes of the files in a folder; 0 where there is none. */
static int64_t folder_bytes(const char *folder)
{
    int64_t sum = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    int count = 0;
    for (struct dirent *e = readdir(dir); e && count < FILES_MAX; e = readdir(dir), count++) {
        struct stat st;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            sum += st.st_size;
    }
    closedir(dir);
    return sum;
}

/* The folder itself, or the nearest one above it that is there. */
static void existing(char path[PATH_MAX])
{
    struct stat st;
    while (stat(path, &st) < 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            break;
        *slash = 0;
    }
}

void checks_snapshot_disk(const struct config *c, int64_t db_bytes, struct cluster_checks *out)
{
    static const char name[] = "disk-snapshots";
    char folder[PATH_MAX], there[PATH_MAX];
    int64_t bytes = 0;
    if (strcmp(c->snapshots, "on") != 0)
        return;
    snprintf(folder, sizeof(folder), "%s%s", *c->snapshot_dir ? c->snapshot_dir : c->state_dir,
             *c->snapshot_dir ? "" : "/snapshots");
    (void)text_copy(there, sizeof(there), folder);
    existing(there);
    int problem = free_bytes(there, &bytes);
    if (problem || db_bytes <= 0) {
        checks_add(out, name, CHECK_WARN, "see what is said about the datastore and the folder",
                   "%s: whether snapshots fit is not known: %s", folder,
                   problem ? "its disk cannot be asked" : "the datastore's size is not known");
        return;
    }
    /* Older ones make room for new ones; a rotation saves the datastore twice. */
    int64_t held = folder_bytes(folder), all = db_bytes * c->snapshot_keep - held, two = 2 * db_bytes - held;
    enum check_result result = bytes >= all ? CHECK_OK : bytes >= two ? CHECK_WARN : CHECK_FAIL;
    checks_add(out, name, result,
               "make room there, set `snapshots.dir` to a larger disk, or keep fewer (`snapshots.keep`)",
               "%s: %" PRId64 " MiB are free; %" PRId64 " snapshots of %" PRId64 " MiB are kept", folder,
               bytes / MIB, c->snapshot_keep, (db_bytes + MIB - 1) / MIB);
}

/* --- clock --- */

static void check_clock(struct cluster_checks *out)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    if (state < 0) /* a unit with ProtectClock may not ask; clocks are compared over the servers anyway */
        checks_add(out, "clock", CHECK_OK, NULL,
                   "not known: this process may not ask the kernel about its clock");
    else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
        checks_add(out, "clock", CHECK_WARN, "run chrony, ntpd or systemd-timesyncd on this server",
                   "the kernel says that the clock is not synchronised");
    else
        checks_add(out, "clock", CHECK_OK, NULL, "the kernel says that the clock is synchronised");
}

void checks_local(const struct config *c, const struct driver *d, const char *proc, int64_t now_ms,
                  struct cluster_checks *out)
{
    char folder[PATH_MAX];
    folder_of(c->encryption_config, folder);
    check_file(c, out);
    check_content(c, out);
    check_loaded(c, proc, out);
    check_folder("encryption-config-folder", folder, "let the agent's user write there; mount it read-write",
                 out);
    check_folder("state-folder", c->state_dir, "let the agent's user write there, or correct `state_dir`",
                 out);
    check_token(c, out);
    check_restart(c, d, out);
    checks_certificates(c, now_ms, out);
    check_disk("disk-config", folder, out);
    check_disk("disk-state", c->state_dir, out);
    check_clock(out);
}
