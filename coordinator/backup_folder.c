#include "backup_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <base/text.h>

#define BETWEEN   "-before-"
#define EXTENSION ".db"

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && !strcmp(text + len - end_len, end);
}

bool backup_name_is_ours(const char *name)
{
    const char *between = strstr(name, BETWEEN);
    return text_is_name(name, BACKUP_NAME_MAX - 1) && between && ends_with(name, EXTENSION) &&
           strlen(between) > strlen(BETWEEN EXTENSION);
}

int backup_name(const char *operation, const char *what, char out[BACKUP_NAME_MAX], struct error *err)
{
    char name[BACKUP_NAME_MAX];
    int n = snprintf(name, sizeof(name), "%s" BETWEEN "%s" EXTENSION, operation, what);
    if (n < 0 || n >= (int)sizeof(name) || !backup_name_is_ours(name))
        return error_set(err, ERR_INVALID, "\"%.100s\", \"%.100s\": no name for a backup", operation, what);
    text_copy(out, BACKUP_NAME_MAX, name);
    return 0;
}

/* --- opening --- */

static int sync_parent(const char *folder, struct error *err)
{
    char parent[PATH_MAX + 4];
    snprintf(parent, sizeof(parent), "%s/..", folder);
    _cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_errno(err, errno, "fsync of the folder above %s", folder);
    return 0;
}

static int make(const char *folder, struct error *err)
{
    if (mkdir(folder, 0700) == 0)
        return sync_parent(folder, err);
    if (errno == ENOENT)
        return error_set(err, ERR_NOT_FOUND, "backup folder %s: the folder above it does not exist; make it",
                         folder);
    return errno == EEXIST ? 0 : error_errno(err, errno, "making the backup folder %s", folder);
}

/* The snapshot has everything the cluster has: nobody else may read it, or put another in its place. */
static int check_owner(int fd, const char *folder, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "backup folder %s", folder);
    if (st.st_uid != geteuid())
        return error_set(
            err, ERR_DENIED,
            "backup folder %s belongs to user %u, not to %u as whom this program runs; chown it, "
            "or name another folder",
            folder, (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & 077)
        return error_set(err, ERR_DENIED,
                         "backup folder %s is open to others (mode %04o); run: chmod 0700 %s", folder,
                         (unsigned)(st.st_mode & 07777), folder);
    return 0;
}

int backup_folder_open(const char *folder, int *ret_fd, struct error *err)
{
    if (strlen(folder) + BACKUP_NAME_MAX + sizeof(BACKUP_SUM) + 8 > PATH_MAX)
        return error_set(err, ERR_INVALID, "backup folder %.200s...: the path is too long", folder);
    int rc = make(folder, err);
    if (rc < 0)
        return rc;
    _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return error_set(err, ERR_INVALID, "backup folder %s is no folder (a link is not followed)", folder);
    if (fd < 0)
        return error_errno(err, errno, "backup folder %s", folder);
    rc = check_owner(fd, folder, err);
    if (rc < 0)
        return rc;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(err, ERR_CONFLICT,
                               "backup folder %s: another process takes a backup there; try again later",
                               folder)
                   : error_errno(err, errno, "locking the backup folder %s", folder);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int backup_folder_free(int fd, uint64_t *ret, struct error *err)
{
    struct statvfs v;
    if (fstatvfs(fd, &v) < 0)
        return error_errno(err, errno, "asking for the free space");
    *ret = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

/* --- what lies in it --- */

struct found {
    char name[BACKUP_NAME_MAX];
    struct timespec time;
};

/* Calls `each` for every name; stops at its first error. */
static int for_names(int fd, int (*each)(int fd, const char *name, void *arg, struct error *err), void *arg,
                     struct error *err)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    if (!dir) {
        int errnum = errno;
        if (again >= 0)
            close(again);
        return error_errno(err, errnum, "reading the backup folder");
    }
    int rc = 0;
    errno = 0;
    for (struct dirent *d; rc == 0 && (d = readdir(dir)); errno = 0)
        rc = each(fd, d->d_name, arg, err);
    if (rc == 0 && errno)
        rc = error_errno(err, errno, "reading the backup folder");
    closedir(dir);
    return rc;
}

static int remove_file(int fd, const char *name, struct error *err)
{
    if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
        return error_errno(err, errno, "removing %s from the backup folder", name);
    return 0;
}

static int remove_part(int fd, const char *name, void *arg, struct error *err)
{
    (void)arg;
    char stem[BACKUP_NAME_MAX];
    size_t len = strlen(name), end = strlen(BACKUP_PART);
    if (!ends_with(name, BACKUP_PART) || len - end >= sizeof(stem))
        return 0;
    memcpy(stem, name, len - end);
    stem[len - end] = 0;
    return backup_name_is_ours(stem) ? remove_file(fd, name, err) : 0;
}

int backup_folder_clean(int fd, struct error *err)
{
    return for_names(fd, remove_part, NULL, err);
}

struct list {
    struct found found[BACKUP_KEEP_MAX];
    size_t count;
    const char *newest;
};

/* Past the list's end files are left for the next time. */
static int note(int fd, const char *name, void *arg, struct error *err)
{
    (void)err;
    struct list *l = arg;
    struct stat st;
    if (l->count == array_len(l->found) || !backup_name_is_ours(name) || !strcmp(name, l->newest))
        return 0;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    struct found *f = &l->found[l->count++];
    text_copy(f->name, sizeof(f->name), name);
    f->time = st.st_mtim;
    return 0;
}

static int younger_first(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    if (a->time.tv_sec != b->time.tv_sec)
        return a->time.tv_sec < b->time.tv_sec ? 1 : -1;
    if (a->time.tv_nsec != b->time.tv_nsec)
        return a->time.tv_nsec < b->time.tv_nsec ? 1 : -1;
    return -strcmp(a->name, b->name);
}

/* The checksum first: a backup without one is still known as ours by the next call. */
static int remove_backup(int fd, const char *name, struct error *err)
{
    char sum[BACKUP_NAME_MAX + sizeof(BACKUP_SUM)];
    snprintf(sum, sizeof(sum), "%s" BACKUP_SUM, name);
    int rc = remove_file(fd, sum, err);
    return rc == 0 ? remove_file(fd, name, err) : rc;
}

int backup_folder_prune(int fd, const char *newest, size_t keep, size_t *ret_removed, struct error *err)
{
    *ret_removed = 0;
    if (keep == 0)
        return 0;
    _cleanup_free_ struct list *l = calloc(1, sizeof(*l));
    if (!l)
        return error_no_memory(err);
    l->newest = newest;
    int rc = for_names(fd, note, l, err);
    if (rc < 0)
        return rc;
    qsort(l->found, l->count, sizeof(l->found[0]), younger_first);
    for (size_t i = keep - 1; i < l->count; i++) {
        rc = remove_backup(fd, l->found[i].name, err);
        if (rc < 0)
            return rc;
        (*ret_removed)++;
    }
    return 0;
}
