#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include <base/clock.h>

#define BLOCK_SIZE 8192
#define BEAT_MAX   128
#define RETRY_MS   2000 /* after which a page that lost its stream opens another one */

struct stream {
    struct stream *next;
    struct streams *streams;
    struct MHD_Connection *connection;
    struct peer *peer;
    int fd;
    bool suspended, gone;
    /* What is being sent: a document, or a few bytes of our own. */
    struct board_text *text;
    char own[BEAT_MAX];
    size_t own_len, at;
    int64_t sending_ms; /* since when; 0: nothing is */
    int64_t said_ms;    /* when something was last said whole */
    uint64_t number;    /* of the newest document that was begun */
};

struct streams {
    struct board *board;
    struct peers *peers;
    unsigned max, count;
    int64_t beat_ms, send_ms;
    bool ending;
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    struct stream *first;
};

int streams_new(struct board *board, struct peers *peers, unsigned max, int64_t beat_ms, int64_t send_ms,
                struct streams **ret, struct error *err)
{
    pthread_condattr_t monotonic;
    struct streams *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    *s = (struct streams){.board = board, .peers = peers, .max = max, .beat_ms = beat_ms, .send_ms = send_ms};
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->fewer, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = s;
    return 0;
}

void streams_free(struct streams *s)
{
    if (!s)
        return;
    pthread_cond_destroy(&s->fewer);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

unsigned streams_count(struct streams *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

/* ---------- what is said ---------- */

/* A comment is not seen by the page: the beat is an event of its own beside it, with our clock. */
static void say_beat(struct stream *v, int64_t now_ms)
{
    snprintf(v->own, sizeof(v->own), ": alive\nevent: beat\ndata: %" PRId64 "\n\n", clock_wall_ms());
    v->own_len = strlen(v->own);
    v->sending_ms = now_ms;
}

/* The next thing to say. False: there is none. */
static bool find_news(struct stream *v, int64_t now_ms)
{
    if (v->own_len > 0 || v->text)
        return true;
    v->text = board_get(v->streams->board, v->number);
    if (v->text) {
        v->number = v->text->number;
        v->sending_ms = now_ms;
        return true;
    }
    if (now_ms - v->said_ms < v->streams->beat_ms)
        return false;
    say_beat(v, now_ms);
    return true;
}

static void said(struct stream *v, int64_t now_ms)
{
    board_text_unref(take(v->text));
    v->own_len = v->at = 0;
    v->sending_ms = 0;
    v->said_ms = now_ms;
}

static ssize_t copy_out(struct stream *v, char *to, size_t max, int64_t now_ms)
{
    const char *from = v->own_len > 0 ? v->own : v->text->event;
    size_t len = v->own_len > 0 ? v->own_len : v->text->event_len;
    size_t n = len - v->at < max ? len - v->at : max;
    memcpy(to, from + v->at, n);
    v->at += n;
    if (v->at == len)
        said(v, now_ms);
    return (ssize_t)n;
}

/* On the library's thread, whenever the connection takes more. Between looking for news and going to sleep
 * the lock is held, so that no news is slept through. */
static ssize_t read_more(void *arg, uint64_t position, char *to, size_t max)
{
    struct stream *v = arg;
    int64_t now_ms = clock_mono_ms();
    ssize_t n = 0;
    (void)position;
    pthread_mutex_lock(&v->streams->lock);
    if (v->streams->ending || v->gone) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (find_news(v, now_ms)) {
        n = copy_out(v, to, max, now_ms);
    } else {
        v->suspended = true;
        MHD_suspend_connection(v->connection);
    }
    pthread_mutex_unlock(&v->streams->lock);
    return n;
}

/* ---------- their lives ---------- */

static void close_stream(void *arg)
{
    struct stream *v = arg, **at;
    struct streams *s = v->streams;
    pthread_mutex_lock(&s->lock);
    for (at = &s->first; *at && *at != v; at = &(*at)->next)
        ;
    if (*at) {
        *at = v->next;
        s->count--;
    }
    pthread_cond_broadcast(&s->fewer);
    pthread_mutex_unlock(&s->lock);
    board_text_unref(v->text);
    free(v);
}

static bool enlist(struct streams *s, struct stream *v)
{
    pthread_mutex_lock(&s->lock);
    bool room = s->count < s->max && !s->ending;
    if (room) {
        v->next = s->first;
        s->first = v;
        s->count++;
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

struct MHD_Response *streams_open(struct streams *s, struct MHD_Connection *connection, struct peer *peer,
                                  int fd)
{
    struct stream *v = calloc(1, sizeof(*v));
    if (!v)
        return NULL;
    *v = (struct stream){.streams = s, .connection = connection, .peer = peer, .fd = fd};
    snprintf(v->own, sizeof(v->own), "retry: %d\n\n", RETRY_MS);
    v->own_len = strlen(v->own);
    v->sending_ms = clock_mono_ms();
    if (!enlist(s, v)) {
        free(v);
        return NULL;
    }
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, read_more, v, close_stream);
    if (!r)
        close_stream(v);
    return r;
}

/* ---------- waking ---------- */

/* Nobody reads from a connection that sleeps: its end is seen here. */
static bool has_left(const struct stream *v)
{
    char byte;
    ssize_t n = recv(v->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void wake(struct stream *v)
{
    if (!v->suspended)
        return;
    v->suspended = false;
    MHD_resume_connection(v->connection);
}

static void look_at(struct stream *v, uint64_t newest, int64_t now_ms)
{
    if (v->sending_ms > 0 && now_ms - v->sending_ms >= v->streams->send_ms)
        peer_shut(v->streams->peers, v->peer);
    if (!v->suspended)
        return;
    v->gone = has_left(v);
    if (v->gone || newest > v->number || now_ms - v->said_ms >= v->streams->beat_ms)
        wake(v);
}

void streams_tick(struct streams *s, int64_t now_ms)
{
    uint64_t newest = board_number(s->board);
    pthread_mutex_lock(&s->lock);
    for (struct stream *v = s->first; v; v = v->next)
        look_at(v, newest, now_ms);
    pthread_mutex_unlock(&s->lock);
}

void streams_end(struct streams *s, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    for (struct stream *v = s->first; v; v = v->next)
        wake(v);
    while (s->count > 0 && pthread_cond_timedwait(&s->fewer, &s->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&s->lock);
}
