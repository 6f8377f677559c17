#include <agent/decide.h>

#include <stddef.h>
#include <string.h>

#include <base/cleanup.h>
#include <cluster/codec.h>

/* The model checker compiles this file once more with rows that it may change. */
#ifndef ROW_QUALIFIER
#define ROW_QUALIFIER const
#endif

/* --- may an order be taken? --- */

#define BIT(v) (1u << (v))
#define NOT(v) (~(1u << (v)))

#define APPLY   BIT(ORDER_APPLY)
#define WRITE   BIT(ORDER_WRITE)
#define SYNC    BIT(ORDER_SYNC)
#define RESTART BIT(ORDER_RESTART)
#define ADOPT   BIT(ORDER_ADOPT)
#define REPAIR  BIT(ORDER_REPAIR)
#define CALL    BIT(ORDER_CALL)
#define FOLLOW  BIT(ORDER_FOLLOW)

/* A condition that is left out of a row (0) is always true. */
enum yes_no { ANY, NO, YES };

struct verdict_pattern {
    unsigned fence, id, generation; /* sets of relations */
    unsigned kind;                  /* set of order kinds */
    enum yes_no same, busy, forgotten;
    struct verdict_row row;
};

/* The first row that fits decides. */
static ROW_QUALIFIER struct verdict_pattern verdicts[] = {
    {.id = BIT(EQUAL), .same = YES, .row = {"known", VERDICT_SAME, NULL}},
    {.forgotten = YES,
     .row =
         {"forgotten", VERDICT_REFUSE,
          "this agent has lost its memory since the order was given, and it may have been carried out: run "
          "`secrets-encrypt resume`, which gives a new one"}},
    {.busy = YES, .row = {"busy", VERDICT_LATER, NULL}},
    {.fence = BIT(LOWER),
     .row = {"stale-fence", VERDICT_REFUSE, "it was given by a coordinator that has been replaced since"}},
    {.id = BIT(EQUAL),
     .row = {"changed", VERDICT_REFUSE, "an order with this id but other content was taken before"}},
    {.id = BIT(LOWER), .row = {"stale-id", VERDICT_REFUSE, "a later order was taken before"}},
    /* A repair goes back to the generation that the whole cluster has settled on, which may be the one before
     * this server's. */
    {.generation = BIT(LOWER),
     .kind = ADOPT | APPLY | WRITE | SYNC | CALL,
     .row = {"stale-generation", VERDICT_REFUSE, "this server already has a newer generation"}},
    {.row = {"new", VERDICT_TAKE, NULL}},
};

static bool fits(enum yes_no want, bool have)
{
    return want == ANY || (want == YES) == have;
}

static bool in(unsigned set, int value)
{
    return !set || ((set >> value) & 1u);
}

const struct verdict_row *decide_order(const struct order_view *v)
{
    size_t last = array_len(verdicts) - 1;
    for (size_t i = 0; i < last; i++) {
        const struct verdict_pattern *p = &verdicts[i];
        if (in(p->fence, (int)v->fence) && in(p->id, (int)v->id) && in(p->generation, (int)v->generation) &&
            in(p->kind, (int)v->kind) && fits(p->same, v->same) && fits(p->busy, v->busy) &&
            fits(p->forgotten, v->forgotten))
            return &verdicts[i].row;
    }
    return &verdicts[last].row;
}

/* --- the next step of the order at work --- */

struct job_pattern {
    unsigned kind, step, text, file, loaded, restart;
    enum yes_no ready, late, can_undo, again;
    struct job_row row;
};

#define TAKEN   BIT(STEP_TAKEN)
#define CALLING BIT(STEP_CALLING)
#define WAITING BIT(STEP_WAITING)
#define UNDO    BIT(STEP_UNDO)
#define BACK    BIT(STEP_BACK)

/* The first row that fits decides. Where a file is to be written, FOREIGN stands before everything else:
 * it may be the only copy of a key that stored values need. A repair writes over it, once a copy is kept. */
static ROW_QUALIFIER struct job_pattern jobs[] = {

    /* A new order. */
    {.kind = APPLY | WRITE | SYNC,
     .step = TAKEN,
     .file = BIT(FILE_FOREIGN),
     .row =
         {"taken-foreign", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED,
          "the encryption config on this server was changed by somebody else and may hold a key that nothing "
          "else holds: put it right with secrets-encrypt repair (which keeps a copy of it), and ask again"}},
    {.kind = APPLY | REPAIR | FOLLOW,
     .step = TAKEN,
     .file = BIT(FILE_TARGET),
     .loaded = BIT(LOADED_TARGET),
     .ready = YES,
     .row = {"taken-already", ACT_DONE, STEP_ENDED, ORDER_DONE,
             "the API server already runs with this file"}},
    {.kind = APPLY | REPAIR,
     .step = TAKEN,
     .file = BIT(FILE_TARGET),
     .row = {"taken-written", ACT_BEGIN, STEP_WAITING, ORDER_RESTARTING, "the file is in place"}},
    {.kind = WRITE,
     .step = TAKEN,
     .file = BIT(FILE_TARGET),
     .row = {"write-written", ACT_DONE, STEP_ENDED, ORDER_DONE,
             "the file is in place; the restart is the operator's"}},
    {.kind = SYNC,
     .step = TAKEN,
     .file = BIT(FILE_TARGET),
     .loaded = BIT(LOADED_TARGET),
     .row = {"sync-restarted", ACT_DONE, STEP_ENDED, ORDER_DONE,
             "the operator has restarted the API server with this file"}},
    {.kind = SYNC,
     .step = TAKEN,
     .row = {"sync-wait", ACT_WAIT, STEP_TAKEN, ORDER_TAKEN,
             "waits for the operator to restart the API server"}},
    {.kind = APPLY | WRITE | REPAIR,
     .step = TAKEN,
     .text = BIT(TEXT_NONE),
     .row = {"taken-fetch", ACT_FETCH, STEP_TAKEN, ORDER_TAKEN, "fetches the sealed file"}},
    {.kind = APPLY | WRITE | REPAIR,
     .step = TAKEN,
     .text = BIT(TEXT_BAD),
     .row = {"taken-bad", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED, "the sealed file is unusable"}},
    {.kind = APPLY | WRITE | REPAIR,
     .step = TAKEN,
     .text = BIT(TEXT_HAVE),
     .row = {"taken-write", ACT_WRITE, STEP_TAKEN, ORDER_TAKEN, "writes the file"}},
    {.kind = RESTART,
     .step = TAKEN,
     .file = BIT(FILE_BROKEN),
     .row = {"restart-broken", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED,
             "the API server would not come back: its encryption config is missing or unusable"}},
    {.kind = RESTART,
     .step = TAKEN,
     .file = BIT(FILE_TARGET),
     .row = {"restart-begin", ACT_BEGIN, STEP_WAITING, ORDER_RESTARTING, "a restart is due"}},
    {.kind = RESTART,
     .step = TAKEN,
     .row = {"restart-other", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED,
             "the file on this server has another hash than the coordinator expects"}},
    {.kind = ADOPT,
     .step = TAKEN,
     .file = BIT(FILE_BROKEN),
     .row = {"adopt-broken", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED,
             "the encryption config is missing or unusable"}},
    {.kind = ADOPT,
     .step = TAKEN,
     .row = {"adopt", ACT_ADOPT, STEP_ENDED, ORDER_DONE, "seals the present file"}},

    {.kind = CALL,
     .step = TAKEN,
     .row = {"call-begin", ACT_BEGIN, STEP_CALLING, ORDER_TAKEN, "the server makes its next config"}},
    {.kind = FOLLOW,
     .step = TAKEN,
     .row = {"follow-begin", ACT_BEGIN, STEP_WAITING, ORDER_RESTARTING, "a restart is due"}},

    /* A server that owns its config is asked for the next one. */
    {.step = CALLING,
     .restart = BIT(RESTART_RUNNING),
     .row = {"call-runs", ACT_WAIT, STEP_CALLING, ORDER_TAKEN, "the server is asked"}},
    {.step = CALLING,
     .restart = BIT(RESTART_FAILED),
     .row = {"call-failed", ACT_FAIL, STEP_ENDED, ORDER_FAILED, "the server did not make its next config"}},
    {.step = CALLING,
     .restart = BIT(RESTART_NONE),
     .row = {"call", ACT_CALL, STEP_CALLING, ORDER_TAKEN, "asks the server for its next config"}},
    {.step = CALLING,
     .file = BIT(FILE_BROKEN),
     .row = {"call-broken", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
             "the encryption config is missing or unusable"}},
    {.step = CALLING, .row = {"call-seal", ACT_SEAL, STEP_ENDED, ORDER_DONE, "seals what the server made"}},

    /* The file is in place: restart, then wait. */
    {.step = WAITING,
     .restart = BIT(RESTART_RUNNING),
     .row = {"restart-runs", ACT_WAIT, STEP_WAITING, ORDER_RESTARTING, "the restart command runs"}},
    {.kind = FOLLOW,
     .step = WAITING,
     .restart = BIT(RESTART_FAILED),
     .again = YES,
     .row =
         {"follow-failed", ACT_AGAIN, STEP_WAITING, ORDER_RESTARTING,
          "the server did not start at once: its first start may have met an election of its datastore's"}},
    {.kind = FOLLOW,
     .step = WAITING,
     .restart = BIT(RESTART_OK),
     .file = NOT(FILE_TARGET),
     .ready = YES,
     .again = YES,
     .row = {"follow-again", ACT_AGAIN, STEP_WAITING, ORDER_RESTARTING,
             "the server came back with its config from before: it is restarted once more"}},
    {.kind = FOLLOW,
     .step = WAITING,
     .restart = BIT(RESTART_OK),
     .file = NOT(FILE_TARGET),
     .ready = YES,
     .row =
         {"follow-stays", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
          "the server keeps coming back with another encryption config than the first server's: look at its "
          "log for what it says of bootstrap data"}},
    {.kind = FOLLOW,
     .step = WAITING,
     .restart = BIT(RESTART_OK),
     .late = YES,
     .again = YES,
     .row = {"follow-late", ACT_AGAIN, STEP_WAITING, ORDER_RESTARTING,
             "the server is not known to have come back with its new config: it is restarted once more"}},
    /* Only restarted: a server that owns its file may write it anew, as it was, while it starts. */
    {.kind = RESTART,
     .step = WAITING,
     .restart = BIT(RESTART_OK),
     .file = NOT(FILE_TARGET),
     .ready = NO,
     .late = NO,
     .row = {"restart-writes", ACT_WAIT, STEP_WAITING, ORDER_RESTARTING,
             "waits until the API server is ready"}},
    {.kind = NOT(ORDER_FOLLOW),
     .step = WAITING,
     .file = NOT(FILE_TARGET),
     .row = {"file-changed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
             "the encryption config was changed by somebody else meanwhile; it was left as it is"}},
    {.step = WAITING,
     .restart = BIT(RESTART_FAILED),
     .can_undo = YES,
     .row = {"restart-failed", ACT_UNDO, STEP_UNDO, ORDER_RESTARTING, "the restart command failed"}},
    {.step = WAITING,
     .restart = BIT(RESTART_FAILED),
     .can_undo = NO,
     .row = {"restart-failed-stay", ACT_FAIL, STEP_ENDED, ORDER_FAILED, "the restart command failed"}},
    {.step = WAITING,
     .file = BIT(FILE_TARGET),
     .loaded = BIT(LOADED_TARGET),
     .ready = YES,
     .row = {"restarted", ACT_DONE, STEP_ENDED, ORDER_DONE,
             "the API server runs with this file and is ready"}},
    {.step = WAITING,
     .loaded = BIT(LOADED_TARGET),
     .restart = BIT(RESTART_NONE),
     .ready = NO,
     .late = NO,
     .row = {"resumed", ACT_WAIT, STEP_WAITING, ORDER_RESTARTING,
             "an API server with this file is starting"}},
    {.step = WAITING,
     .restart = BIT(RESTART_NONE),
     .row = {"restart", ACT_RESTART, STEP_WAITING, ORDER_RESTARTING, "restarts the API server"}},
    {.step = WAITING,
     .restart = BIT(RESTART_OK),
     .late = YES,
     .can_undo = YES,
     .row = {"not-ready", ACT_UNDO, STEP_UNDO, ORDER_RESTARTING,
             "the API server did not come ready in time"}},
    {.step = WAITING,
     .restart = BIT(RESTART_OK),
     .late = YES,
     .can_undo = NO,
     .row = {"not-ready-stay", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
             "the API server did not come ready in time"}},
    {.step = WAITING,
     .row = {"starting", ACT_WAIT, STEP_WAITING, ORDER_RESTARTING, "waits until the API server is ready"}},

    /* It went wrong: the previous file comes back. */
    {.step = UNDO,
     .file = BIT(FILE_PREVIOUS),
     .row = {"undone", ACT_BACK, STEP_BACK, ORDER_RESTARTING, "the previous file is back"}},
    {.step = UNDO,
     .file = BIT(FILE_TARGET),
     .can_undo = YES,
     .row = {"undo", ACT_PUT_BACK, STEP_UNDO, ORDER_RESTARTING, "puts the previous file back"}},
    {.step = UNDO,
     .file = BIT(FILE_TARGET),
     .can_undo = NO,
     .row = {"undo-nothing", ACT_FAIL, STEP_ENDED, ORDER_FAILED, "there is no previous file to put back"}},
    {.step = UNDO,
     .row = {"undo-changed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
             "the encryption config was changed by somebody else meanwhile; it was left as it is"}},
    {.step = BACK,
     .restart = BIT(RESTART_RUNNING),
     .row = {"back-runs", ACT_WAIT, STEP_BACK, ORDER_RESTARTING, "the restart command runs"}},
    {.step = BACK,
     .file = NOT(FILE_PREVIOUS),
     .row = {"back-changed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
             "the encryption config was changed by somebody else meanwhile; it was left as it is"}},
    {.step = BACK,
     .loaded = BIT(LOADED_PREVIOUS),
     .ready = YES,
     .row = {"back-ready", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
             "the previous file is back and the API server is ready with it"}},
    {.step = BACK,
     .restart = BIT(RESTART_FAILED),
     .row =
         {"back-restart-failed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
          "the previous file is back, but the restart command failed again: restart the API server by hand"}},
    {.step = BACK,
     .loaded = BIT(LOADED_PREVIOUS),
     .restart = BIT(RESTART_NONE),
     .ready = NO,
     .late = NO,
     .row = {"back-resumed", ACT_WAIT, STEP_BACK, ORDER_RESTARTING,
             "an API server with the previous file is starting"}},
    {.step = BACK,
     .restart = BIT(RESTART_NONE),
     .row = {"back-restart", ACT_RESTART, STEP_BACK, ORDER_RESTARTING,
             "restarts the API server with the previous file"}},
    {.step = BACK,
     .late = YES,
     .row = {"back-not-ready", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
             "the previous file is back, but the API server did not come ready with it either: look at its "
             "log"}},
    {.step = BACK,
     .row = {"back-starting", ACT_WAIT, STEP_BACK, ORDER_RESTARTING,
             "waits until the API server is ready with the previous file"}},

    /* No order, or one that has ended. */
    {.row = {"idle", ACT_WAIT, STEP_ENDED, ORDER_NONE, ""}},
};

static bool job_fits(const struct job_pattern *p, const struct job_view *v)
{
    return in(p->kind, (int)v->kind) && in(p->step, (int)v->step) && in(p->text, (int)v->text) &&
           in(p->file, (int)v->file) && in(p->loaded, (int)v->loaded) && in(p->restart, (int)v->restart) &&
           fits(p->ready, v->ready) && fits(p->late, v->late) && fits(p->can_undo, v->can_undo) &&
           fits(p->again, v->again);
}

const struct job_row *decide_job(const struct job_view *v)
{
    size_t last = array_len(jobs) - 1;
    for (size_t i = 0; i < last; i++)
        if (job_fits(&jobs[i], v))
            return &jobs[i].row;
    return &jobs[last].row;
}

/* --- words --- */

const char *job_action_name(enum job_action a)
{
    static const char *const names[] = {
        [ACT_WAIT] = "wait",   [ACT_FETCH] = "fetch",       [ACT_WRITE] = "write",
        [ACT_BEGIN] = "begin", [ACT_RESTART] = "restart",   [ACT_ADOPT] = "adopt",
        [ACT_UNDO] = "undo",   [ACT_PUT_BACK] = "put-back", [ACT_CALL] = "call",
        [ACT_SEAL] = "seal",   [ACT_AGAIN] = "again",       [ACT_BACK] = "back",
        [ACT_DONE] = "done",   [ACT_FAIL] = "fail",         [ACT_REFUSE] = "refuse",
    };
    return (size_t)a < array_len(names) ? names[a] : NULL;
}

static const char *const steps[] = {
    [STEP_NONE] = "none", [STEP_TAKEN] = "taken", [STEP_CALLING] = "calling", [STEP_WAITING] = "waiting",
    [STEP_UNDO] = "undo", [STEP_BACK] = "back",   [STEP_ENDED] = "ended",
};

const char *job_step_name(enum job_step s)
{
    return (size_t)s < array_len(steps) ? steps[s] : NULL;
}

int job_step_parse(const char *word)
{
    for (size_t i = 0; i < array_len(steps); i++)
        if (strcmp(steps[i], word) == 0)
            return (int)i;
    return -1;
}

/* --- the tables as text --- */

struct words {
    const char *name; /* of the condition */
    const char *const *list;
    size_t count;
};
#define WORDS(name, ...)                                                                                     \
    (&(const struct words){name, (const char *const[]){__VA_ARGS__},                                         \
                           array_len(((const char *const[]){__VA_ARGS__}))})

/* " file=known|broken", or " file!=target" where all but one are meant. */
static int dump_set(struct buf *out, const struct words *w, unsigned set, struct error *err)
{
    unsigned all = (1u << w->count) - 1;
    if (!set)
        return 0;
    unsigned left_out = all & ~set;
    bool but_one = left_out && !(left_out & (left_out - 1)) && w->count > 2;
    unsigned shown = but_one ? left_out : set;
    int rc = buf_addf(out, err, " %s%s", w->name, but_one ? "!=" : "=");
    const char *between = "";
    for (size_t i = 0; rc == 0 && i < w->count; i++)
        if ((shown >> i) & 1u) {
            rc = buf_addf(out, err, "%s%s", between, w->list[i]);
            between = "|";
        }
    return rc;
}

static int dump_flag(struct buf *out, const char *name, enum yes_no want, struct error *err)
{
    return want == ANY ? 0 : buf_addf(out, err, " %s%s", want == NO ? "!" : "", name);
}

static int dump_kind(struct buf *out, unsigned set, struct error *err)
{
    const char *kinds[ORDER_FOLLOW + 1];
    for (size_t i = 0; i < array_len(kinds); i++)
        kinds[i] = order_kind_name((enum order_kind)i);
    return dump_set(out, &(const struct words){"kind", kinds, array_len(kinds)}, set, err);
}

static int dump_why(struct buf *out, const char *why, struct error *err)
{
    return why && *why ? buf_addf(out, err, "   # %s\n", why) : buf_adds(out, "\n", err);
}

static int dump_verdict(struct buf *out, const struct verdict_pattern *p, struct error *err)
{
    static const char *const verdict_words[] = {"take", "same", "later", "refuse"};
    int rc = buf_addf(out, err, "%-20s -> %-8s when", p->row.id, verdict_words[p->row.verdict]);
    size_t empty = out->len;
    if (rc == 0)
        rc = dump_kind(out, p->kind, err);
    if (rc == 0)
        rc = dump_set(out, WORDS("fence", "lower", "equal", "higher"), p->fence, err);
    if (rc == 0)
        rc = dump_set(out, WORDS("id", "lower", "equal", "higher"), p->id, err);
    if (rc == 0)
        rc = dump_set(out, WORDS("generation", "lower", "equal", "higher"), p->generation, err);
    if (rc == 0)
        rc = dump_flag(out, "same", p->same, err);
    if (rc == 0)
        rc = dump_flag(out, "busy", p->busy, err);
    if (rc == 0)
        rc = dump_flag(out, "forgotten", p->forgotten, err);
    if (rc == 0 && out->len == empty)
        rc = buf_adds(out, " always", err);
    return rc < 0 ? rc : dump_why(out, p->row.why, err);
}

static int dump_job(struct buf *out, const struct job_pattern *p, struct error *err)
{
    int rc = buf_addf(out, err, "%-20s -> %-8s %-8s %-10s when", p->row.id, job_action_name(p->row.action),
                      job_step_name(p->row.next), order_state_name(p->row.state));
    size_t empty = out->len;
    if (rc == 0)
        rc = dump_kind(out, p->kind, err);
    if (rc == 0)
        rc = dump_set(out, &(const struct words){"step", steps, array_len(steps)}, p->step, err);
    if (rc == 0)
        rc = dump_set(out, WORDS("text", "none", "have", "bad"), p->text, err);
    if (rc == 0)
        rc = dump_set(out, WORDS("file", "target", "previous", "known", "foreign", "broken"), p->file, err);
    if (rc == 0)
        rc = dump_set(out, WORDS("loaded", "unknown", "target", "previous", "other"), p->loaded, err);
    if (rc == 0)
        rc = dump_set(out, WORDS("restart", "none", "running", "ok", "failed"), p->restart, err);
    if (rc == 0)
        rc = dump_flag(out, "ready", p->ready, err);
    if (rc == 0)
        rc = dump_flag(out, "late", p->late, err);
    if (rc == 0)
        rc = dump_flag(out, "can_undo", p->can_undo, err);
    if (rc == 0)
        rc = dump_flag(out, "again", p->again, err);
    if (rc == 0 && out->len == empty)
        rc = buf_adds(out, " always", err);
    return rc < 0 ? rc : dump_why(out, p->row.why, err);
}

int agent_tables_dump(struct buf *out, struct error *err)
{
    int rc = buf_adds(out, "May an order be taken? The first row that fits decides.\n", err);
    for (size_t i = 0; rc == 0 && i < array_len(verdicts); i++)
        rc = dump_verdict(out, &verdicts[i], err);
    if (rc == 0)
        rc = buf_adds(out, "\nThe next step of the order at work (action, next step, published state).\n",
                      err);
    for (size_t i = 0; rc == 0 && i < array_len(jobs); i++)
        rc = dump_job(out, &jobs[i], err);
    return rc;
}
