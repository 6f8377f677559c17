/* The toucher's parts, for its files and their tests. */
#ifndef KUBE_TOUCH_INTERNAL_H
#define KUBE_TOUCH_INTERNAL_H

#include <stdatomic.h>

#include <kube/touch.h>

#include "adapt.h"
#include "sink.h"
#include "touch_server.h"

#define TOUCH_PATIENCE_MS 60000 /* without any server to use, before kube_touch gives up */

/* An object on its way: waiting for its next try, or in a slot. */
struct work {
    struct kube_object object;
    unsigned tries;   /* that may have reached a server's storage */
    unsigned refused; /* others */
    int avoid;        /* the server of the last try, when it broke off; -1: none */
    int64_t not_before_ms;
};

struct slot {
    CURL *easy;
    bool busy;
    bool full; /* its server's limit was reached when it started */
    struct work work;
    struct touch_server *server;
    const struct touch_server *prepared; /* whose options `easy` has */
    struct bearer *bearer;
    struct headers headers;
    struct sink body;
    char errbuf[CURL_ERROR_SIZE];
};

struct kube_toucher {
    struct touch_server *servers;
    size_t servers_count;
    CURLM *multi;
    struct slot *slots;
    int slots_count;
    int request_deadline_ms;
    unsigned attempts_max;
    int patience_ms;
    struct bucket bucket;
    size_t turn;
    _Atomic double rate;
    double rate_set; /* what the bucket has */
    atomic_int allowed;
    atomic_bool canceled;
};

/* One call of kube_touch_all. */
struct run {
    struct kube_toucher *t;
    const struct kube_resource *resource;
    const struct kube_touch_work *work;
    struct kube_object ahead; /* the next one, where has_ahead */
    bool has_ahead, ended;    /* ended: none comes after it */
    struct work *waiting;     /* for another try; room for waiting_max */
    size_t waiting_count, waiting_max;
    int in_flight;
    bool stopped;
    int64_t used_ms;      /* when a server could last be used */
    int64_t start_in_ms;  /* how long until something may start; for the poll */
    struct error failure; /* ours, not an object's */
};

/* --- touch.c --- */
void kube_toucher_set_patience(struct kube_toucher *t, int patience_ms);

/* --- touch_slot.c --- */

/* A slot that is not in use, one with that server's options where there is one. There must be one. */
struct slot *slot_find(struct kube_toucher *t, const struct touch_server *s);

/* Sends one object's patch. ERR_INVALID is the object's own fault, anything else ours. */
int slot_start(struct run *r, struct slot *slot, struct touch_server *s, const struct work *w,
               struct error *err) _must_check_;

/* Takes the request out of curl's hands, and the counts down. Its result can still be read. */
void slot_stop(struct run *r, struct slot *slot);
/* Lets go of its token and frees the slot for the next one. */
void slot_release(struct slot *slot);

/* --- touch_result.c --- */

/* One object's one call. */
void result_report(struct run *r, const struct work *w, enum kube_touch_result result, const char *why);

/* What became of a request that ended: reports the object or puts it back for another try, and tells the
 * server's controller. */
void result_take(struct run *r, struct slot *slot, CURLcode code);

#endif
