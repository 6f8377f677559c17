#include "file_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <base/text.h>

#define EVENTS_MAX 64 /* reads; what is left wakes again */
#define EVENTS                                                                                               \
    (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF |     \
     IN_MOVE_SELF | IN_ONLYDIR)

/* Where the file stands; false where the path is too long, or has no folder. */
static bool split(const char *path, struct watched_folder *ret)
{
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof(ret->folder) - 1)
        return false;
    snprintf(ret->folder, sizeof(ret->folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return text_copy(ret->name, sizeof(ret->name), slash + 1);
}

static void forget(struct file_watch *w, struct watched_folder *f)
{
    if (f->id >= 0)
        (void)inotify_rm_watch(w->fd, f->id); /* it may be gone already */
    f->id = -1;
}

/* Adding a folder that is watched already gives the same id, and changes nothing. */
static void watch_folder(struct file_watch *w, struct watched_folder *f, const char *path)
{
    struct watched_folder now = {.id = -1};
    if (!split(path, &now)) {
        forget(w, f);
        return;
    }
    now.id = inotify_add_watch(w->fd, now.folder, EVENTS);
    if (f->id >= 0 && f->id != now.id)
        forget(w, f);
    *f = now;
}

/* The link's end first: where both stand in one folder they share what is forgotten. */
static void watch_both(struct file_watch *w)
{
    char real[PATH_MAX];
    if (realpath(w->path, real) && strcmp(real, w->path) != 0)
        watch_folder(w, &w->folders[1], real);
    else
        forget(w, &w->folders[1]);
    watch_folder(w, &w->folders[0], w->path);
}

void file_watch_open(struct file_watch *w, const char *path)
{
    memset(w, 0, sizeof(*w));
    w->folders[0].id = w->folders[1].id = -1;
    w->fd = text_copy(w->path, sizeof(w->path), path) ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
    if (w->fd >= 0)
        watch_both(w);
}

void file_watch_close(struct file_watch *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

int file_watch_fd(const struct file_watch *w)
{
    return w->fd;
}

static bool concerns(const struct file_watch *w, const struct inotify_event *e)
{
    if (e->mask & (IN_Q_OVERFLOW | IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF))
        return true;
    for (size_t i = 0; i < 2; i++)
        if (w->folders[i].id == e->wd && e->len > 0 && strcmp(w->folders[i].name, e->name) == 0)
            return true;
    return false;
}

/* The folder of that id is not watched any more. */
static void lost(struct file_watch *w, int id)
{
    for (size_t i = 0; i < 2; i++)
        if (w->folders[i].id == id)
            w->folders[i].id = -1;
}

bool file_watch_take(struct file_watch *w)
{
    _Alignas(struct inotify_event) char events[4096];
    bool ours = false;
    for (int i = 0; w->fd >= 0 && i < EVENTS_MAX; i++) {
        ssize_t len = read(w->fd, events, sizeof(events));
        if (len <= 0)
            break;
        for (char *at = events; at < events + len;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)at;
            ours |= concerns(w, e);
            if (e->mask & IN_IGNORED)
                lost(w, e->wd);
            at += sizeof(*e) + e->len;
        }
    }
    if (w->fd >= 0)
        watch_both(w);
    return ours;
}
