#include <agent/state.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#include <agent/decide.h>
#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

#include "state_json.h"

#define STATE_FILE   "agent.json"
#define LOCK_FILE    "lock"
#define LOCK_POLL_MS 10 /* flock has no deadline of its own */
#define STATE_MAX    (64 * 1024)

int state_path(const struct state_dir *d, const char *name, char out[PATH_MAX], struct error *err)
{
    if (snprintf(out, PATH_MAX, "%s/%s", d->path, name) >= PATH_MAX)
        return error_set(err, ERR_INVALID, "state_dir %.200s…: the path is too long", d->path);
    return 0;
}

int state_dir_open(struct state_dir *d, const char *path, const char *cluster, const char *server,
                   struct error *err)
{
    memset(d, 0, sizeof(*d));
    d->lock_fd = -1;
    if (!text_copy(d->path, sizeof(d->path), path) || !text_copy(d->cluster, sizeof(d->cluster), cluster) ||
        !text_copy(d->server, sizeof(d->server), server))
        return error_set(err, ERR_INVALID, "state_dir %.200s…: the path is too long", path);
    int rc = dir_make(d->path, 0700, err);
    if (rc < 0)
        return error_prefix(err, rc, "state_dir");
    char lock[PATH_MAX];
    rc = state_path(d, LOCK_FILE, lock, err);
    if (rc < 0)
        return rc;
    d->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0)
        return error_errno(err, errno, "lock file %s", lock);
    return 0;
}

void state_dir_close(struct state_dir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    d->lock_fd = -1;
}

int state_lock(struct state_dir *d, int64_t timeout_ms, struct error *err)
{
    int64_t deadline = clock_mono_ms() + timeout_ms;
    while (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_errno(err, errno, "locking %s/" LOCK_FILE, d->path);
        if (clock_mono_ms() >= deadline)
            return error_set(err, ERR_TIMEOUT,
                             "%s/" LOCK_FILE " has been held by another process for %lld ms", d->path,
                             (long long)timeout_ms);
        clock_nap_ms(LOCK_POLL_MS);
    }
    return 0;
}

void state_unlock(struct state_dir *d)
{
    (void)flock(d->lock_fd, LOCK_UN); /* cannot fail on a descriptor that holds it */
}

void state_init(struct agent_state *s)
{
    memset(s, 0, sizeof(*s));
}

int state_load(const struct state_dir *d, struct agent_state *ret, struct error *err)
{
    char path[PATH_MAX];
    int rc = state_path(d, STATE_FILE, path, err);
    if (rc < 0)
        return rc;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(STATE_MAX);
    rc = file_read(path, STATE_MAX, &text, err);
    if (rc < 0)
        return rc;
    return state_decode(buf_str(&text), text.len, path, d->cluster, d->server, ret, err);
}

int state_save(const struct state_dir *d, struct agent_state *s, struct error *err)
{
    char path[PATH_MAX];
    int rc = state_path(d, STATE_FILE, path, err);
    if (rc < 0)
        return rc;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(STATE_MAX);
    s->seq++;
    rc = state_encode(s, d->cluster, d->server, &text, err);
    if (rc == 0)
        rc = file_write_atomic(path, text.data, text.len, 0600, err);
    if (rc < 0)
        s->seq--; /* else a later save of the other process would look older than this one */
    return rc;
}

bool state_refresh(const struct state_dir *d, struct agent_state *s)
{
    struct agent_state disk;
    if (state_load(d, &disk, NULL) < 0 || disk.seq <= s->seq)
        return false;
    s->seq = disk.seq;
    s->file = disk.file;
    return true;
}
