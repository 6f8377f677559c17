/* What the API servers take at most: the API engine's requests, made ready beforehand, over so many
 * connections with so many streams on each. One thread a connection. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http.h"

#define CONNECTIONS_MAX 64
#define TIMEOUT_MS      30000
#define QUERY           "?fieldManager=secrets-encrypt&includeObject=None"

static const char *const headers[] = {"Accept: application/json;as=Table;g=meta.k8s.io;v=v1",
                                      "Content-Type: application/merge-patch+json", NULL};

struct hammer {
    struct bench *b;
    struct http http;
    char **paths; /* ready made, without the server's part */
    _Atomic int64_t next, done, failed;
    pthread_barrier_t ready;
    _Atomic int64_t last_us;
};
struct connection {
    struct hammer *h;
    const char *server; /* its URL */
    CURLM *multi;
    int running;
};

static size_t forget(char *data, size_t size, size_t n, void *arg)
{
    (void)data;
    (void)arg;
    return size * n;
}

/* Gives the handle its next object; false when there is none. */
static bool load(struct connection *c, CURL *easy)
{
    char url[512];
    int64_t i = atomic_fetch_add(&c->h->next, 1);
    if (i >= c->h->b->count)
        return false;
    snprintf(url, sizeof(url), "%s%s", c->server, c->h->paths[i]);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_multi_add_handle(c->multi, easy);
    c->running++;
    return true;
}

static void settle(struct connection *c, const CURLMsg *m)
{
    long status = 0;
    CURL *easy = m->easy_handle;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    bool good = m->data.result == CURLE_OK && status == 200;
    atomic_fetch_add(good ? &c->h->done : &c->h->failed, 1);
    curl_multi_remove_handle(c->multi, easy);
    c->running--;
    load(c, easy);
}

static void drive(struct connection *c)
{
    while (c->running > 0) {
        int active = 0, left = 0;
        const CURLMsg *m;
        curl_multi_perform(c->multi, &active);
        while ((m = curl_multi_info_read(c->multi, &left)))
            if (m->msg == CURLMSG_DONE)
                settle(c, m);
        if (c->running > 0)
            curl_multi_poll(c->multi, NULL, 0, 100, NULL);
    }
}

/* The connection stands before the clock starts. */
static void connect_first(struct connection *c, CURL *easy)
{
    char url[512];
    snprintf(url, sizeof(url), "%s/version", c->server);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_multi_add_handle(c->multi, easy);
    int active = 1, left = 0;
    while (active > 0 && curl_multi_perform(c->multi, &active) == CURLM_OK)
        curl_multi_poll(c->multi, NULL, 0, 100, NULL);
    while (curl_multi_info_read(c->multi, &left))
        ;
    curl_multi_remove_handle(c->multi, easy);
}

static void *run_connection(void *arg)
{
    struct connection *c = arg;
    size_t n = (size_t)c->h->b->streams;
    CURL **easies = calloc(n, sizeof(CURL *));
    struct curl_slist **lists = calloc(n, sizeof(struct curl_slist *));
    c->multi = curl_multi_init();
    if (!easies || !lists || !c->multi)
        abort();
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)n);
    for (size_t i = 0; i < n; i++) {
        easies[i] = http_easy(&c->h->http, headers, &lists[i], forget, NULL);
        curl_easy_setopt(easies[i], CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
        if (i == 0)
            connect_first(c, easies[i]);
        curl_easy_setopt(easies[i], CURLOPT_CUSTOMREQUEST, "PATCH");
        curl_easy_setopt(easies[i], CURLOPT_POSTFIELDS, "{}");
        curl_easy_setopt(easies[i], CURLOPT_POSTFIELDSIZE, 2L);
    }
    pthread_barrier_wait(&c->h->ready);
    for (size_t i = 0; i < n && load(c, easies[i]); i++)
        ;
    drive(c);
    atomic_store(&c->h->last_us, mono_us());
    for (size_t i = 0; i < n; i++) {
        curl_easy_cleanup(easies[i]);
        curl_slist_free_all(lists[i]);
    }
    curl_multi_cleanup(c->multi);
    free(easies);
    free(lists);
    return NULL;
}

static int make_paths(struct hammer *h, struct error *err)
{
    h->paths = calloc((size_t)h->b->count + 1, sizeof(char *));
    for (int64_t i = 0; h->paths && i < h->b->count; i++) {
        struct object o;
        object_place(h->b->first + i, &o);
        if (asprintf(&h->paths[i], "/api/v1/namespaces/%s/secrets/%s" QUERY, o.namespace, o.name) < 0)
            return error_no_memory(err);
    }
    return h->paths ? 0 : error_no_memory(err);
}

static int64_t run_all(struct hammer *h)
{
    pthread_t threads[CONNECTIONS_MAX];
    struct connection connections[CONNECTIONS_MAX];
    size_t n = (size_t)h->b->connections;
    pthread_barrier_init(&h->ready, NULL, (unsigned)n + 1);
    for (size_t i = 0; i < n; i++) {
        connections[i] =
            (struct connection){.h = h, .server = h->b->config->servers[i % h->b->config->servers_count].api};
        if (pthread_create(&threads[i], NULL, run_connection, &connections[i]) != 0)
            abort();
    }
    pthread_barrier_wait(&h->ready);
    int64_t begun = mono_us();
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&h->ready);
    return atomic_load(&h->last_us) - begun;
}

int bench_hammer(struct bench *b, struct error *err)
{
    struct hammer h = {.b = b};
    if (b->connections < 1 || b->connections > CONNECTIONS_MAX || b->streams < 1)
        return error_set(err, ERR_INVALID, "--connections: 1 to %d", CONNECTIONS_MAX);
    int rc = http_open(b, &h.http, err);
    if (rc == 0)
        rc = make_paths(&h, err);
    if (rc == 0) {
        int64_t us = run_all(&h);
        print_rate(atomic_load(&h.done), us, "");
        if (atomic_load(&h.failed) > 0)
            rc = error_set(err, ERR_STATE, "%" PRId64 " of %" PRId64 " requests failed",
                           atomic_load(&h.failed), b->count);
    }
    for (int64_t i = 0; h.paths && i < b->count; i++)
        free(h.paths[i]);
    free(h.paths);
    http_close(&h.http);
    return rc;
}
