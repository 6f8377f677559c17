#include "probe.h"

#define DRAIN_US  20000000
#define SETTLE_US 250000

static int begin_watches(struct server_probe *s, struct error *err)
{
    int rc = probe_watch_begin(&s->lag, s, PROBE_NAMESPACE, false, err);
    rc = rc ? rc : probe_watch_begin(&s->held, s, LONG_NAMESPACE, false, err);
    return rc ? rc : probe_watch_begin(&s->cut, s, CUT_NAMESPACE, true, err);
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg) != 0)
        abort();
}

static int begin(struct probe *p, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->servers_count; i++)
        rc = begin_watches(&p->servers[i], err);
    if (rc < 0)
        return rc; /* nothing runs before all is ready: the program ends */
    for (size_t i = 0; i < p->servers_count; i++) {
        struct server_probe *s = &p->servers[i];
        start(&s->lag.thread, probe_watch_run, &s->lag);
        start(&s->held.thread, probe_watch_run, &s->held);
        start(&s->cut.thread, probe_watch_run, &s->cut);
        start(&s->get_thread, probe_get_run, s);
        start(&s->list_thread, probe_list_run, s);
    }
    start(&p->writer, probe_write_run, p);
    return 0;
}

static void stop_load(struct probe *p)
{
    atomic_store(&p->stop_load, true);
    for (size_t i = 0; i < p->servers_count; i++) {
        pthread_join(p->servers[i].get_thread, NULL);
        pthread_join(p->servers[i].list_thread, NULL);
    }
    pthread_join(p->writer, NULL);
}

static void stop_watches(struct probe *p)
{
    atomic_store(&p->stop_watches, true);
    for (size_t i = 0; i < p->servers_count; i++) {
        pthread_join(p->servers[i].lag.thread, NULL);
        pthread_join(p->servers[i].held.thread, NULL);
        pthread_join(p->servers[i].cut.thread, NULL);
    }
}

static unsigned differences(struct watch *w, const struct known *final)
{
    unsigned n = 0;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < final->count; i++)
        n += final->revisions[i] > w->known.revisions[i];
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* What is left to come has time to come; what has not come then never will. */
static int count_missed(struct probe *p, struct server_probe *s, struct error *err)
{
    struct known final = {0};
    struct kube *k = NULL;
    struct kube_options login = bench_login(p->b, s->index);
    int64_t end = mono_us() + DRAIN_US, revision;
    int rc = known_new(&final, s->cut.known.count, err);
    if (rc == 0)
        rc = kube_open(&login, &k, err);
    if (rc == 0)
        rc = known_list(&final, k, CUT_NAMESPACE, &revision, err);
    while (rc == 0 && (s->missed = differences(&s->cut, &final)) > 0 && mono_us() < end)
        sleep_until_us(mono_us() + SETTLE_US);
    kube_close(k);
    free(final.revisions);
    return rc;
}

/* The watch over the canary has its last write, or never gets it. */
static void wait_for_the_canary(struct probe *p, struct watch *w)
{
    int64_t end = mono_us() + DRAIN_US;
    int64_t last = p->written.count ? p->written.all[p->written.count - 1].revision : 0;
    while (mono_us() < end) {
        pthread_mutex_lock(&w->lock);
        bool there = w->revision >= last;
        pthread_mutex_unlock(&w->lock);
        if (there)
            return;
        sleep_until_us(mono_us() + SETTLE_US / 10);
    }
}

static void wait_for_the_end(struct probe *p, int64_t begun)
{
    int64_t end = p->b->seconds > 0 ? begun + p->b->seconds * 1000000 : INT64_MAX;
    while (!bench_stopped() && mono_us() < end)
        sleep_until_us(mono_us() + 50000);
}

static void watch_free(struct watch *w)
{
    free(w->known.revisions);
    free(w->seen.all);
    free(w->line);
}

static void probe_free(struct probe *p)
{
    for (size_t i = 0; i < p->servers_count; i++) {
        struct server_probe *s = &p->servers[i];
        watch_free(&s->lag);
        watch_free(&s->held);
        watch_free(&s->cut);
        samples_free(&s->get);
        samples_free(&s->list);
    }
    free(p->written.all);
    buf_free(&p->canary);
    http_close(&p->http);
    free(p);
}

int bench_probe(struct bench *b, struct error *err)
{
    struct probe *p = calloc(1, sizeof(*p));
    if (!p)
        return error_no_memory(err);
    p->b = b;
    p->canary = (struct buf)BUF_INIT(OBJECT_MAX);
    p->servers_count = b->config->servers_count;
    for (size_t i = 0; i < p->servers_count; i++) {
        p->servers[i].probe = p;
        p->servers[i].index = i;
    }
    int rc = http_open(b, &p->http, err);
    rc = rc ? rc : probe_prepare(p, err);
    rc = rc ? rc : begin(p, err);
    if (rc < 0) {
        probe_free(p);
        return rc;
    }
    int64_t begun = mono_us();
    puts("{\"started\":true}");
    fflush(stdout);
    wait_for_the_end(p, begun);
    int64_t us = mono_us() - begun;
    stop_load(p);
    for (size_t i = 0; rc == 0 && i < p->servers_count; i++)
        rc = count_missed(p, &p->servers[i], err);
    for (size_t i = 0; rc == 0 && i < p->servers_count; i++)
        wait_for_the_canary(p, &p->servers[i].lag);
    stop_watches(p);
    if (rc == 0)
        probe_print(p, us);
    probe_free(p);
    return rc;
}
