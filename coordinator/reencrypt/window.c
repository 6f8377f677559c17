#include "window.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/clock.h>

struct window {
    struct etcd *datastore;
    const struct fence *fence;
    int deadline_ms;
    struct batch *batches;
    size_t size; /* at most in flight; there is one more, to fill meanwhile */
    uint64_t next_number;
    pthread_mutex_t lock; /* over the batches' state */
    pthread_cond_t answered;
};

static void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

int window_new(struct etcd *datastore, const struct fence *fence, size_t size, int deadline_ms,
               struct window **ret, struct error *err)
{
    struct window *w = calloc(1, sizeof(*w));
    struct batch *batches = calloc(size + 1, sizeof(*batches));
    if (!w || !batches) {
        free(w);
        free(batches);
        return error_no_memory(err);
    }
    *w = (struct window){
        .datastore = datastore, .fence = fence, .deadline_ms = deadline_ms, .batches = batches, .size = size};
    for (size_t i = 0; i <= size; i++)
        batches[i].window = w;
    pthread_mutex_init(&w->lock, NULL);
    cond_init(&w->answered);
    *ret = w;
    return 0;
}

static void clear(struct batch *b)
{
    free(b->before);
    etcd_txn_wipe(b->txn); /* with identity as the target they are plain */
    etcd_txn_free(b->txn);
    *b = (struct batch){.window = b->window};
}

void window_free(struct window *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i <= w->size; i++)
        while (w->batches[i].state == BATCH_SENT) /* each has a deadline */
            pthread_cond_wait(&w->answered, &w->lock);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i <= w->size; i++)
        clear(&w->batches[i]);
    pthread_cond_destroy(&w->answered);
    pthread_mutex_destroy(&w->lock);
    free(w->batches);
    free(w);
}

static struct batch *first_of(struct window *w, int state)
{
    for (size_t i = 0; i <= w->size; i++)
        if ((int)w->batches[i].state == state)
            return &w->batches[i];
    return NULL;
}

struct batch *window_take(struct window *w, const char *before, int64_t looked_before)
{
    pthread_mutex_lock(&w->lock);
    struct batch *b = first_of(w, BATCH_FREE);
    pthread_mutex_unlock(&w->lock);
    char *copy = b ? strdup(before) : NULL;
    if (!copy)
        return NULL;
    b->before = copy;
    b->looked_before = looked_before;
    b->txn = etcd_txn_new(w->datastore);
    fence_guard(w->fence, b->txn);
    b->number = w->next_number++;
    b->state = BATCH_FILLING;
    return b;
}

int batch_add(struct batch *b, const struct etcd_kv *kv, const void *value, size_t len, struct error *err)
{
    etcd_txn_if_mod(b->txn, kv->key, kv->mod_revision);
    etcd_txn_put(b->txn, kv->key, value, len, kv->lease);
    if (!etcd_txn_key(b->txn, b->count)) /* what else could be wrong with a key that etcd gave us */
        return error_no_memory(err);
    b->bytes += 2 * kv->key_len + len + 64; /* the key stands in the guard as well */
    b->count++;
    return 0;
}

const char *batch_key(const struct batch *b, size_t i)
{
    return etcd_txn_key(b->txn, i);
}

static void answer(struct batch *b, int code, const struct error *err)
{
    struct window *w = b->window;
    pthread_mutex_lock(&w->lock);
    b->code = code;
    if (err)
        b->err = *err;
    b->ms = (double)(clock_mono_ms() - b->sent_ms);
    b->state = BATCH_ANSWERED;
    pthread_cond_broadcast(&w->answered);
    pthread_mutex_unlock(&w->lock);
}

static void on_done(void *arg, int code, int64_t revision, const struct error *err)
{
    (void)revision;
    answer(arg, code, err);
}

void window_send(struct window *w, struct batch *b)
{
    struct error err = ERROR_INIT;
    b->sent_ms = clock_mono_ms();
    b->state = BATCH_SENT; /* before: the answer may be faster than this thread */
    int rc = etcd_txn_start(b->txn, w->deadline_ms, on_done, b, &err);
    if (rc < 0)
        answer(b, rc, &err);
}

struct batch *window_answered(struct window *w, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&w->lock);
    struct batch *b = first_of(w, BATCH_ANSWERED);
    for (int rc = 0; !b && timeout_ms > 0 && rc == 0 && first_of(w, BATCH_SENT);) {
        rc = pthread_cond_timedwait(&w->answered, &w->lock, &until);
        b = first_of(w, BATCH_ANSWERED);
    }
    pthread_mutex_unlock(&w->lock);
    return b;
}

void window_give_back(struct window *w, struct batch *b)
{
    pthread_mutex_lock(&w->lock);
    clear(b);
    pthread_mutex_unlock(&w->lock);
}

bool window_full(struct window *w)
{
    size_t sent = 0;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i <= w->size; i++)
        sent += w->batches[i].state == BATCH_SENT;
    pthread_mutex_unlock(&w->lock);
    return sent >= w->size;
}

size_t window_busy(struct window *w)
{
    size_t busy = 0;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i <= w->size; i++)
        busy += w->batches[i].state != BATCH_FREE;
    pthread_mutex_unlock(&w->lock);
    return busy;
}

const char *window_settled_to(struct window *w, const char *last, int64_t *looked)
{
    const struct batch *oldest = NULL;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i <= w->size; i++)
        if (w->batches[i].state != BATCH_FREE && (!oldest || w->batches[i].number < oldest->number))
            oldest = &w->batches[i];
    pthread_mutex_unlock(&w->lock);
    if (!oldest)
        return last;
    *looked = oldest->looked_before;
    return oldest->before;
}
