#include <base/file.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* Opens a regular file of at most max bytes; *ret_size is its size at that moment. */
static int open_regular(const char *path, size_t max, int *ret_fd, size_t *ret_size, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_INVALID, "%s: not a regular file", path);
    if ((uint64_t)st.st_size > max)
        return error_set(err, ERR_TOO_LARGE, "%s: %lld bytes, at most %zu are read", path,
                         (long long)st.st_size, max);
    *ret_fd = fd;
    *ret_size = (size_t)st.st_size;
    fd = -1;
    return 0;
}

/* Reads up to size bytes; *ret_len may be less at the end of the file. */
static int read_full(int fd, const char *path, void *data, size_t size, size_t *ret_len, struct error *err)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, (char *)data + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "reading %s", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return 0;
}

int file_read_secret(const char *path, size_t max, struct secret **ret, struct error *err)
{
    _cleanup_close_ int fd = -1;
    size_t size = 0;
    int rc = open_regular(path, max, &fd, &size, err);
    if (rc < 0)
        return rc;
    /* One byte more than its size: a file that grew meanwhile is seen, not cut. */
    _cleanup_(secret_freep) struct secret *s = secret_new(size + 1);
    if (!s)
        return error_no_memory(err);
    rc = read_full(fd, path, s->data, size + 1, &s->len, err);
    if (rc < 0)
        return rc;
    if (s->len > size)
        return error_set(err, ERR_UNAVAILABLE, "%s: grew while it was read; try again", path);
    *ret = take(s);
    return 0;
}

int file_read(const char *path, size_t max, struct buf *out, struct error *err)
{
    _cleanup_close_ int fd = -1;
    size_t size = 0;
    int rc = open_regular(path, max, &fd, &size, err);
    if (rc < 0)
        return rc;
    char chunk[16384];
    size_t got = 0, total = 0;
    do {
        rc = read_full(fd, path, chunk, sizeof(chunk), &got, err);
        if (rc < 0)
            return rc;
        total += got;
        if (total > max)
            return error_set(err, ERR_TOO_LARGE, "%s: more than %zu bytes", path, max);
        rc = buf_add(out, chunk, got, err);
        if (rc < 0)
            return error_prefix(err, rc, "%s", path);
    } while (got == sizeof(chunk));
    return 0;
}

static int write_all(int fd, const char *path, const void *data, size_t len, struct error *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "writing %s", path);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Splits path into its folder (opened) and name. */
static int open_folder(const char *path, int *ret_fd, const char **ret_name, struct error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!*name || len >= sizeof(folder))
        return error_set(err, ERR_INVALID, "'%s' is not the path of a file", path);
    memcpy(folder, path, len);
    folder[len] = 0;
    const char *dir = slash ? (len ? folder : "/") : ".";
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "folder %s", dir);
    *ret_fd = fd;
    *ret_name = name;
    return 0;
}

/* Keeps owner and group of the file that is replaced, where we may. */
static void keep_owner(int dir, const char *name, int fd)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        fchown(fd, st.st_uid, st.st_gid) < 0)
        return; /* not root: the new file belongs to us, as any editor's would */
}

static int write_temp(int dir, const char *temp, const char *name, const char *path, const void *data,
                      size_t len, mode_t mode, struct error *err)
{
    if (unlinkat(dir, temp, 0) < 0 && errno != ENOENT)
        return error_errno(err, errno, "removing an old temp file beside %s", path);
    _cleanup_close_ int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return error_errno(err, errno, "creating a temp file beside %s", path);
    keep_owner(dir, name, fd);
    if (fchmod(fd, mode) < 0)
        return error_errno(err, errno, "%s", path);
    int rc = write_all(fd, path, data, len, err);
    if (rc < 0)
        return rc;
    if (fsync(fd) < 0)
        return error_errno(err, errno, "fsync of %s", path);
    return 0;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
    _cleanup_close_ int dir = -1;
    const char *name = NULL;
    int rc = open_folder(path, &dir, &name, err);
    if (rc < 0)
        return rc;
    char temp[NAME_MAX + 1];
    if (snprintf(temp, sizeof(temp), ".%s.tmp", name) >= (int)sizeof(temp))
        return error_set(err, ERR_INVALID, "%s: the file's name is too long", path);
    rc = write_temp(dir, temp, name, path, data, len, mode, err);
    if (rc == 0 && renameat(dir, temp, dir, name) < 0)
        rc = error_errno(err, errno, "replacing %s", path);
    if (rc < 0) {
        (void)unlinkat(dir, temp, 0); /* best effort: the next write removes it too */
        return rc;
    }
    if (fsync(dir) < 0)
        return error_errno(err, errno, "fsync of the folder of %s", path);
    return 0;
}

/* A new file of that owner and mode. */
static int write_like(int dir, const char *temp, const struct stat *like, const char *path, const void *data,
                      size_t len, struct error *err)
{
    if (unlinkat(dir, temp, 0) < 0 && errno != ENOENT)
        return error_errno(err, errno, "removing an old temp file for %s", path);
    _cleanup_close_ int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, errno, "creating a temp file for %s", path);
    if (fchown(fd, like->st_uid, like->st_gid) < 0 || fchmod(fd, like->st_mode & 07777) < 0)
        return error_errno(err, errno, "owner and mode of %s", path);
    int rc = write_all(fd, path, data, len, err);
    if (rc < 0)
        return rc;
    return fsync(fd) < 0 ? error_errno(err, errno, "fsync of %s", path) : 0;
}

static int open_temp_folder(const char *temp_folder, const char *path, const struct stat *like, int *ret_fd,
                            struct error *err)
{
    struct stat st;
    int fd = open(temp_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = error_errno(err, errno, "folder %s", temp_folder);
        closep(&fd);
        return rc;
    }
    *ret_fd = fd;
    return st.st_dev == like->st_dev
               ? 0
               : error_set(err, ERR_UNSUPPORTED, "%s is on another file system than %s", temp_folder, path);
}

int file_replace(const char *path, const char *temp_folder, const void *data, size_t len, struct error *err)
{
    _cleanup_close_ int dir = -1, temp_dir = -1;
    const char *name = NULL;
    struct stat st;
    char temp[NAME_MAX + 1];
    int rc = open_folder(path, &dir, &name, err);
    if (rc < 0)
        return rc;
    if (snprintf(temp, sizeof(temp), ".%s.tmp", name) >= (int)sizeof(temp))
        return error_set(err, ERR_INVALID, "%s: the file's name is too long", path);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_INVALID, "%s: not a regular file", path);
    rc = open_temp_folder(temp_folder, path, &st, &temp_dir, err);
    if (rc < 0)
        return rc;
    rc = write_like(temp_dir, temp, &st, path, data, len, err);
    if (rc == 0 && renameat(temp_dir, temp, dir, name) < 0)
        rc = errno == EXDEV
                 ? error_set(err, ERR_UNSUPPORTED, "%s is on another file system than %s", temp_folder, path)
                 : error_errno(err, errno, "replacing %s", path);
    if (rc < 0) {
        (void)unlinkat(temp_dir, temp, 0); /* best effort: the next write removes it too */
        return rc;
    }
    if (fsync(dir) < 0 || fsync(temp_dir) < 0)
        return error_errno(err, errno, "fsync of the folder of %s", path);
    return 0;
}

int dir_make(const char *path, mode_t mode, struct error *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part))
        return error_set(err, ERR_INVALID, "'%.64s' is not the path of a folder", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return error_errno(err, errno, "folder %s", part);
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return error_errno(err, errno, "folder %s", path);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, ERR_INVALID, "%s: not a folder", path);
    return 0;
}
