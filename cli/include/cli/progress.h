/* How far an operation is, from a snapshot alone: one line for a terminal, plain lines for a pipe, and
 * whether the operation that is followed has come to its end. Pure. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <base/buf.h>
#include <cluster/snapshot.h>

/* --- one server in the present phase; where that makes a proof: its part of it --- */
enum server_progress {
    SERVER_WAITING, /* its turn has not come */
    SERVER_ORDERED, /* the order is given, its agent has not taken it yet */
    SERVER_WORKING,
    SERVER_RESTARTING,
    SERVER_STARTING, /* the file is there, the API server is not ready with it yet */
    SERVER_OK,
    SERVER_RESTART_IT, /* --no-restart: the operator's turn */
    SERVER_NOT_READY,
    SERVER_FAILED,
    SERVER_REFUSED,
    SERVER_SILENT,
};
enum server_progress server_progress(const struct cluster_snapshot *s, const struct snapshot_server *v);
/* Is it one of the servers that the phase is about? */
bool progress_shows(const struct cluster_snapshot *s, const struct snapshot_server *v);
const char *server_progress_word(enum server_progress p);

/* --- a terminal --- */
struct progress_options {
    int width; /* columns; the line is at most width - 1 wide, so that it never wraps */
    bool color;
    int64_t now_ms;   /* wall clock */
    int64_t still_ms; /* since when no server's state and no phase has changed */
};
/* The present step as one line without a line break. */
int progress_line(const struct cluster_snapshot *s, const struct progress_options *o, struct buf *out,
                  struct error *err) _must_check_;
/* The step that `before` was in, which is over: the line that stays on the screen. */
int progress_step_over(const struct cluster_snapshot *before, const struct cluster_snapshot *now,
                       const struct progress_options *o, struct buf *out, struct error *err) _must_check_;
/* True when a server's state or the phase differs between the two. */
bool progress_moved(const struct cluster_snapshot *before, const struct cluster_snapshot *now);
/* True when `now` is in a later step of the same operation than `before`, or past the last one. */
bool progress_step_passed(const struct cluster_snapshot *before, const struct cluster_snapshot *now);

/* --- a pipe --- */
struct progress_log { /* what has been told so far; zeroed at the start */
    bool started;
    enum phase phase;
    enum server_progress servers[SNAPSHOT_SERVERS_MAX];
    enum proof_state proof;
    char why[CLUSTER_TEXT_MAX];
    int64_t why_ms, rewrite_ms; /* when such a line was written last */
    int64_t done, total;
};
/* Something that has changed since the last call; during the re-encryption one every 2 s at most. */
struct progress_event {
    enum {
        PROGRESS_PHASE,   /* another phase is entered */
        PROGRESS_SERVER,  /* `server` is in another `state` */
        PROGRESS_PROOF,   /* `proof` failed, or could not be made */
        PROGRESS_WAITING, /* nobody is at work: rotation.op.why */
        PROGRESS_REWRITE, /* the counts of `rewrite` */
    } what;
    const struct snapshot_server *server; /* borrowed, as all here */
    enum server_progress state;
    const struct cluster_proof *proof;
    const struct cluster_reencrypt *rewrite;
};
typedef int progress_sink(void *to, const struct cluster_snapshot *s, int64_t now_ms,
                          const struct progress_event *e, struct error *err);
/* Hands each of them to the sink, and ends with the first failure of it. */
int progress_tell(struct progress_log *log, const struct cluster_snapshot *s, int64_t now_ms,
                  progress_sink *sink, void *to, struct error *err) _must_check_;
/* As lines of text, appended. */
int progress_log_lines(struct progress_log *log, const struct cluster_snapshot *s, int64_t now_ms,
                       struct buf *out, struct error *err) _must_check_;

/* What a finished operation came to ("re-encrypted 5,000 objects in 0:06, 0 left under another key"), one
 * line with its break; nothing where no value was rewritten. */
int progress_summary(const struct cluster_snapshot *s, struct buf *out, struct error *err) _must_check_;

/* --- the end --- */
struct follow_goal {
    char operation[CLUSTER_ID_MAX];
    bool file_only;         /* --no-restart: reached once S1's file is written and its new stage published */
    int64_t attempt_before; /* of this operation, when it was asked for again; 0: a new one */
};
enum follow_state {
    FOLLOW_NOT_YET, /* the operation's record is not there yet */
    FOLLOW_RUNNING,
    FOLLOW_PAUSED,
    FOLLOW_REACHED,
    FOLLOW_HALTED,    /* rotation.op.why */
    FOLLOW_ABORTED,   /* an abort took its place */
    FOLLOW_OVERTAKEN, /* another operation's record is there */
};
enum follow_state follow_state(const struct cluster_snapshot *s, const struct follow_goal *g);

/* --- a repair --- */
struct repair_goal {
    char server[CLUSTER_NAME_MAX];
    char request[CLUSTER_ID_MAX]; /* whose order it is */
    int64_t order_id;             /* of that order, once it was seen; 0 at the start */
    bool done;                    /* its agent said so; false at the start */
};
enum repair_state {
    REPAIR_RUNNING,
    REPAIR_REACHED,   /* the settled generation's file, loaded and ready */
    REPAIR_FAILED,    /* the agent gave up; the file may be the one from before */
    REPAIR_OVERTAKEN, /* another order followed, and the file is not the settled generation's */
};
/* `why`: RUNNING, what is under way, in a few words; FAILED and OVERTAKEN, the reason. Looks at a snapshot,
 * and keeps in *g what a later one may no longer tell. */
enum repair_state repair_state(const struct cluster_snapshot *s, struct repair_goal *g,
                               char why[CLUSTER_TEXT_MAX]);

#endif
