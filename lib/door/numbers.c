#include "numbers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <base/cleanup.h>

#define RANGE_MAX   8192 /* with a rest of a minute: 136 connections a second, again and again */
#define LIMIT_WANTS 12288
#define RANGE_START 4096 /* where the limit allows: below it is for everybody else */

struct number {
    bool out;    /* handed on, and not seen to have ended */
    bool used;   /* ended at ended_ms */
    ino_t inode; /* of the socket that has it: another thread's file under this number is not it */
    uid_t uid;   /* of a unix socket's peer; (uid_t)-1: TCP */
    int64_t ended_ms;
};

struct numbers {
    int64_t rests_ms;
    int first, count, next; /* next: an index, so that numbers come round as late as can be */
    unsigned out_count;
    struct number table[];
};

/* The soft limit after an attempt to raise it. */
static int file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    if (limit.rlim_cur < LIMIT_WANTS) {
        struct rlimit more = limit;
        more.rlim_cur = limit.rlim_max < LIMIT_WANTS ? limit.rlim_max : LIMIT_WANTS;
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            limit = more;
    }
    return limit.rlim_cur > LIMIT_WANTS ? LIMIT_WANTS : (int)limit.rlim_cur;
}

int numbers_new(int64_t rests_ms, struct numbers **ret, struct error *err)
{
    int limit = file_limit();
    int first = limit / 2 < RANGE_START ? limit / 2 : RANGE_START;
    int count = limit - first < RANGE_MAX ? limit - first : RANGE_MAX;
    if (count < 16)
        return error_set(err, ERR_IO, "only %d files may be open at once; raise that limit (LimitNOFILE=)",
                         limit);
    struct numbers *n = calloc(1, sizeof(*n) + (size_t)count * sizeof(n->table[0]));
    if (!n)
        return error_no_memory(err);
    n->rests_ms = rests_ms;
    n->first = first;
    n->count = count;
    *ret = n;
    return 0;
}

void numbers_free(struct numbers *n)
{
    free(n);
}

static bool is_free(const struct numbers *n, int i, int64_t now_ms)
{
    const struct number *t = &n->table[i];
    return !t->out && (!t->used || now_ms - t->ended_ms >= n->rests_ms);
}

static int duplicate_to(const struct numbers *n, int fd, int i)
{
    int got = fcntl(fd, F_DUPFD_CLOEXEC, n->first + i);
    if (got == n->first + i || got < 0)
        return got;
    close(got); /* somebody else has that number */
    return -1;
}

static void hand_out(struct numbers *n, int i, uid_t uid)
{
    struct stat st = {0};
    (void)fstat(n->first + i, &st); /* of a descriptor that is open: cannot fail */
    n->table[i] = (struct number){.out = true, .inode = st.st_ino, .uid = uid};
    n->out_count++;
    n->next = (i + 1) % n->count;
}

int numbers_move(struct numbers *n, int *fd, uid_t uid, int64_t now_ms, struct error *err)
{
    for (int tried = 0; tried < n->count; tried++) {
        int i = (n->next + tried) % n->count;
        if (!is_free(n, i, now_ms) || duplicate_to(n, *fd, i) < 0)
            continue;
        close(*fd);
        *fd = n->first + i;
        hand_out(n, i, uid);
        return 0;
    }
    return error_set(err, ERR_TOO_LARGE, "%d connections came within a minute; wait for one", n->count);
}

static bool has_ended(int fd, const struct number *t)
{
    struct stat st;
    return fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_ino != t->inode;
}

void numbers_look(struct numbers *n, int64_t now_ms)
{
    unsigned left = n->out_count;
    for (int i = 0; i < n->count && left > 0; i++) {
        struct number *t = &n->table[i];
        if (!t->out)
            continue;
        left--;
        if (!has_ended(n->first + i, t))
            continue;
        *t = (struct number){.used = true, .ended_ms = now_ms, .uid = (uid_t)-1};
        n->out_count--;
    }
}

unsigned numbers_unix(const struct numbers *n)
{
    unsigned count = 0;
    for (int i = 0; i < n->count; i++)
        count += n->table[i].out && n->table[i].uid != (uid_t)-1;
    return count;
}

unsigned numbers_of_user(const struct numbers *n, uid_t uid)
{
    unsigned count = 0;
    for (int i = 0; i < n->count; i++)
        count += n->table[i].out && n->table[i].uid == uid;
    return count;
}
