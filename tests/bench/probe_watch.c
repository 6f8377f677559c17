#include <inttypes.h>

#include "probe.h"

#define CUT_EVERY_US 1000000
#define EVENT_MAX    (1024 * 1024)

static const char *const headers[] = {"Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                                      NULL};

static int64_t revision_of(const char *line)
{
    const char *at = strstr(line, "\"resourceVersion\":\"");
    return at ? strtoll(at + strlen("\"resourceVersion\":\""), NULL, 10) : 0;
}

/* One whole event. */
static void take_event(struct watch *w, const char *line)
{
    int64_t now = mono_us(), revision = revision_of(line);
    if (strstr(line, "\"type\":\"ERROR\"")) {
        w->expired++;
        return;
    }
    if (revision == 0)
        return;
    atomic_fetch_add(&w->events, 1);
    if (strstr(line, "\"name\":\"" PROBE_CANARY "\""))
        stamps_add(&w->seen, revision, now);
    pthread_mutex_lock(&w->lock);
    if (w->cut)
        known_take(&w->known, line);
    w->revision = revision;
    pthread_mutex_unlock(&w->lock);
}

static void add_to_line(struct watch *w, const char *data, size_t n)
{
    if (w->line_len + n + 1 > w->line_cap) {
        w->line_cap = 2 * (w->line_len + n + 1);
        w->line = w->line_cap <= EVENT_MAX ? realloc(w->line, w->line_cap) : NULL;
        if (!w->line)
            abort();
    }
    memcpy(w->line + w->line_len, data, n);
    w->line_len += n;
    w->line[w->line_len] = 0;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct watch *w = arg;
    size_t left = size * n;
    while (left > 0) {
        const char *end = memchr(data, '\n', left);
        size_t part = end ? (size_t)(end - data) : left;
        add_to_line(w, data, part);
        if (end) {
            take_event(w, w->line);
            w->line_len = 0;
        }
        data += part + (end != NULL);
        left -= part + (end != NULL);
    }
    return size * n;
}

static int list_first(struct watch *w, struct error *err)
{
    struct kube *k = NULL;
    struct kube_options login = bench_login(w->server->probe->b, w->server->index);
    int rc = kube_open(&login, &k, err);
    if (rc == 0)
        rc = known_list(&w->known, k, w->namespace, &w->revision, err);
    kube_close(k);
    return rc;
}

int probe_watch_begin(struct watch *w, struct server_probe *s, const char *namespace, bool cut,
                      struct error *err)
{
    w->server = s;
    w->namespace = namespace;
    w->cut = cut;
    pthread_mutex_init(&w->lock, NULL);
    int rc = known_new(&w->known, (size_t)s->probe->b->count, err);
    return rc ? rc : list_first(w, err);
}

/* One stream: until it closes by itself, is cut, or all is over. True when it closed by itself. */
static bool stream(struct watch *w, CURLM *multi, CURL *easy)
{
    int64_t end = w->cut ? mono_us() + CUT_EVERY_US : INT64_MAX;
    int active = 1;
    w->line_len = 0;
    w->opened++;
    curl_multi_add_handle(multi, easy);
    while (active > 0 && mono_us() < end && !atomic_load(&w->server->probe->stop_watches)) {
        curl_multi_perform(multi, &active);
        if (active > 0)
            curl_multi_poll(multi, NULL, 0, 50, NULL);
    }
    curl_multi_remove_handle(multi, easy);
    return active == 0;
}

/* A client whose history is gone lists again, as informers do. */
static void list_again(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    (void)!list_first(w, NULL);
    pthread_mutex_unlock(&w->lock);
}

void *probe_watch_run(void *watch)
{
    struct watch *w = watch;
    struct probe *p = w->server->probe;
    struct curl_slist *list = NULL;
    CURL *easy = http_easy(&p->http, headers, &list, on_data, w);
    CURLM *multi = curl_multi_init();
    unsigned expired = 0;
    while (multi && !atomic_load(&p->stop_watches)) {
        char url[512];
        snprintf(url, sizeof(url), "%s/api/v1/namespaces/%s/secrets?watch=1&resourceVersion=%" PRId64,
                 p->b->config->servers[w->server->index].api, w->namespace, w->revision);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        bool closed = stream(w, multi, easy);
        w->closed += closed;
        if (w->expired != expired)
            list_again(w);
        expired = w->expired;
        if (closed)
            sleep_until_us(mono_us() + 50000);
    }
    curl_multi_cleanup(multi);
    curl_easy_cleanup(easy);
    curl_slist_free_all(list);
    return NULL;
}
