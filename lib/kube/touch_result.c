/* What became of one object's request. */
#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "reply.h"
#include "touch_internal.h"

#define RETRY_BASE_MS   50
#define RETRY_MAX_MS    2000
#define REFUSED_TIMES   10   /* refusals and unmade connections of one object, for each try that it has */
#define REFUSED_WAIT_MS 1000 /* after a 429 that does not say how long */

void result_report(struct run *r, const struct work *w, enum kube_touch_result result, const char *why)
{
    if (!r->stopped && !r->work->on_result(r->work->arg, &w->object, result, why))
        r->stopped = true;
}

/* Puts the object back for another try, or gives it up. `why` is the reason of the last one. */
static void again(struct run *r, struct work *w, int avoid, const char *why)
{
    unsigned limit = r->t->attempts_max;
    char text[KUBE_URL_MAX + 600];

    if (w->tries >= limit || w->refused / REFUSED_TIMES >= limit) {
        snprintf(text, sizeof(text), "after %u tries: %s", w->tries + w->refused, why);
        result_report(r, w, KUBE_TOUCH_FAILED, text);
        return;
    }
    w->avoid = avoid;
    w->not_before_ms = clock_mono_ms() + backoff_ms(w->tries ? w->tries - 1 : 0, RETRY_BASE_MS, RETRY_MAX_MS);
    r->waiting[r->waiting_count++] = *w;
}

static int server_index(const struct run *r, const struct slot *slot)
{
    return (int)(slot->server - r->t->servers);
}

static double slot_latency_ms(const struct slot *slot)
{
    curl_off_t sent = 0, first = 0;

    (void)curl_easy_getinfo(slot->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
    (void)curl_easy_getinfo(slot->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
    return first > sent ? (double)(first - sent) / 1000 : 0;
}

static int64_t slot_retry_after_ms(const struct slot *slot, int64_t fallback_ms)
{
    curl_off_t seconds = 0;

    (void)curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &seconds);
    return kube_retry_after_ms(seconds, fallback_ms);
}

/* The object itself is gone, and not the path to it: a server that does not know the resource (yet) answers
 * 404 too, without a Status or with one that names no object. */
static bool is_object_gone(const struct slot *slot, long status)
{
    struct kube_status s;
    bool gone = kube_parse_status(sink_text(&slot->body), slot->body.len, &s) && s.named &&
                strcmp(s.reason, "NotFound") == 0;

    kube_status_clear(&s);
    return status == 410 || (status == 404 && gone);
}

static void on_transport_failure(struct run *r, struct slot *slot, CURLcode code, int64_t now_ms)
{
    struct touch_server *s = slot->server;
    struct error e = ERROR_INIT;
    curl_off_t sent = 0; /* 0 while there is no connection to send on */
    bool unreachable;

    (void)curl_easy_getinfo(slot->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
    unreachable = sent == 0 && code != CURLE_OPERATION_TIMEDOUT;
    (void)session_transport_error(&s->session, code, slot->errbuf, &e);
    s->last = e;
    touch_server_failed(s, unreachable, 0, now_ms);
    if (unreachable)
        slot->work.refused++;
    else
        slot->work.tries++;
    again(r, &slot->work, server_index(r, slot), e.text);
}

/* Statuses after which the same object is tried again. */
static void on_retriable(struct run *r, struct slot *slot, long status, int64_t now_ms)
{
    struct touch_server *s = slot->server;
    int avoid = status == 409 ? -1 : server_index(r, slot);
    struct error e = ERROR_INIT;
    char line[KUBE_LINE_MAX];

    kube_status_line(status, sink_text(&slot->body), slot->body.len, line, sizeof(line));
    if (status == 429) {
        touch_server_refused(s, slot_retry_after_ms(slot, REFUSED_WAIT_MS), now_ms);
        slot->work.refused++;
    } else {
        slot->work.tries++;
    }
    if (status >= 500)
        touch_server_failed(s, false, slot_retry_after_ms(slot, 0), now_ms);
    if (status == 401) {
        touch_server_renew(s, now_ms);
        (void)session_status_error(&s->session, status, &slot->body, "touching", &e);
        text_copy(line, sizeof(line), e.text);
    }
    if (status != 409)
        (void)error_set(&s->last, ERR_UNAVAILABLE, "%s (%s): %s", s->session.server, s->session.url, line);
    again(r, &slot->work, avoid, line);
}

static void on_status(struct run *r, struct slot *slot, long status, int64_t now_ms)
{
    bool gone = is_object_gone(slot, status);
    char line[KUBE_LINE_MAX];

    if (status != 429)
        r->used_ms = now_ms;
    if (status < 500 && status != 429)
        touch_server_answered(slot->server, slot_latency_ms(slot), slot->full, now_ms);
    if (status >= 200 && status < 300) {
        result_report(r, &slot->work, KUBE_TOUCHED, NULL);
    } else if (gone) {
        result_report(r, &slot->work, KUBE_TOUCH_GONE, NULL);
    } else if (status >= 500 || status == 429 || status == 409 || status == 401 || status == 404) {
        on_retriable(r, slot, status, now_ms);
    } else {
        kube_status_line(status, sink_text(&slot->body), slot->body.len, line, sizeof(line));
        result_report(r, &slot->work, KUBE_TOUCH_FAILED, line);
    }
}

void result_take(struct run *r, struct slot *slot, CURLcode code)
{
    int64_t now_ms = clock_mono_ms();
    long status = 0;

    (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        on_status(r, slot, status, now_ms);
    else
        on_transport_failure(r, slot, code, now_ms);
}
