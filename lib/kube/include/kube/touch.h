/* Touching objects: an empty merge patch each, many in flight over HTTP/2, spread over several API servers.
 * On an object whose stored value is stale the server writes it again under its write key; on any other it
 * writes nothing. No content crosses the wire. Runs on the caller's thread. */
#ifndef KUBE_TOUCH_H
#define KUBE_TOUCH_H

#include <kube/kube.h>

struct kube_toucher;

struct kube_touch_options {
    const struct kube_options *servers; /* copied */
    size_t servers_count;
    int in_flight_max; /* ceiling over all servers; 1 to 256 */
    double max_rate;   /* objects per second; 0: no limit. Can be changed later */
    int request_deadline_ms;
    unsigned attempts_max; /* tries of one object before it counts as failed */
};
int kube_toucher_new(const struct kube_touch_options *options, struct kube_toucher **ret,
                     struct error *err) _must_check_;
void kube_toucher_free(struct kube_toucher *t);
DEFINE_CLEANUP(struct kube_toucher *, kube_toucher_free);

void kube_toucher_set_rate(struct kube_toucher *t, double max_rate);
/* Servers that are not to be used at the moment (not ready); all excluded: touching waits, and gives up at
 * its deadline. */
void kube_toucher_use(struct kube_toucher *t, size_t server, bool usable);

enum kube_touch_result { KUBE_TOUCHED, KUBE_TOUCH_GONE, KUBE_TOUCH_FAILED };

/* Called once for each object, in any order. `why` (FAILED only): one line, the server's reason, with the
 * HTTP status. Returns false to stop. */
typedef bool kube_touch_fn(void *arg, const struct kube_object *object, enum kube_touch_result result,
                           const char *why);

/* What there is to touch, one object after the other. */
enum { KUBE_NEXT_OBJECT, KUBE_NEXT_LATER, KUBE_NEXT_END };
struct kube_touch_work {
    /* One of the above, with *ret filled in for an object; LATER: asked again in a moment, so that it need
     * not wait; or an error, which ends the touching. */
    int (*next)(void *arg, struct kube_object *ret, struct error *err);
    kube_touch_fn *on_result;
    bool (*on_turn)(
        void *arg); /* four times a second at least, to change settings; false: stop. May be NULL */
    void *arg;
};

/* Touches objects until there are none left. In flight adapts: halves on 429 (and honours Retry-After), on
 * 5xx and on timeouts, and on latency far above its own floor; grows slowly otherwise. 404 and 410 are GONE;
 * 409, 429, 5xx and transport troubles are tried again (on another server where there is one) with backoff;
 * other 4xx (422: validation, 403: a webhook or RBAC) FAILED at once. 0 when every object had its call;
 * ERR_CANCELED when the callback stopped it; ERR_UNAVAILABLE when no server could be used for 60 s. */
int kube_touch_all(struct kube_toucher *t, const struct kube_resource *r, const struct kube_touch_work *work,
                   struct error *err) _must_check_;

/* The same for `count` objects. */
int kube_touch(struct kube_toucher *t, const struct kube_resource *r, const struct kube_object *objects,
               size_t count, kube_touch_fn *on_result, void *arg, struct error *err) _must_check_;

/* From any thread: a running one returns ERR_CANCELED within 250 ms, a later one at once. */
void kube_toucher_cancel(struct kube_toucher *t);

/* The number of requests that may be in flight at present, for status. Any thread; so are set_rate and use.
 */
int kube_toucher_in_flight(const struct kube_toucher *t);

#endif
