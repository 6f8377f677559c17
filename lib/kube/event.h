/* A watch's stream: lines of JSON, an event each. */
#ifndef KUBE_EVENT_H
#define KUBE_EVENT_H

#include <kube/kube.h>

#include "reply.h"
#include "sink.h"

#define KUBE_EVENT_MAX (64 * 1024) /* bytes of one event: the metadata of one small object */

enum kube_event_type { KUBE_EVENT_OBJECT, KUBE_EVENT_DELETED, KUBE_EVENT_BOOKMARK, KUBE_EVENT_ERROR };

struct kube_event {
    enum kube_event_type type;
    char version[64];        /* resourceVersion; "" for errors */
    int64_t number;          /* the annotation's, 0: none */
    long status;             /* of an error: 410 and the like */
    char why[KUBE_LINE_MAX]; /* of an error */
};

/* Parses one line. ERR_INVALID when it is no event. `annotation` may be NULL. */
int kube_parse_event(const char *what, const char *text, size_t len, const char *annotation,
                     struct kube_event *ret, struct error *err) _must_check_;

/* Cuts a stream into lines as it comes in, in pieces of any size. `partial` keeps what has no end yet
 * (its max bounds a line). `line` is called for each without its end, empty ones left out. False when a line
 * is too long, memory is out, or `line` said stop. */
bool kube_cut_lines(struct sink *partial, const char *data, size_t len,
                    bool (*line)(void *arg, const char *text, size_t len), void *arg);

#endif
