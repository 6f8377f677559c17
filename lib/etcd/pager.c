/* Pages of a prefix, read by threads while the caller works on earlier ones.
 *
 * Each reader claims the keys from where the last claim ended up to a bound (bounds.h), reads them in pages,
 * and hands these over when its turn comes. What a page did not reach is claimed again, or, when somebody has
 * claimed what is behind it already, read on by the same reader. Bounds are what lets two read at a time; and
 * they keep etcd 3.4 from going through all the keys behind a page, for each page (0.2 us a key). */
#include "bounds.h"
#include "internal.h"

#include <pthread.h>

#include <base/clock.h>
#include <base/text.h>

#define BACKOFF_MS     100
#define BACKOFF_MAX_MS 2000
#define LOOK_MS        100 /* how often a wait looks at `cancel` */
#define FIRST_PAGE     500 /* keys, while it is not known how large they are */

/* A place between keys. */
struct edge {
    size_t len; /* 0: the prefix's start or end */
    char at[ETCD_KEY_MAX + 1];
};

struct reader {
    struct etcd_pager *pager;
    pthread_t thread;
    uint64_t ticket;  /* of its claim */
    struct edge from; /* where its next page begins */
    struct edge to;   /* where the part ends that it is read from */
    struct edge end;  /* of the claim */
    struct span span; /* that `to` was made with */
};

struct etcd_pager {
    struct etcd *etcd;
    struct etcd_pager_options options;
    char *prefix;
    struct reader readers[ETCD_PAGER_READERS_MAX];
    unsigned started;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;        /* under lock, as all below */
    struct edge from; /* where the next claim begins */
    bool all_claimed; /* nothing is left to claim, unless a claim gives back what its page did not reach */
    uint64_t claims, turn; /* tickets given out; the one whose pages are handed over now */
    struct bounds bounds;
    int64_t revision; /* 0: the first page decides */
    uint64_t cluster; /* the first page's; 0: none yet, or it said none */
    int64_t page;
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

/* ---------- claims, all under lock ---------- */

static bool equal(const struct edge *a, const struct edge *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

/* Both are ends: none is behind all others. */
static bool earlier(const struct edge *a, const struct edge *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->at, b->at, len);
    return b->len == 0 || (a->len > 0 && (order < 0 || (order == 0 && a->len < b->len)));
}

/* What the reader reads from: up to a bound, within its claim. */
static void cut(struct reader *r)
{
    struct etcd_pager *p = r->pager;
    struct edge end = {0};
    const char *from = r->from.len ? r->from.at : p->prefix;
    size_t len = r->from.len ? r->from.len : strlen(p->prefix);
    r->span = p->bounds.span;
    bool bounded = bounds_next(&p->bounds, from, len, end.at, &end.len);
    r->to = bounded && earlier(&end, &r->end) ? end : r->end;
}

/* Somebody else's page has to come first: it decides the revision or the first bound, or may give back a
 * part. */
static bool must_wait(const struct etcd_pager *p)
{
    bool others = p->claims > p->turn;
    return others && (p->all_claimed || p->revision == 0 || !p->bounds.span.known);
}

/* False: there is nothing left, or it is to stop. */
static bool claim(struct reader *r)
{
    struct etcd_pager *p = r->pager;
    while (!p->stop && !p->ended && must_wait(p))
        pthread_cond_wait(&p->changed, &p->lock);
    if (p->stop || p->ended || p->all_claimed)
        return false;
    r->from = p->from;
    r->end = (struct edge){0};
    cut(r);
    r->end = p->from = r->to;
    p->all_claimed = r->end.len == 0;
    r->ticket = p->claims++;
    return true;
}

/* After a page that did not end the part (`more`), or did. True: the claim is over, or what is left of it is
 * claimed again. */
static bool claim_over(struct reader *r, bool more)
{
    struct etcd_pager *p = r->pager;
    if (!more && equal(&r->to, &r->end))
        return true;
    if (!more)
        r->from = r->to;
    if (r->ticket + 1 == p->claims) { /* nobody has claimed anything behind it */
        p->from = r->from;
        p->all_claimed = false;
        return true;
    }
    cut(r);
    return false;
}

static void tune_page(struct etcd_pager *p, const struct etcd_range *page)
{
    size_t bytes = 0;
    if (p->options.page_bytes == 0 || page->count == 0)
        return;
    for (size_t i = 0; i < page->count; i++)
        bytes += page->kvs[i].key_len + page->kvs[i].value_len;
    int64_t fit = (int64_t)(p->options.page_bytes / (bytes / page->count + 1));
    p->page = fit < 1 ? 1 : fit > p->options.page ? p->options.page : fit;
}

/* ---------- pages ---------- */

static int read_page(struct reader *r, struct etcd_range *ret, int64_t *ret_limit, struct error *err)
{
    struct etcd_pager *p = r->pager;
    for (unsigned try = 0;;) {
        pthread_mutex_lock(&p->lock);
        struct etcd_range_options o = {
            .prefix = p->prefix,
            .from = r->from.len ? r->from.at : NULL,
            .from_len = r->from.len,
            .to = r->to.len ? r->to.at : NULL,
            .to_len = r->to.len,
            .limit = p->page,
            .revision = p->revision > 0 ? p->revision : 0,
            .keys_only = p->options.keys_only,
        };
        pthread_mutex_unlock(&p->lock);
        *ret_limit = o.limit;
        if (stopping(p))
            return error_set(err, ERR_CANCELED, "reading %s was stopped", p->prefix);
        int rc = etcd_list(p->etcd, &o, p->options.deadline_ms, ret, err);
        if (rc == ERR_TOO_LARGE && o.limit > 1) { /* no failure: the same again, smaller */
            pthread_mutex_lock(&p->lock);
            if (p->page > o.limit / 2)
                p->page = o.limit / 2;
            pthread_mutex_unlock(&p->lock);
            continue;
        }
        if (rc == 0 || rc == ERR_COMPACTED || !error_is_transient(rc) || ++try >= p->options.tries)
            return rc;
        if (pause_ms(p, backoff_ms(try - 1, BACKOFF_MS, BACKOFF_MAX_MS)))
            return error_set(err, ERR_CANCELED, "reading %s was stopped", p->prefix);
    }
}

/* Right behind a key: at that key with a NUL added. */
static int behind(struct edge *e, const char *key, size_t len, struct error *err)
{
    if (len >= sizeof(e->at))
        return error_set(err, ERR_TOO_LARGE, "a key of more than %d bytes: %.200s…", ETCD_KEY_MAX, key);
    memcpy(e->at, key, len);
    e->at[len] = 0;
    e->len = len + 1;
    return 0;
}

/* A page that nobody took: its values may be plain. */
static void drop(struct etcd_range *page)
{
    for (size_t i = 0; i < page->count; i++)
        if (page->kvs[i].value)
            explicit_bzero(page->kvs[i].value, page->kvs[i].value_len);
    etcd_range_free(page);
}

/* A store that was restored meanwhile counts its revisions anew: its pages are no part of this list. */
static int same_cluster(struct etcd_pager *p, const struct etcd_range *page, struct error *err)
{
    pthread_mutex_lock(&p->lock);
    if (!p->cluster)
        p->cluster = page->cluster;
    bool same = p->cluster == page->cluster;
    pthread_mutex_unlock(&p->lock);
    return same ? 0
                : error_set(err, ERR_UNAVAILABLE,
                            "etcd %.300s: another etcd cluster than before answers (list %.200s)",
                            p->etcd->name, p->prefix);
}

/* What a page teaches; under lock. True: the claim is over with it. */
static bool learn(struct reader *r, const struct etcd_range *page, int64_t limit, bool more)
{
    struct etcd_pager *p = r->pager;
    if (p->revision == 0)
        p->revision = page->revision;
    bounds_learn(&p->bounds, &r->span, page, limit);
    tune_page(p, page);
    return claim_over(r, more);
}

/* Hands a page over when the claim's turn has come and the page before it was taken; false when there is
 * nothing more to do. `over`: the claim's last page. */
static bool hand_over(struct reader *r, int code, const struct error *err, struct etcd_range *page, bool over)
{
    struct etcd_pager *p = r->pager;
    while (!p->stop && !p->ended && (p->turn != r->ticket || p->full))
        pthread_cond_wait(&p->changed, &p->lock);
    if (p->stop || p->ended)
        return false;
    p->turn += over;
    p->ended = code < 0 || (over && p->all_claimed && p->turn == p->claims);
    if (code < 0 || page->count > 0 || p->ended) { /* an empty page would be the end */
        p->next = *page;
        *page = (struct etcd_range){0};
        p->full = true;
        p->code = code;
        p->err = *err;
    }
    pthread_cond_broadcast(&p->changed);
    return !p->ended;
}

/* One page of the claim; *ret_over when it was the last one. False: there is nothing more to do. */
static bool one_page(struct reader *r, bool *ret_over)
{
    struct etcd_range page = {0};
    struct error err = ERROR_INIT;
    int64_t limit = 0;
    int rc = read_page(r, &page, &limit, &err);
    if (rc == 0)
        rc = same_cluster(r->pager, &page, &err);
    bool more = rc == 0 && page.more && page.count > 0;
    if (more)
        rc = behind(&r->from, page.kvs[page.count - 1].key, page.kvs[page.count - 1].key_len, &err);
    pthread_mutex_lock(&r->pager->lock);
    *ret_over = rc < 0 || learn(r, &page, limit, more);
    pthread_cond_broadcast(&r->pager->changed); /* a revision, a first bound, something to claim */
    bool go_on = hand_over(r, rc, &err, &page, *ret_over);
    pthread_mutex_unlock(&r->pager->lock);
    drop(&page);
    return go_on;
}

static void *run(void *arg)
{
    struct reader *r = arg;
    for (bool more = true; more;) {
        pthread_mutex_lock(&r->pager->lock);
        more = claim(r);
        pthread_mutex_unlock(&r->pager->lock);
        for (bool over = false; more && !over;)
            more = one_page(r, &over);
    }
    return NULL;
}

static int fill(struct etcd_pager *p, const struct etcd_pager_options *o, struct error *err)
{
    p->prefix = strdup(o->prefix);
    if (!p->prefix)
        return error_no_memory(err);
    p->options = *o;
    p->options.prefix = p->options.after = NULL;
    p->page = o->page_bytes && o->page > FIRST_PAGE ? FIRST_PAGE : o->page;
    p->revision = o->revision;
    bounds_begin(&p->bounds, strlen(p->prefix));
    for (size_t i = 0; i < array_len(p->readers); i++)
        p->readers[i].pager = p;
    return o->after && *o->after ? behind(&p->from, o->after, strlen(o->after), err) : 0;
}

static void release(struct etcd_pager *p)
{
    drop(&p->next);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
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
    unsigned readers = options->readers > 0 ? options->readers : 1;
    for (unsigned i = 0; rc == 0 && i < readers && i < ETCD_PAGER_READERS_MAX; i++) {
        rc = etcd_thread_start(&p->readers[i].thread, run, &p->readers[i], err);
        p->started += rc == 0;
    }
    if (rc < 0) {
        etcd_pager_free(p);
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

bool etcd_pager_ready(struct etcd_pager *p)
{
    pthread_mutex_lock(&p->lock);
    bool ready = p->full || p->ended;
    pthread_mutex_unlock(&p->lock);
    return ready;
}

void etcd_pager_free(struct etcd_pager *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->readers[i].thread, NULL);
    release(p);
}
