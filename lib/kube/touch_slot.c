/* One request in flight: an empty merge patch of one object. */
#include <base/clock.h>

#include "touch_internal.h"

/* No columns but the table's own and no metadata: an annotation may repeat the whole object (kubectl's
 * last-applied-configuration), and PartialObjectMetadata would bring it along. */
#define TOUCH_QUERY  "?fieldManager=secrets-encrypt&includeObject=None"
#define TOUCH_ACCEPT "Accept: application/json;as=Table;g=meta.k8s.io;v=v1"
#define TOUCH_TYPE   "Content-Type: application/merge-patch+json"

static CURLcode slot_options(struct run *r, struct slot *slot)
{
    CURL *easy = slot->easy;
    CURLcode c = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PATCH");

    c = c ? c : curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{}");
    c = c ? c : curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 2L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->t->request_deadline_ms);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->t->request_deadline_ms);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_WRITEDATA, &slot->body);
    return c;
}

static int slot_prepare(struct run *r, struct slot *slot, struct touch_server *s, struct error *err)
{
    CURLcode c;
    int rc;

    if (slot->prepared == s)
        return 0;
    slot->prepared = NULL;
    curl_easy_reset(slot->easy);
    rc = session_apply(&s->session, slot->easy, slot->errbuf, r->t->request_deadline_ms / 2 + 1, err);
    if (rc < 0)
        return rc;
    c = slot_options(r, slot);
    if (c != CURLE_OK)
        return error_set(err, ERR_INTERNAL, "%s: request: %s", s->session.server, curl_easy_strerror(c));
    slot->prepared = s;
    return 0;
}

static int slot_address(struct slot *slot, const struct touch_server *s, const struct kube_resource *resource,
                        const struct kube_object *object, struct error *err)
{
    _cleanup_(buf_freep) struct buf url = BUF_INIT(KUBE_URL_MAX + 16 * KUBE_NAME_MAX);
    int rc = buf_adds(&url, s->session.url, err);

    if (rc == 0)
        rc = kube_url_object(&url, resource, object, err);
    if (rc == 0)
        rc = buf_adds(&url, TOUCH_QUERY, err);
    if (rc == 0 && curl_easy_setopt(slot->easy, CURLOPT_URL, buf_str(&url)) != CURLE_OK)
        rc = error_no_memory(err);
    return rc;
}

static int slot_headers(struct slot *slot, const struct touch_server *s, struct error *err)
{
    slot->bearer = bearer_ref(s->session.bearer);
    slot->headers = (struct headers){0};
    headers_add(&slot->headers, TOUCH_ACCEPT);
    headers_add(&slot->headers, TOUCH_TYPE);
    headers_add_bearer(&slot->headers, slot->bearer);
    if (curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, headers_list(&slot->headers)) != CURLE_OK)
        return error_no_memory(err);
    return 0;
}

void slot_release(struct slot *slot)
{
    (void)curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, NULL);
    bearer_unref(slot->bearer);
    slot->bearer = NULL;
    slot->busy = false;
}

void slot_stop(struct run *r, struct slot *slot)
{
    (void)curl_multi_remove_handle(r->t->multi, slot->easy);
    slot->server->in_flight--;
    r->in_flight--;
}

int slot_start(struct run *r, struct slot *slot, struct touch_server *s, const struct work *w,
               struct error *err)
{
    int rc = slot_prepare(r, slot, s, err);

    if (rc == 0)
        rc = slot_address(slot, s, r->resource, &w->object, err);
    if (rc < 0)
        return rc;
    sink_reset(&slot->body);
    slot->errbuf[0] = '\0';
    rc = slot_headers(slot, s, err);
    if (rc == 0 && curl_multi_add_handle(r->t->multi, slot->easy) != CURLM_OK)
        rc = error_set(err, ERR_INTERNAL, "%s: libcurl did not take a request", s->session.server);
    if (rc < 0) {
        slot_release(slot);
        return rc;
    }
    slot->busy = true;
    slot->work = *w;
    slot->server = s;
    s->in_flight++;
    slot->full = s->in_flight >= s->adapt.limit;
    r->in_flight++;
    return 0;
}

struct slot *slot_find(struct kube_toucher *t, const struct touch_server *s)
{
    struct slot *any = NULL;

    for (int i = 0; i < t->slots_count; i++) {
        struct slot *slot = &t->slots[i];

        if (slot->busy)
            continue;
        if (slot->prepared == s)
            return slot;
        any = any ? any : slot;
    }
    return any;
}
