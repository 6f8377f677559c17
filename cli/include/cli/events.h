/* What a command that follows tells a program: JSON, an object a line (docs/cli.md). Pure. */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include <cli/progress.h>

/* Appends a line for each change since the last call, as progress_log_lines does for people. */
int events_add(struct progress_log *log, const struct cluster_snapshot *s, int64_t now_ms, struct buf *out,
               struct error *err) _must_check_;

/* One about the operation as a whole. */
struct event {
    const char *name; /* "accepted", "paused", "resumed", "halted", "finished", "aborted", "detached" */
    int64_t time_ms;
    const char *operation; /* its id */
    enum operation_kind kind;
    const char *why;   /* NULL: there is nothing to tell */
    const char *on;    /* the server that it is about; NULL or "": none */
    const char *cause; /* halted: cluster_cause's word; NULL or "": none */
    const char *by;    /* aborted: by whom; NULL: not known */
};
int event_add(const struct event *e, struct buf *out, struct error *err) _must_check_;

/* The last line: how it ended. `operation`: its id, "" where there was none. */
int render_result(int code, const char *message, const char *operation, struct buf *out,
                  struct error *err) _must_check_;

#endif
