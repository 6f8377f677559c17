/* Pages of a prefix, the next one read by a thread while the caller works on this one. */
#include "internal.h"

#include <pthread.h>

#include <base/buf.h>
#include <base/clock.h>
#include <base/text.h>

#define BACKOFF_MS     100
#define BACKOFF_MAX_MS 2000

struct etcd_pager {
    struct etcd *etcd;
    struct etcd_pager_options options;
    char *prefix;
    struct buf from;  /* where the next page begins; the thread's alone */
    int64_t revision; /* 0: the next page decides; the thread's alone */
    int64_t page;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;  /* under lock, as all below */
    bool full;  /* `next` waits to be taken */
    bool ended; /* nothing follows `next` */
    struct etcd_range next;
    int code;
    struct error err;
};

static bool stopping(struct etcd_pager *p)
{
    pthread_mutex_lock(&p->lock);
    bool stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return stop || (p->options.cancel && atomic_load(p->options.cancel));
}

#define LOOK_MS 100 /* how often a wait looks at `cancel` */

/* Waits between two tries; true when it is asked to stop. */
static bool pause_ms(struct etcd_pager *p, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    for (;;) {
        if (stopping(p))
            return true;
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            return false;
        pthread_mutex_lock(&p->lock);
        if (!p->stop)
            cond_wait_ms(&p->changed, &p->lock, left < LOOK_MS ? left : LOOK_MS);
        pthread_mutex_unlock(&p->lock);
    }
}

static int read_page(struct etcd_pager *p, struct etcd_range *ret, struct error *err)
{
    for (unsigned try = 0;;) {
        struct etcd_range_options o = {
            .prefix = p->prefix,
            .from = p->from.len ? p->from.data : NULL,
            .from_len = p->from.len,
            .limit = p->page,
            .revision = p->revision > 0 ? p->revision : 0,
            .keys_only = p->options.keys_only,
        };
        if (stopping(p))
            return error_set(err, ERR_CANCELED, "reading %s was stopped", p->prefix);
        int rc = etcd_list(p->etcd, &o, p->options.deadline_ms, ret, err);
        if (rc == ERR_TOO_LARGE && p->page > 1) {
            p->page /= 2; /* no failure: the same again, smaller */
            continue;
        }
        if (rc == 0 || rc == ERR_COMPACTED || !error_is_transient(rc) || ++try >= p->options.tries)
            return rc;
        if (pause_ms(p, backoff_ms(try - 1, BACKOFF_MS, BACKOFF_MAX_MS)))
            return error_set(err, ERR_CANCELED, "reading %s was stopped", p->prefix);
    }
}

/* The page after this one begins right behind its last key: at that key with a NUL added. */
static int advance(struct etcd_pager *p, const struct etcd_range *page, struct error *err)
{
    const struct etcd_kv *last = &page->kvs[page->count - 1];
    if (p->revision == 0)
        p->revision = page->revision;
    buf_reset(&p->from);
    int rc = buf_add(&p->from, last->key, last->key_len, err);
    return rc < 0 ? rc : buf_add(&p->from, "", 1, err);
}

/* Hands a page over once the one before it was taken; false when it is to stop. */
static bool hand_over(struct etcd_pager *p, int code, const struct error *err, struct etcd_range *page,
                      bool last)
{
    pthread_mutex_lock(&p->lock);
    while (p->full && !p->stop)
        pthread_cond_wait(&p->changed, &p->lock);
    bool go_on = !p->stop;
    if (go_on) {
        p->next = *page;
        *page = (struct etcd_range){0};
        p->full = true;
        p->ended = last || code < 0;
        p->code = code;
        p->err = *err;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return go_on && code == 0 && !last;
}

/* A page that nobody took: its values may be plain. */
static void drop(struct etcd_range *page)
{
    for (size_t i = 0; i < page->count; i++)
        if (page->kvs[i].value)
            explicit_bzero(page->kvs[i].value, page->kvs[i].value_len);
    etcd_range_free(page);
}

static void *run(void *arg)
{
    struct etcd_pager *p = arg;
    for (bool more = true; more;) {
        struct etcd_range page = {0};
        struct error err = ERROR_INIT;
        int rc = read_page(p, &page, &err);
        bool last = rc < 0 || !page.more || page.count == 0;
        if (rc == 0 && !last)
            rc = advance(p, &page, &err);
        more = hand_over(p, rc, &err, &page, last);
        drop(&page);
    }
    return NULL;
}

static int fill(struct etcd_pager *p, const struct etcd_pager_options *o, struct error *err)
{
    p->prefix = strdup(o->prefix);
    p->from = (struct buf)BUF_INIT(ETCD_KEY_MAX + 1);
    p->options = *o;
    p->options.prefix = p->options.after = NULL;
    p->page = o->page;
    p->revision = o->revision;
    if (!p->prefix)
        return error_no_memory(err);
    if (!o->after || !*o->after)
        return 0;
    int rc = buf_add(&p->from, o->after, strlen(o->after), err);
    return rc < 0 ? rc : buf_add(&p->from, "", 1, err);
}

static void release(struct etcd_pager *p)
{
    drop(&p->next);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    buf_free(&p->from);
    free(p->prefix);
    free(p);
}

int etcd_pager_new(struct etcd *e, const struct etcd_pager_options *options, struct etcd_pager **ret,
                   struct error *err)
{
    struct etcd_pager *p = calloc(1, sizeof(*p));
    if (!p)
        return error_no_memory(err);
    p->etcd = e;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    int rc = fill(p, options, err);
    if (rc == 0)
        rc = thread_start(&p->thread, run, p, err);
    if (rc < 0) {
        release(p);
        return rc;
    }
    *ret = p;
    return 0;
}

int etcd_pager_next(struct etcd_pager *p, struct etcd_range *ret, struct error *err)
{
    pthread_mutex_lock(&p->lock);
    while (!p->full && !p->ended)
        pthread_cond_wait(&p->changed, &p->lock);
    int code = p->code;
    if (code < 0 && err)
        *err = p->err;
    if (code == 0) {
        *ret = p->next; /* empty once all was taken */
        p->next = (struct etcd_range){0};
        p->full = false;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return code;
}

void etcd_pager_free(struct etcd_pager *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    release(p);
}
