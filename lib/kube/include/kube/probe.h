/* Feeling how API servers do: small requests for one object of ours, and a watch on it, through several
 * servers at once, all on the caller's thread (one libcurl multi handle). Content never crosses the wire:
 * metadata alone is asked for.
 *
 *   kube_prober_new(…);
 *   for (;;) {
 *       kube_prober_watch(p, i, err);              // no-op while it stands
 *       kube_prober_ask(p, i, KUBE_PROBE_GET, 0, err);
 *       kube_prober_run(p, 500, err);              // calls back
 *   } */
#ifndef KUBE_PROBE_H
#define KUBE_PROBE_H

#include <kube/kube.h>

enum kube_probe {
    KUBE_PROBE_GET,   /* the object, through the quorum */
    KUBE_PROBE_LIST,  /* its namespace, from the server's own cache; the reply is thrown away */
    KUBE_PROBE_PATCH, /* writes a number into its annotation */
    KUBE_PROBES,
};

/* The object. */
struct kube_probe_object {
    struct kube_resource resource;
    struct kube_object name;
    const char *annotation; /* where the number stands: "example.org/probe"; copied */
};

/* Called from kube_prober_run. `why` is one line that names the server; "" when all is well. They must
 * not call the prober. */
struct kube_probe_calls {
    /* A request ended after `ms`. status 0: no answer came (its deadline, or the transport). `number` is the
     * patch's. */
    void (*answered)(void *arg, size_t server, enum kube_probe kind, long status, double ms, int64_t number,
                     const char *why);
    /* An event came through that server's watch, with the annotation's number (0: none). `first`: it shows
     * the present state at the watch's beginning, and tells nothing of how long it took. */
    void (*seen)(void *arg, size_t server, int64_t number, bool first);
    /* A watch ended that stood (status 200), or one could not be opened (status, 0: no answer;
     * 410: where it was to go on is compacted away, the next one begins with the present state). */
    void (*watch_ended)(void *arg, size_t server, bool stood, long status, const char *why);
    void *arg;
};

struct kube_prober_options {
    const struct kube_options *servers; /* copied */
    size_t servers_count;
    struct kube_probe_object object;
    struct kube_probe_calls calls;
    int deadline_ms; /* of a request, and of opening a watch */
    int watch_s;     /* how long a watch is asked for */
};

struct kube_prober;
int kube_prober_new(const struct kube_prober_options *options, struct kube_prober **ret,
                    struct error *err) _must_check_;
void kube_prober_free(struct kube_prober *p); /* lets go of what is in flight */
DEFINE_CLEANUP(struct kube_prober *, kube_prober_free);

/* Starts a request. ERR_CONFLICT while the one before of that kind is in flight at that server. */
int kube_prober_ask(struct kube_prober *p, size_t server, enum kube_probe kind, int64_t number,
                    struct error *err) _must_check_;
/* For how many ms the request of that kind is in flight; negative: none is. */
double kube_prober_age(const struct kube_prober *p, size_t server, enum kube_probe kind);

/* Opens the server's watch unless it stands: from where the last one came to, or (at first, and when that is
 * compacted away) from the present state. An end comes as watch_ended; when to open it again is the caller's
 * matter. */
int kube_prober_watch(struct kube_prober *p, size_t server, struct error *err) _must_check_;
bool kube_prober_watching(const struct kube_prober *p, size_t server); /* answered 200, and not ended */
/* Ends what is in flight and the watch, without calling back. */
void kube_prober_drop(struct kube_prober *p, size_t server);

/* Sends, receives and calls back for `ms` (0: what is there now). */
int kube_prober_run(struct kube_prober *p, int ms, struct error *err) _must_check_;

#endif
