#include "backup_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

#define STATUS_MS   2000
#define SPARE_BYTES (64u << 20)
#define SYNC_BYTES  (8u << 20)
#define MIB(bytes)  ((unsigned long long)(((bytes) + (1u << 20) - 1) >> 20))

struct backup {
    const struct backup_options *options;
    int folder; /* open, locked */
    int fd;     /* the part file */
    char part[BACKUP_NAME_MAX + sizeof(BACKUP_PART)];
    char path[PATH_MAX]; /* the finished file, for texts and the result */
    uint64_t written, synced;
};

/* --- space --- */

/* The largest database among the members that answer: any of them may be the one that sends. */
static int database_size(struct etcd *e, uint64_t *ret, struct error *err)
{
    struct error last = ERROR_INIT;
    uint64_t size = 0;
    bool answered = false;
    for (size_t i = 0; i < etcd_endpoint_count(e); i++) {
        struct etcd_status st;
        if (etcd_member_status(e, i, STATUS_MS, &st, &last) < 0)
            continue;
        answered = true;
        if (st.db_size > 0 && (uint64_t)st.db_size > size)
            size = (uint64_t)st.db_size;
    }
    if (!answered)
        return error_set(err, last.code ? last.code : ERR_UNAVAILABLE, "%s", last.text);
    *ret = size;
    return 0;
}

static int check_space(const struct backup *b, struct error *err)
{
    const struct backup_options *o = b->options;
    uint64_t size = 0, available = 0;
    int rc = database_size(o->datastore, &size, err);
    if (rc == 0)
        rc = (o->free_bytes ? o->free_bytes : backup_folder_free)(b->folder, &available, err);
    if (rc < 0)
        return error_prefix(err, rc, "before a backup to %s", o->folder);
    uint64_t needed = size + size / 10 + SPARE_BYTES;
    if (available >= needed)
        return 0;
    return error_set(err, ERR_NO_SPACE,
                     "no backup of the datastore: %s has %llu MiB free and needs %llu MiB (the database has "
                     "%llu); free some, or name a folder on a larger disk",
                     o->folder, (unsigned long long)(available >> 20), MIB(needed), MIB(size));
}

/* --- writing --- */

static int write_failed(const struct backup *b, int errnum, const char *what, struct error *err)
{
    if (errnum != ENOSPC && errnum != EDQUOT)
        return error_errno(err, errnum, "%s %s" BACKUP_PART, what, b->path);
    return error_set(err, ERR_NO_SPACE,
                     "no backup of the datastore: the disk of %s became full after %llu MiB, and the part "
                     "written was removed; free some, or name a folder on a larger disk",
                     b->options->folder, MIB(b->written));
}

/* Little by little: one large fsync at the end would hold up an etcd that has its log on the same disk. What
 * is on disk need not fill the machine's page cache. */
static int sync_some(struct backup *b, struct error *err)
{
    if (fdatasync(b->fd) < 0)
        return write_failed(b, errno, "writing", err);
    (void)posix_fadvise(b->fd, (off_t)b->synced, (off_t)(b->written - b->synced), POSIX_FADV_DONTNEED);
    b->synced = b->written;
    return 0;
}

static int write_piece(void *arg, const void *data, size_t len, struct error *err)
{
    struct backup *b = arg;
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(b->fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return write_failed(b, n < 0 ? errno : EIO, "writing", err);
        p += n;
        len -= (size_t)n;
        b->written += (uint64_t)n;
    }
    return b->written - b->synced >= SYNC_BYTES ? sync_some(b, err) : 0;
}

static void tell_progress(void *arg, uint64_t done, uint64_t remaining)
{
    struct backup *b = arg;
    if (b->options->progress)
        b->options->progress(b->options->arg, done, remaining);
}

static int copy(struct backup *b, struct etcd_snapshot_result *ret, struct error *err)
{
    const struct backup_options *o = b->options;
    b->fd = openat(b->folder, b->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (b->fd < 0)
        return write_failed(b, errno, "creating", err);
    if (fchmod(b->fd, 0600) < 0)
        return write_failed(b, errno, "mode of", err);
    struct etcd_snapshot_options so = {
        .write = write_piece,
        .progress = tell_progress,
        .arg = b,
        .cancel = o->cancel,
        .idle_ms = o->idle_ms,
    };
    int rc = etcd_datastore_snapshot(o->datastore, &so, ret, err);
    if (rc == 0 && fsync(b->fd) < 0)
        rc = write_failed(b, errno, "fsync of", err);
    return rc;
}

/* --- the checksum beside it: sha256sum's line, and a comment that sha256sum passes over --- */

#define SUM_MAX  1024
#define REVISION "# revision "
#define FROM     " from "

static void sum_path(const struct backup *b, char out[PATH_MAX + sizeof(BACKUP_SUM)])
{
    snprintf(out, PATH_MAX + sizeof(BACKUP_SUM), "%s" BACKUP_SUM, b->path);
}

static int sum_line(const struct backup *b, const char *sha256, struct buf *out, struct error *err)
{
    return buf_addf(out, err, "%s  %s\n", sha256, b->options->name);
}

static int write_sum(const struct backup *b, const struct etcd_snapshot_result *s, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(SUM_MAX);
    char path[PATH_MAX + sizeof(BACKUP_SUM)];
    sum_path(b, path);
    int rc = sum_line(b, s->sha256, &text, err);
    if (rc == 0)
        rc = buf_addf(&text, err, REVISION "%lld" FROM "%s\n", (long long)s->revision, s->url);
    return rc == 0 ? file_write_atomic(path, text.data, text.len, 0600, err) : rc;
}

/* The comment's revision and member, if it is there and well-formed. */
static void read_comment(char *line, struct backup_result *r)
{
    char *from = strstr(line, FROM), *end = strchr(line, '\n');
    if (strncmp(line, REVISION, strlen(REVISION)) != 0 || !from || !end || from > end)
        return;
    *from = *end = 0;
    if (text_int(line + strlen(REVISION), 1, INT64_MAX, &r->revision, NULL) == 0)
        text_copy(r->member, sizeof(r->member), from + strlen(FROM));
}

/* False unless the file's checksum is the one beside it. */
static bool read_sum(const struct backup *b, const char *sha256, struct backup_result *r)
{
    _cleanup_(buf_freep) struct buf want = BUF_INIT(SUM_MAX);
    _cleanup_(buf_freep) struct buf have = BUF_INIT(SUM_MAX);
    char path[PATH_MAX + sizeof(BACKUP_SUM)];
    sum_path(b, path);
    if (sum_line(b, sha256, &want, NULL) < 0 || file_read(path, SUM_MAX, &have, NULL) < 0 ||
        have.len < want.len || memcmp(have.data, want.data, want.len) != 0)
        return false;
    read_comment(have.data + want.len, r);
    return true;
}

/* 1: there is a whole one of this name. 0: there is none, or none that can be relied on. */
static int find_whole(const struct backup *b, struct backup_result *r, struct error *err)
{
    struct stat st;
    struct etcd_snapshot_file file;
    _cleanup_close_ int fd =
        openat(b->folder, b->options->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    int rc = etcd_snapshot_verify(fd, b->path, b->options->cancel, &file, err);
    if (rc == ERR_CANCELED)
        return rc;
    if (rc < 0 || !read_sum(b, file.sha256, r))
        return 0;
    r->size = file.size;
    text_copy(r->sha256, sizeof(r->sha256), file.sha256);
    r->reused = true;
    return 1;
}

/* --- all of it --- */

static int fsync_folder(const struct backup *b, struct error *err)
{
    return fsync(b->folder) < 0 ? error_errno(err, errno, "fsync of the backup folder %s", b->options->folder)
                                : 0;
}

static void remove_sum(const struct backup *b)
{
    char sum[BACKUP_NAME_MAX + sizeof(BACKUP_SUM)];
    snprintf(sum, sizeof(sum), "%s" BACKUP_SUM, b->options->name);
    (void)unlinkat(b->folder, sum, 0);
}

/* The rename comes last: whatever has its final name has a checksum beside it. */
static int publish(struct backup *b, const struct etcd_snapshot_result *s, struct error *err)
{
    const char *name = b->options->name;
    int rc = write_sum(b, s, err);
    if (rc == 0 && renameat(b->folder, b->part, b->folder, name) < 0)
        rc = error_errno(err, errno, "giving %s its name", b->path);
    else if (rc == 0 && (rc = fsync_folder(b, err)) < 0)
        (void)unlinkat(b->folder, name, 0);
    if (rc < 0)
        remove_sum(b);
    return rc;
}

static int take_new(struct backup *b, struct backup_result *r, struct error *err)
{
    struct etcd_snapshot_result snapshot;
    int rc = check_space(b, err);
    if (rc == 0)
        rc = copy(b, &snapshot, err);
    if (rc == 0)
        rc = publish(b, &snapshot, err);
    if (rc < 0) {
        (void)unlinkat(b->folder, b->part, 0);
        return rc;
    }
    r->size = snapshot.size;
    r->revision = snapshot.revision;
    text_copy(r->sha256, sizeof(r->sha256), snapshot.sha256);
    text_copy(r->member, sizeof(r->member), snapshot.url);
    return 0;
}

static int take_or_find(struct backup *b, struct backup_result *r, struct error *err)
{
    const struct backup_options *o = b->options;
    struct error damaged = ERROR_INIT;
    int rc = backup_folder_open(o->folder, &b->folder, err);
    if (rc == 0)
        rc = backup_folder_clean(b->folder, err);
    if (rc < 0)
        return rc;
    snprintf(b->path, sizeof(b->path), "%s/%s", o->folder, o->name);
    snprintf(b->part, sizeof(b->part), "%s" BACKUP_PART, o->name);
    rc = find_whole(b, r, &damaged);
    if (rc < 0)
        return error_set(err, rc, "%s", damaged.text);
    rc = rc == 0 ? take_new(b, r, err) : fsync_folder(b, err);
    if (rc < 0)
        return rc;
    text_copy(r->path, sizeof(r->path), b->path);
    r->pruning.code = backup_folder_prune(b->folder, o->name, o->keep, &r->removed, &r->pruning);
    return 0;
}

int backup_take(const struct backup_options *options, struct backup_result *ret, struct error *err)
{
    if (!backup_name_is_ours(options->name) || options->keep > BACKUP_KEEP_MAX)
        return error_set(err, ERR_INVALID,
                         "backup \"%.100s\", %zu to keep: a name like <operation>-before-rewrite.db is "
                         "needed, and at most %d",
                         options->name, options->keep, BACKUP_KEEP_MAX);
    _cleanup_free_ struct backup_result *r = calloc(1, sizeof(*r));
    struct backup b = {.options = options, .folder = -1, .fd = -1};
    if (!r)
        return error_no_memory(err);
    int64_t began = clock_mono_ms();
    int rc = take_or_find(&b, r, err);
    closep(&b.fd);
    closep(&b.folder);
    if (rc < 0)
        return rc;
    r->millis = clock_mono_ms() - began;
    *ret = *r;
    return 0;
}
