/* Other tools' loops, from their published algorithms: a page of objects is listed, each is put back as it
 * is, by so many workers, so many a second at most. */
#include "bench.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include <json/json.h>

#define REQUEST_MS  30000
#define WORKERS_MAX 64

struct item {
    char path[160];
    struct buf body;
};
struct peer {
    struct bench *b;
    struct kube *list, *workers[WORKERS_MAX];
    struct item *items; /* of the page */
    size_t count;
    atomic_size_t next;
    _Atomic int64_t done, failed;
    pthread_mutex_t pace;
    int64_t free_us; /* under pace: when the next request may go */
    int64_t end_us;
};
struct worker {
    struct peer *p;
    struct kube *kube;
};

/* A request's turn, at most `rate` of them a second over all workers. */
static void wait_turn(struct peer *p)
{
    if (p->b->rate <= 0)
        return;
    pthread_mutex_lock(&p->pace);
    int64_t now = mono_us(), at = p->free_us > now ? p->free_us : now;
    p->free_us = at + 1000000 / p->b->rate;
    pthread_mutex_unlock(&p->pace);
    sleep_until_us(at);
}

static void put_back(struct worker *w, struct item *item)
{
    long status = 0;
    wait_turn(w->p);
    int rc = kube_request(w->kube, "PUT", item->path, "application/json", "application/json", item->body.data,
                          item->body.len, REQUEST_MS, &status, NULL, NULL);
    atomic_fetch_add(rc == 0 && status == 200 ? &w->p->done : &w->p->failed, 1);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    size_t i;
    while (!bench_stopped() && mono_us() < w->p->end_us &&
           (i = atomic_fetch_add(&w->p->next, 1)) < w->p->count)
        put_back(w, &w->p->items[i]);
    return NULL;
}

static void put_back_page(struct peer *p)
{
    pthread_t threads[WORKERS_MAX];
    struct worker workers[WORKERS_MAX];
    size_t n = (size_t)p->b->workers;
    atomic_store(&p->next, 0);
    for (size_t i = 0; i < n; i++)
        workers[i] = (struct worker){p, p->workers[i]};
    if (n == 1) {
        run_worker(&workers[0]);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, run_worker, &workers[i]) != 0)
            abort();
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

/* ---------- pages ---------- */

static void free_items(struct peer *p)
{
    for (size_t i = 0; i < p->count; i++)
        buf_free(&p->items[i].body);
    free(p->items);
    p->items = NULL;
    p->count = 0;
}

static int take_item(struct peer *p, const struct json *object, struct error *err)
{
    const struct json *m = json_get(object, "metadata");
    struct item *item = &p->items[p->count++];
    item->body = (struct buf)BUF_INIT(OBJECT_MAX);
    snprintf(item->path, sizeof(item->path), "/api/v1/namespaces/%.60s/secrets/%.60s",
             json_string(json_get(m, "namespace"), ""), json_string(json_get(m, "name"), ""));
    return json_print(object, &item->body, err);
}

/* The page's objects, at most as many as are still wanted; *next is the token of the one after it, or "". */
static int take_page(struct peer *p, const struct buf *reply, char *next, size_t size, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    int rc = json_parse(reply->data, reply->len, "list", &root, err);
    if (rc < 0)
        return rc;
    const struct json *items = json_get(root, "items");
    int64_t wanted = p->b->count > 0 ? p->b->count - atomic_load(&p->done) : INT64_MAX;
    p->items = calloc(json_count(items) + 1, sizeof(*p->items));
    if (!p->items)
        return error_no_memory(err);
    for (const struct json *o = json_first(items); rc == 0 && o && (int64_t)p->count < wanted;
         o = json_next(o))
        rc = take_item(p, o, err);
    snprintf(next, size, "%s", json_string(json_get(json_get(root, "metadata"), "continue"), ""));
    return rc;
}

static int list_page(struct peer *p, char *next, size_t size, struct error *err)
{
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
    char path[2048];
    long status = 0;
    snprintf(path, sizeof(path), "/api/v1/secrets?limit=%" PRId64 "%s%s", p->b->page,
             *next ? "&continue=" : "", next);
    wait_turn(p);
    int rc = kube_request(p->list, "GET", path, "application/json", NULL, NULL, 0, REQUEST_MS, &status,
                          &reply, err);
    if (rc == 0 && status != 200)
        rc = error_set(err, ERR_STATE, "list: %ld", status);
    return rc == 0 ? take_page(p, &reply, next, size, err) : rc;
}

static int run_pages(struct peer *p, struct error *err)
{
    char next[1024] = "";
    bool more = true;
    int rc = 0;
    p->end_us = p->b->seconds > 0 ? mono_us() + p->b->seconds * 1000000 : INT64_MAX;
    while (rc == 0 && more && !bench_stopped() && mono_us() < p->end_us) {
        rc = list_page(p, next, sizeof(next), err);
        if (rc == 0)
            put_back_page(p);
        more = *next && (p->b->count == 0 || atomic_load(&p->done) < p->b->count);
        free_items(p);
    }
    return rc;
}

static int open_all(struct peer *p, struct error *err)
{
    size_t servers = p->b->config->servers_count;
    struct kube_options first = bench_login(p->b, 0);
    int rc = kube_open(&first, &p->list, err);
    for (int64_t i = 0; rc == 0 && i < p->b->workers; i++) {
        struct kube_options o = bench_login(p->b, (size_t)i % servers);
        rc = kube_open(&o, &p->workers[i], err);
    }
    return rc;
}

int bench_peer(struct bench *b, struct error *err)
{
    struct peer p = {.b = b, .pace = PTHREAD_MUTEX_INITIALIZER};
    if (b->workers < 1 || b->workers > WORKERS_MAX)
        return error_set(err, ERR_INVALID, "--workers: 1 to %d", WORKERS_MAX);
    int rc = open_all(&p, err);
    int64_t begun = mono_us();
    if (rc == 0)
        rc = run_pages(&p, err);
    if (rc == 0) {
        char more[64];
        snprintf(more, sizeof(more), "\"failed\":%" PRId64, atomic_load(&p.failed));
        print_rate(atomic_load(&p.done), mono_us() - begun, more);
    }
    for (size_t i = 0; i < WORKERS_MAX; i++)
        kube_close(p.workers[i]);
    kube_close(p.list);
    if (rc == 0 && atomic_load(&p.failed) > 0 && !bench_stopped())
        rc = error_set(err, ERR_STATE, "%" PRId64 " updates failed", atomic_load(&p.failed));
    return rc;
}
