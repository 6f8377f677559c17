/* One request of the prober's on its way. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "probe_internal.h"

#define AS_OBJECT "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#define AS_LIST   "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
#define PATCH     "Content-Type: application/merge-patch+json"

static const struct {
    const char *method, *accept, *content_type;
} kinds[PROBE_SLOTS] = {
    [KUBE_PROBE_GET] = {"GET", AS_OBJECT, NULL},
    [KUBE_PROBE_LIST] = {"GET", AS_LIST, NULL},
    [KUBE_PROBE_PATCH] = {"PATCH", AS_OBJECT, PATCH},
    [PROBE_WATCH] = {"GET", AS_OBJECT, NULL},
};

/* Finer than clock_mono_ms: requests take a few ms. */
double probe_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int add_path(struct probe_slot *s, struct buf *url, struct error *err)
{
    const struct kube_prober *p = s->prober;
    const char *version = p->servers[s->server].version;

    switch (s->kind) {
    case KUBE_PROBE_LIST:
        return buf_adds(url, p->list_path, err);
    case PROBE_WATCH:
        return buf_addf(url, err, "%s&resourceVersion=%s&timeoutSeconds=%d", p->watch_path,
                        *version ? version : "0", p->watch_s);
    case KUBE_PROBE_PATCH:
        return buf_addf(url, err, "%s?fieldManager=secrets-encrypt", p->object_path);
    default:
        return buf_adds(url, p->object_path, err);
    }
}

static CURLcode set_body(struct probe_slot *s)
{
    if (s->kind != KUBE_PROBE_PATCH)
        return CURLE_OK;
    snprintf(s->patch, sizeof(s->patch), "{\"metadata\":{\"annotations\":{\"%s\":\"%" PRId64 "\"}}}",
             s->prober->annotation, s->number);
    CURLcode c = curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, s->patch);
    return c ? c : curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(s->patch));
}

static CURLcode set_options(struct probe_slot *s, const char *url)
{
    bool watch = s->kind == PROBE_WATCH;
    long deadline = s->prober->deadline_ms;
    CURLcode c = set_body(s);

    c = c ? c : curl_easy_setopt(s->easy, CURLOPT_CUSTOMREQUEST, kinds[s->kind].method);
    c = c ? c : curl_easy_setopt(s->easy, CURLOPT_URL, url);
    c = c ? c : curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, headers_list(&s->headers));
    c = c ? c : curl_easy_setopt(s->easy, CURLOPT_PIPEWAIT, 1L);
    c = c ? c : curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS, deadline);
    c = c ? c : curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, watch ? 0L : deadline);
    c = c ? c : curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
    if (watch) {
        c = c ? c : curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, probe_watch_write);
        return c ? c : curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    }
    return c ? c : curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, &s->body);
}

static int prepare(struct probe_slot *s, struct error *err)
{
    _cleanup_(buf_freep) struct buf url = BUF_INIT(KUBE_URL_MAX + 2 * PROBE_PATH_MAX);
    struct session *session = &s->prober->servers[s->server].session;
    int rc = buf_adds(&url, session->url, err);

    if (rc == 0)
        rc = add_path(s, &url, err);
    if (rc == 0)
        rc = session_apply(session, s->easy, s->errbuf, s->prober->deadline_ms / 2 + 1, err);
    if (rc < 0)
        return rc;
    s->bearer = bearer_ref(session->bearer);
    s->headers = (struct headers){0};
    headers_add(&s->headers, kinds[s->kind].accept);
    headers_add(&s->headers, kinds[s->kind].content_type);
    headers_add_bearer(&s->headers, s->bearer);
    CURLcode c = set_options(s, buf_str(&url));
    if (c != CURLE_OK)
        return error_set(err, c == CURLE_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_INTERNAL, "%s: request: %s",
                         session->server, curl_easy_strerror(c));
    return 0;
}

/* The handle lets go of the header with the token in it. */
static void release(struct probe_slot *s)
{
    curl_easy_reset(s->easy);
    bearer_unref(s->bearer);
    s->bearer = NULL;
    s->busy = s->stands = false;
}

int probe_slot_start(struct probe_slot *s, struct error *err)
{
    sink_reset(&s->body);
    s->errbuf[0] = '\0';
    int rc = prepare(s, err);
    if (rc == 0 && curl_multi_add_handle(s->prober->multi, s->easy) != CURLM_OK)
        rc = error_set(err, ERR_INTERNAL, "%s: libcurl did not take a request",
                       s->prober->servers[s->server].session.server);
    if (rc < 0) {
        release(s);
        return rc;
    }
    s->busy = true;
    s->began_ms = probe_now_ms();
    return 0;
}

void probe_slot_stop(struct probe_slot *s)
{
    if (!s->busy)
        return;
    (void)curl_multi_remove_handle(s->prober->multi, s->easy);
    release(s);
}
