/* What to do next, as two tables: may an order be taken, and what is the next step of the one at work?
 * Pure and total over small enums; no I/O, no clock. The order's texts and hashes are compared by the caller.
 */
#ifndef AGENT_DECIDE_H
#define AGENT_DECIDE_H

#include <stdbool.h>

#include <agent/state.h>
#include <base/buf.h>
#include <base/error.h>
#include <cluster/types.h>

enum relation { LOWER, EQUAL, HIGHER };

/* An authentic order against what this agent remembers. */
struct order_view {
    enum relation fence;      /* against the highest one ever seen */
    enum relation id;         /* against the order taken last */
    bool same;                /* its content is that of the order taken last */
    enum relation generation; /* against the one that this server has */
    enum order_kind kind;
    bool forgotten; /* it stood there when this agent's memory was new */
    bool busy;      /* the order at work cannot be left: a restart runs, or is due */
};
enum verdict { VERDICT_TAKE, VERDICT_SAME, VERDICT_LATER, VERDICT_REFUSE };
struct verdict_row {
    const char *id;
    enum verdict verdict;
    const char *why; /* REFUSE */
};
/* Never NULL. */
const struct verdict_row *decide_order(const struct order_view *v);

enum text_view {
    TEXT_NONE,
    TEXT_HAVE,
    TEXT_BAD
}; /* the order's bundle: not fetched, in hand and checked, unusable */
enum file_view {
    FILE_TARGET,   /* has the order's hash */
    FILE_PREVIOUS, /* is the one from before */
    FILE_KNOWN,    /* another one that was issued in this cluster */
    FILE_FOREIGN,  /* a valid one that nobody issued: it may hold keys that nothing else holds */
    FILE_BROKEN,   /* missing, or no encryption config */
};
/* What the API server's process loaded. For ORDER_RESTART, TARGET means: it is newer than the order. */
enum loaded_view { LOADED_UNKNOWN, LOADED_TARGET, LOADED_PREVIOUS, LOADED_OTHER };
enum restart_view { RESTART_NONE, RESTART_RUNNING, RESTART_OK, RESTART_FAILED }; /* since the step began */

struct job_view {
    enum order_kind kind;
    enum job_step step;
    enum text_view text;
    enum file_view file;
    enum loaded_view loaded;
    enum restart_view restart;
    bool ready;
    bool late;     /* past the step's deadline */
    bool can_undo; /* we wrote the file, and hold one from before that the API server can run with */
    bool again;    /* FOLLOW: it may be restarted once more */
};

enum job_action {
    ACT_WAIT,
    ACT_FETCH, /* the bundle */
    ACT_WRITE, /* the file */
    ACT_BEGIN, /* record that a restart is due */
    ACT_RESTART,
    ACT_ADOPT, /* seal the present file as the order's generation */
    ACT_UNDO,  /* record that the previous file is to come back */
    ACT_PUT_BACK,
    ACT_BACK, /* record that it is back */
    ACT_CALL, /* ask the server for its next config */
    ACT_SEAL, /* check what it made, and seal that as the order's generation */
    ACT_AGAIN,
    ACT_DONE,
    ACT_FAIL,
    ACT_REFUSE,
};

struct job_row {
    const char *id;
    enum job_action action;
    enum job_step next;     /* once the action has succeeded */
    enum order_state state; /* to publish with it */
    const char *why;
};
/* Never NULL. */
const struct job_row *decide_job(const struct job_view *v);

/* Appends both tables, a line a row, in the order in which they are tried (tests/golden/agent-tables.txt). */
int agent_tables_dump(struct buf *out, struct error *err) _must_check_;

const char *job_action_name(enum job_action a);
const char *job_step_name(enum job_step s);
int job_step_parse(const char *word); /* -1 */

#endif
