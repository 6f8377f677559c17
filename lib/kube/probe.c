/* The prober, and the loop that serves all of its requests. */
#include <kube/probe.h>

#include <string.h>

#include <base/text.h>

#include "probe_internal.h"
#include "url.h"

#define LIST_LIMIT  50
#define POLL_MAX_MS 100
#define REPLY_MAX   4096 /* of an error's text; the rest is dropped */

/* ---------- making one ---------- */

static int fill_paths(struct kube_prober *p, const struct kube_probe_object *o, struct error *err)
{
    _cleanup_(buf_freep) struct buf object = BUF_INIT(PROBE_PATH_MAX - 1), name = BUF_INIT(KUBE_NAME_MAX * 3);
    int rc = kube_url_object(&object, &o->resource, &o->name, err);

    if (rc == 0)
        rc = kube_url_escape(&name, o->name.name, err);
    if (rc < 0)
        return rc;
    const char *path = buf_str(&object);
    int folder = (int)(strrchr(path, '/') - path);
    text_copy(p->object_path, sizeof(p->object_path), path);
    snprintf(p->list_path, sizeof(p->list_path), "%.*s?resourceVersion=0&limit=%d", folder, path, LIST_LIMIT);
    snprintf(p->watch_path, sizeof(p->watch_path), "%.*s?watch=1&fieldSelector=metadata.name%%3D%s", folder,
             path, buf_str(&name));
    if (!text_copy(p->annotation, sizeof(p->annotation), o->annotation) || strpbrk(p->annotation, "\"\\"))
        return error_set(err, ERR_INVALID, "'%.100s' is no annotation's name", o->annotation);
    return 0;
}

static int make_slots(struct kube_prober *p, size_t i, struct error *err)
{
    for (int kind = 0; kind < PROBE_SLOTS; kind++) {
        struct probe_slot *s = &p->servers[i].slots[kind];
        bool watch = kind == PROBE_WATCH;

        *s = (struct probe_slot){.prober = p, .server = i, .kind = kind};
        s->body = (struct sink){.max = watch ? KUBE_EVENT_MAX : REPLY_MAX, .drop_rest = !watch};
        s->easy = curl_easy_init();
        if (!s->easy)
            return error_no_memory(err);
    }
    return 0;
}

static int make_servers(struct kube_prober *p, const struct kube_prober_options *o, struct error *err)
{
    p->servers = calloc(o->servers_count, sizeof(*p->servers));
    if (!p->servers)
        return error_no_memory(err);
    for (size_t i = 0; i < o->servers_count; i++) {
        int rc = session_init(&p->servers[i].session, &o->servers[i], err);

        if (rc < 0)
            return rc;
        p->servers_count++;
        rc = make_slots(p, i, err);
        if (rc < 0)
            return rc;
    }
    p->multi = curl_multi_init();
    if (!p->multi)
        return error_no_memory(err);
    if (curl_multi_setopt(p->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) != CURLM_OK)
        return error_set(err, ERR_INTERNAL, "libcurl cannot multiplex requests");
    return 0;
}

int kube_prober_new(const struct kube_prober_options *o, struct kube_prober **ret, struct error *err)
{
    _cleanup_(kube_prober_freep) struct kube_prober *p = NULL;
    int rc;

    if (o->servers_count < 1 || o->deadline_ms < 1 || o->watch_s < 1 || !o->calls.answered ||
        !o->calls.seen || !o->calls.watch_ended)
        return error_set(err, ERR_INVALID,
                         "probing needs a server, a deadline, a time to watch and its calls");
    p = calloc(1, sizeof(*p));
    if (!p)
        return error_no_memory(err);
    p->calls = o->calls;
    p->deadline_ms = o->deadline_ms;
    p->watch_s = o->watch_s;
    rc = fill_paths(p, &o->object, err);
    if (rc == 0)
        rc = make_servers(p, o, err);
    if (rc < 0)
        return rc;
    *ret = take(p);
    return 0;
}

void kube_prober_free(struct kube_prober *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->servers_count; i++)
        kube_prober_drop(p, i);
    for (size_t i = 0; i < p->servers_count; i++) {
        for (int kind = 0; kind < PROBE_SLOTS; kind++) {
            curl_easy_cleanup(p->servers[i].slots[kind].easy);
            sink_free(&p->servers[i].slots[kind].body);
        }
        session_clear(&p->servers[i].session);
    }
    if (p->multi)
        curl_multi_cleanup(p->multi);
    free(p->servers);
    free(p);
}

/* ---------- asking ---------- */

int kube_prober_ask(struct kube_prober *p, size_t server, enum kube_probe kind, int64_t number,
                    struct error *err)
{
    if (server >= p->servers_count || kind >= KUBE_PROBES)
        return error_set(err, ERR_INVALID, "no such server or probe");
    struct probe_slot *s = &p->servers[server].slots[kind];

    if (s->busy)
        return error_set(err, ERR_CONFLICT, "%s: the request before is still in flight",
                         p->servers[server].session.server);
    s->number = number;
    s->again = false;
    return probe_slot_start(s, err);
}

double kube_prober_age(const struct kube_prober *p, size_t server, enum kube_probe kind)
{
    const struct probe_slot *s = &p->servers[server].slots[kind];

    return s->busy ? probe_now_ms() - s->began_ms : -1;
}

int kube_prober_watch(struct kube_prober *p, size_t server, struct error *err)
{
    if (server >= p->servers_count)
        return error_set(err, ERR_INVALID, "no such server");
    struct probe_slot *s = &p->servers[server].slots[PROBE_WATCH];

    if (s->busy)
        return 0;
    s->first = p->servers[server].version[0] == '\0';
    s->end = (struct kube_event){0};
    s->broken[0] = '\0';
    return probe_slot_start(s, err);
}

bool kube_prober_watching(const struct kube_prober *p, size_t server)
{
    const struct probe_slot *s = &p->servers[server].slots[PROBE_WATCH];

    return s->busy && s->stands;
}

void kube_prober_drop(struct kube_prober *p, size_t server)
{
    for (int kind = 0; kind < PROBE_SLOTS; kind++)
        probe_slot_stop(&p->servers[server].slots[kind]);
    p->servers[server].version[0] = '\0';
}

/* ---------- the loop ---------- */

/* A token that was renewed in its file since: asked again with that. */
static bool asked_again(struct probe_slot *s)
{
    bool changed = false;

    if (s->again || session_reload_token(&s->prober->servers[s->server].session, &changed, NULL) < 0 ||
        !changed)
        return false;
    s->again = true;
    probe_slot_stop(s);
    return probe_slot_start(s, NULL) == 0;
}

static const char *const doing[KUBE_PROBES] = {"getting the probe", "listing", "touching the probe"};

static void end_request(struct probe_slot *s, CURLcode code)
{
    struct kube_prober *p = s->prober;
    const struct session *session = &p->servers[s->server].session;
    double ms = probe_now_ms() - s->began_ms;
    struct error why = ERROR_INIT;
    long status = 0;

    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status == 401 && asked_again(s))
        return;
    if (code != CURLE_OK) {
        (void)session_transport_error(session, code, s->errbuf, &why);
        status = 0;
    } else if (status != 200) {
        (void)session_status_error(session, status, &s->body, doing[s->kind], &why);
    }
    probe_slot_stop(s);
    sink_reset(&s->body);
    p->calls.answered(p->calls.arg, s->server, (enum kube_probe)s->kind, status, ms, s->number, why.text);
}

static void collect(struct kube_prober *p)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(p->multi, &left))) {
        struct probe_slot *s = NULL;
        CURLcode code = msg->data.result;

        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&s);
        if (s->kind == PROBE_WATCH)
            probe_watch_end(s, code);
        else
            end_request(s, code);
    }
}

/* A watch stands as soon as its head is there, which may be long before its first event. One whose head does
 * not come is ended: CURLOPT_TIMEOUT would end it later as well. */
static void look_after_watches(struct kube_prober *p)
{
    for (size_t i = 0; i < p->servers_count; i++) {
        struct probe_slot *s = &p->servers[i].slots[PROBE_WATCH];
        long status = 0;

        if (!s->busy || s->stands)
            continue;
        (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
        s->stands = status == 200;
        if (status == 0 && probe_now_ms() - s->began_ms > p->deadline_ms)
            probe_watch_end(s, CURLE_OPERATION_TIMEDOUT);
    }
}

int kube_prober_run(struct kube_prober *p, int ms, struct error *err)
{
    double until = probe_now_ms() + ms, left;
    CURLMcode c;
    int running;

    do {
        c = curl_multi_perform(p->multi, &running);
        if (c != CURLM_OK)
            break;
        collect(p);
        look_after_watches(p);
        left = until - probe_now_ms();
        if (left > 0)
            c = curl_multi_poll(p->multi, NULL, 0, left > POLL_MAX_MS ? POLL_MAX_MS : (int)left + 1, NULL);
    } while (c == CURLM_OK && left > 0);
    if (c == CURLM_OK)
        return 0;
    return error_set(err, c == CURLM_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_INTERNAL, "probing API servers: %s",
                     curl_multi_strerror(c));
}
