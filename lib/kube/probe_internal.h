#ifndef KUBE_PROBE_INTERNAL_H
#define KUBE_PROBE_INTERNAL_H

#include <kube/probe.h>

#include "event.h"
#include "session.h"

#define PROBE_PATH_MAX (8 * KUBE_NAME_MAX)

/* A request of one kind, or the watch, through one server. */
struct probe_slot {
    struct kube_prober *prober;
    size_t server;
    int kind; /* enum kube_probe, or PROBE_WATCH */
    CURL *easy;
    char errbuf[CURL_ERROR_SIZE];
    struct headers headers;
    struct bearer *bearer;
    struct sink body; /* a reply's beginning; a watch's unfinished line */
    char patch[256];
    int64_t number;
    double began_ms;
    bool busy;
    bool again; /* it was repeated with a new token already */
    /* of a watch */
    bool stands;
    bool first;                 /* the next event shows the present state */
    struct kube_event end;      /* what the server said before it ended; type OBJECT: nothing */
    char broken[KUBE_LINE_MAX]; /* why we ended it */
};
#define PROBE_WATCH KUBE_PROBES
#define PROBE_SLOTS (KUBE_PROBES + 1)

struct probe_server {
    struct session session;
    struct probe_slot slots[PROBE_SLOTS];
    char version[64]; /* that the watch came to; "" : from the present state */
};

struct kube_prober {
    CURLM *multi;
    struct probe_server *servers;
    size_t servers_count;
    struct kube_probe_calls calls;
    char annotation[KUBE_NAME_MAX];
    char object_path[PROBE_PATH_MAX], list_path[PROBE_PATH_MAX], watch_path[PROBE_PATH_MAX];
    int deadline_ms, watch_s;
};

double probe_now_ms(void);

/* Builds the request of a slot and hands it to libcurl. */
int probe_slot_start(struct probe_slot *s, struct error *err) _must_check_;
/* Takes it back from libcurl. */
void probe_slot_stop(struct probe_slot *s);

/* Feeds a piece of a watch's stream: CURLOPT_WRITEFUNCTION with a slot. */
size_t probe_watch_write(char *data, size_t size, size_t count, void *arg);
/* The watch's transfer ended. */
void probe_watch_end(struct probe_slot *s, CURLcode code);

#endif
