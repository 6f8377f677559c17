/* The prober's watches: what comes in, and how they end. */
#include <string.h>

#include <base/text.h>

#include "probe_internal.h"

static bool on_line(void *arg, const char *text, size_t len)
{
    struct probe_slot *s = arg;
    struct kube_prober *p = s->prober;
    struct probe_server *server = &p->servers[s->server];
    struct kube_event e;
    struct error err = ERROR_INIT;

    if (kube_parse_event(server->session.server, text, len, p->annotation, &e, &err) < 0) {
        text_copy(s->broken, sizeof(s->broken), err.text);
        return false;
    }
    if (e.type == KUBE_EVENT_ERROR) {
        s->end = e;
        return true; /* the server ends the stream after it */
    }
    text_copy(server->version, sizeof(server->version), e.version);
    if (e.type == KUBE_EVENT_OBJECT) {
        p->calls.seen(p->calls.arg, s->server, e.number, s->first);
        s->first = false;
    }
    return true;
}

size_t probe_watch_write(char *data, size_t size, size_t count, void *arg)
{
    struct probe_slot *s = arg;
    size_t len = size * count;
    long status = 0;

    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) { /* a Status object: the beginning of it tells why */
        (void)sink_write(data, 1, len, &s->body);
        return len;
    }
    if (kube_cut_lines(&s->body, data, len, on_line, s))
        return len;
    if (!s->broken[0])
        snprintf(s->broken, sizeof(s->broken), "%s: an event of more than %d bytes",
                 s->prober->servers[s->server].session.server, KUBE_EVENT_MAX);
    return 0;
}

/* Why it ended, in one line; "" : in good order (its time was up, or the server said no more). */
static void tell(struct probe_slot *s, CURLcode code, long status, struct error *why)
{
    const struct session *session = &s->prober->servers[s->server].session;

    if (s->broken[0])
        (void)error_set(why, ERR_INVALID, "%s", s->broken);
    else if (s->end.type == KUBE_EVENT_ERROR)
        (void)error_set(why, ERR_UNAVAILABLE, "%s: the watch was ended: %ld %.300s", session->server,
                        s->end.status, s->end.why);
    else if (code != CURLE_OK)
        (void)session_transport_error(session, code, s->errbuf, why);
    else if (status != 200)
        (void)session_status_error(session, status, &s->body, "watching", why);
}

void probe_watch_end(struct probe_slot *s, CURLcode code)
{
    struct kube_prober *p = s->prober;
    struct probe_server *server = &p->servers[s->server];
    struct error why = ERROR_INIT;
    long status = 0;
    bool changed;

    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    tell(s, code, status, &why);
    if (s->end.status == 410) /* where it was to go on is compacted away: it never stood */
        status = 410;
    if (status == 410 || s->end.type == KUBE_EVENT_ERROR || s->broken[0])
        server->version[0] = '\0';
    if (status == 401)
        (void)!session_reload_token(&server->session, &changed, NULL);
    probe_slot_stop(s);
    p->calls.watch_ended(p->calls.arg, s->server, status == 200, status, why.text);
}
