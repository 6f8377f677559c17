/* What the tests of the toucher share. */
#ifndef TESTS_UNIT_KUBE_TOUCH_TOOLS_H
#define TESTS_UNIT_KUBE_TOUCH_TOOLS_H

#include <base/clock.h>

#include "fake_api.h"
#include "test.h"
#include "touch_internal.h"

#define OBJECTS_MAX 512

static const struct kube_resource secrets = {"secrets", "/api/v1", "secrets", true};

struct tally {
    size_t touched, gone, failed, total;
    size_t stop_at;                     /* calls after which to stop, 0: never */
    const struct kube_toucher *watched; /* may be NULL */
    int in_flight;                      /* the highest that it allowed */
    char why[1024];
    unsigned seen[OBJECTS_MAX]; /* calls for object n */
};

static inline bool tally_add(void *arg, const struct kube_object *object, enum kube_touch_result result,
                             const char *why)
{
    struct tally *t = arg;
    size_t n = strtoul(object->name + 1, NULL, 10);

    t->touched += result == KUBE_TOUCHED;
    t->gone += result == KUBE_TOUCH_GONE;
    t->failed += result == KUBE_TOUCH_FAILED;
    if (why)
        snprintf(t->why, sizeof(t->why), "%s", why);
    if (t->watched && kube_toucher_in_flight(t->watched) > t->in_flight)
        t->in_flight = kube_toucher_in_flight(t->watched);
    if (n < OBJECTS_MAX)
        t->seen[n]++;
    return ++t->total != t->stop_at;
}

static inline struct kube_object *numbered(size_t count)
{
    struct kube_object *o = calloc(count, sizeof(*o));

    assert_non_null(o);
    for (size_t i = 0; i < count; i++) {
        snprintf(o[i].namespace, sizeof(o[i].namespace), "n");
        snprintf(o[i].name, sizeof(o[i].name), "s%zu", i);
    }
    return o;
}

/* count objects s0 … through these servers. */
static inline int touch_all(struct kube_toucher *t, size_t count, struct tally *tally, struct error *e)
{
    struct kube_object *objects = numbered(count);
    int rc = kube_touch(t, &secrets, objects, count, tally_add, tally, e);

    free(objects);
    return rc;
}

static inline struct kube_toucher *toucher(const struct kube_options *servers, size_t count, int in_flight)
{
    struct kube_touch_options o = {.servers = servers,
                                   .servers_count = count,
                                   .in_flight_max = in_flight,
                                   .request_deadline_ms = 1000,
                                   .attempts_max = 4};
    struct kube_toucher *t = NULL;
    struct error e = ERROR_INIT;

    assert_ok(kube_toucher_new(&o, &t, &e), e);
    return t;
}

#endif
