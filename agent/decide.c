#include <agent/decide.h>

#include <stddef.h>
#include <string.h>

#include <base/cleanup.h>

/* --- may an order be taken? --- */

#define REL(r)  (1u << (r))
#define ANY_REL (REL(LOWER) | REL(EQUAL) | REL(HIGHER))
#define NO      0
#define YES     1
#define ANY     2 /* for yes-or-no conditions */

struct verdict_pattern {
    unsigned fence, id, generation; /* sets of relations */
    int same, busy, restart;
    struct verdict_row row;
};

/* The first row that fits decides. */
static const struct verdict_pattern verdicts[] = {
    /* fence      id          generation   same busy restart */
    {ANY_REL, REL(EQUAL), ANY_REL, YES, ANY, ANY, {"known", VERDICT_SAME, NULL}},
    {ANY_REL, ANY_REL, ANY_REL, ANY, YES, ANY, {"busy", VERDICT_LATER, NULL}},
    {REL(LOWER),
     ANY_REL,
     ANY_REL,
     ANY,
     ANY,
     ANY,
     {"stale-fence", VERDICT_REFUSE, "it was given by a coordinator that has been replaced since"}},
    {ANY_REL,
     REL(EQUAL),
     ANY_REL,
     ANY,
     ANY,
     ANY,
     {"changed", VERDICT_REFUSE, "an order with this id but other content was taken before"}},
    {ANY_REL,
     REL(LOWER),
     ANY_REL,
     ANY,
     ANY,
     ANY,
     {"stale-id", VERDICT_REFUSE, "a later order was taken before"}},
    {ANY_REL,
     ANY_REL,
     REL(LOWER),
     ANY,
     ANY,
     NO,
     {"stale-generation", VERDICT_REFUSE, "this server already has a newer generation"}},
    {ANY_REL, ANY_REL, ANY_REL, ANY, ANY, ANY, {"new", VERDICT_TAKE, NULL}},
};

static bool fits(int want, bool have)
{
    return want == ANY || (want == YES) == have;
}

static bool in(unsigned set, int value)
{
    return (set >> value) & 1u;
}

const struct verdict_row *decide_order(const struct order_view *v)
{
    size_t last = array_len(verdicts) - 1;
    for (size_t i = 0; i < last; i++) {
        const struct verdict_pattern *p = &verdicts[i];
        if (in(p->fence, (int)v->fence) && in(p->id, (int)v->id) && in(p->generation, (int)v->generation) &&
            fits(p->same, v->same) && fits(p->busy, v->busy) && fits(p->restart, v->kind == ORDER_RESTART))
            return &verdicts[i].row;
    }
    return &verdicts[last].row;
}

/* --- the next step of the order at work --- */

#define BIT(v) (1u << (v))
#define ALL    (~0u)

#define APPLY   BIT(ORDER_APPLY)
#define WRITE   BIT(ORDER_WRITE)
#define SYNC    BIT(ORDER_SYNC)
#define RESTART BIT(ORDER_RESTART)
#define ADOPT   BIT(ORDER_ADOPT)

struct job_pattern {
    unsigned kind, step, text, file, loaded, restart;
    int ready, late, can_undo;
    struct job_row row;
};

#define TAKEN   BIT(STEP_TAKEN)
#define WAITING BIT(STEP_WAITING)
#define UNDO    BIT(STEP_UNDO)
#define BACK    BIT(STEP_BACK)

/* The first row that fits decides. Where a file is to be written, FOREIGN stands before everything else:
 * it may be the only copy of a key that stored values need. */
static const struct job_pattern jobs[] = {
    /* A new order. */
    {APPLY | WRITE | SYNC,
     TAKEN,
     ALL,
     BIT(FILE_FOREIGN),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"taken-foreign", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED,
      "the encryption config on this server was changed by somebody else and may hold a key that nothing "
      "else "
      "holds: copy it, put back the file of another server, restart the API server, and ask again"}},
    {APPLY,
     TAKEN,
     ALL,
     BIT(FILE_TARGET),
     BIT(LOADED_TARGET),
     ALL,
     YES,
     ANY,
     ANY,
     {"taken-already", ACT_DONE, STEP_ENDED, ORDER_DONE, "the API server already runs with this file"}},
    {APPLY,
     TAKEN,
     ALL,
     BIT(FILE_TARGET),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"taken-written", ACT_BEGIN, STEP_WAITING, ORDER_RESTARTING, "the file is in place"}},
    {WRITE,
     TAKEN,
     ALL,
     BIT(FILE_TARGET),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"write-written", ACT_DONE, STEP_ENDED, ORDER_DONE,
      "the file is in place; the restart is the operator's"}},
    {SYNC,
     TAKEN,
     ALL,
     BIT(FILE_TARGET),
     BIT(LOADED_TARGET),
     ALL,
     ANY,
     ANY,
     ANY,
     {"sync-restarted", ACT_DONE, STEP_ENDED, ORDER_DONE,
      "the operator has restarted the API server with this file"}},
    {SYNC,
     TAKEN,
     ALL,
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"sync-wait", ACT_WAIT, STEP_TAKEN, ORDER_TAKEN, "waits for the operator to restart the API server"}},
    {APPLY | WRITE,
     TAKEN,
     BIT(TEXT_NONE),
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"taken-fetch", ACT_FETCH, STEP_TAKEN, ORDER_TAKEN, "fetches the sealed file"}},
    {APPLY | WRITE,
     TAKEN,
     BIT(TEXT_BAD),
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"taken-bad", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED, "the sealed file is unusable"}},
    {APPLY | WRITE,
     TAKEN,
     BIT(TEXT_HAVE),
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"taken-write", ACT_WRITE, STEP_TAKEN, ORDER_TAKEN, "writes the file"}},
    {RESTART,
     TAKEN,
     ALL,
     BIT(FILE_BROKEN),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"restart-broken", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED,
      "the API server would not come back: its encryption config is missing or unusable"}},
    {RESTART,
     TAKEN,
     ALL,
     BIT(FILE_TARGET),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"restart-begin", ACT_BEGIN, STEP_WAITING, ORDER_RESTARTING, "a restart is due"}},
    {RESTART,
     TAKEN,
     ALL,
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"restart-other", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED,
      "the file on this server has another hash than the coordinator expects"}},
    {ADOPT,
     TAKEN,
     ALL,
     BIT(FILE_BROKEN),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"adopt-broken", ACT_REFUSE, STEP_ENDED, ORDER_REFUSED, "the encryption config is missing or unusable"}},
    {ADOPT,
     TAKEN,
     ALL,
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"adopt", ACT_ADOPT, STEP_ENDED, ORDER_DONE, "seals the present file"}},

    /* The file is in place: restart, then wait. */
    {ALL,
     WAITING,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_RUNNING),
     ANY,
     ANY,
     ANY,
     {"restart-runs", ACT_WAIT, STEP_WAITING, ORDER_RESTARTING, "the restart command runs"}},
    {ALL,
     WAITING,
     ALL,
     (unsigned)~BIT(FILE_TARGET),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"file-changed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
      "the encryption config was changed by somebody else meanwhile; it was left as it is"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_FAILED),
     ANY,
     ANY,
     YES,
     {"restart-failed", ACT_UNDO, STEP_UNDO, ORDER_RESTARTING, "the restart command failed"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_FAILED),
     ANY,
     ANY,
     NO,
     {"restart-failed-stay", ACT_FAIL, STEP_ENDED, ORDER_FAILED, "the restart command failed"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     BIT(LOADED_TARGET),
     ALL,
     YES,
     ANY,
     ANY,
     {"restarted", ACT_DONE, STEP_ENDED, ORDER_DONE, "the API server runs with this file and is ready"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     BIT(LOADED_TARGET),
     BIT(RESTART_NONE),
     NO,
     NO,
     ANY,
     {"resumed", ACT_WAIT, STEP_WAITING, ORDER_RESTARTING, "an API server with this file is starting"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_NONE),
     ANY,
     ANY,
     ANY,
     {"restart", ACT_RESTART, STEP_WAITING, ORDER_RESTARTING, "restarts the API server"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_OK),
     ANY,
     YES,
     YES,
     {"not-ready", ACT_UNDO, STEP_UNDO, ORDER_RESTARTING, "the API server did not come ready in time"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_OK),
     ANY,
     YES,
     NO,
     {"not-ready-stay", ACT_FAIL, STEP_ENDED, ORDER_FAILED, "the API server did not come ready in time"}},
    {ALL,
     WAITING,
     ALL,
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"starting", ACT_WAIT, STEP_WAITING, ORDER_RESTARTING, "waits until the API server is ready"}},

    /* It went wrong: the previous file comes back. */
    {ALL,
     UNDO,
     ALL,
     BIT(FILE_PREVIOUS),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"undone", ACT_BACK, STEP_BACK, ORDER_RESTARTING, "the previous file is back"}},
    {ALL,
     UNDO,
     ALL,
     BIT(FILE_TARGET),
     ALL,
     ALL,
     ANY,
     ANY,
     YES,
     {"undo", ACT_PUT_BACK, STEP_UNDO, ORDER_RESTARTING, "puts the previous file back"}},
    {ALL,
     UNDO,
     ALL,
     BIT(FILE_TARGET),
     ALL,
     ALL,
     ANY,
     ANY,
     NO,
     {"undo-nothing", ACT_FAIL, STEP_ENDED, ORDER_FAILED, "there is no previous file to put back"}},
    {ALL,
     UNDO,
     ALL,
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"undo-changed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
      "the encryption config was changed by somebody else meanwhile; it was left as it is"}},
    {ALL,
     BACK,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_RUNNING),
     ANY,
     ANY,
     ANY,
     {"back-runs", ACT_WAIT, STEP_BACK, ORDER_RESTARTING, "the restart command runs"}},
    {ALL,
     BACK,
     ALL,
     (unsigned)~BIT(FILE_PREVIOUS),
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"back-changed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
      "the encryption config was changed by somebody else meanwhile; it was left as it is"}},
    {ALL,
     BACK,
     ALL,
     ALL,
     BIT(LOADED_PREVIOUS),
     ALL,
     YES,
     ANY,
     ANY,
     {"back-ready", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
      "the previous file is back and the API server is ready with it"}},
    {ALL,
     BACK,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_FAILED),
     ANY,
     ANY,
     ANY,
     {"back-restart-failed", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
      "the previous file is back, but the restart command failed again: restart the API server by hand"}},
    {ALL,
     BACK,
     ALL,
     ALL,
     BIT(LOADED_PREVIOUS),
     BIT(RESTART_NONE),
     NO,
     NO,
     ANY,
     {"back-resumed", ACT_WAIT, STEP_BACK, ORDER_RESTARTING,
      "an API server with the previous file is starting"}},
    {ALL,
     BACK,
     ALL,
     ALL,
     ALL,
     BIT(RESTART_NONE),
     ANY,
     ANY,
     ANY,
     {"back-restart", ACT_RESTART, STEP_BACK, ORDER_RESTARTING,
      "restarts the API server with the previous file"}},
    {ALL,
     BACK,
     ALL,
     ALL,
     ALL,
     ALL,
     ANY,
     YES,
     ANY,
     {"back-not-ready", ACT_FAIL, STEP_ENDED, ORDER_FAILED,
      "the previous file is back, but the API server did not come ready with it either: look at its log"}},
    {ALL,
     BACK,
     ALL,
     ALL,
     ALL,
     ALL,
     ANY,
     ANY,
     ANY,
     {"back-starting", ACT_WAIT, STEP_BACK, ORDER_RESTARTING,
      "waits until the API server is ready with the previous file"}},

    /* No order, or one that has ended. */
    {ALL, ALL, ALL, ALL, ALL, ALL, ANY, ANY, ANY, {"idle", ACT_WAIT, STEP_ENDED, ORDER_NONE, ""}},
};

static bool job_fits(const struct job_pattern *p, const struct job_view *v)
{
    return in(p->kind, (int)v->kind) && in(p->step, (int)v->step) && in(p->text, (int)v->text) &&
           in(p->file, (int)v->file) && in(p->loaded, (int)v->loaded) && in(p->restart, (int)v->restart) &&
           fits(p->ready, v->ready) && fits(p->late, v->late) && fits(p->can_undo, v->can_undo);
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
        [ACT_WAIT] = "wait",       [ACT_FETCH] = "fetch", [ACT_WRITE] = "write", [ACT_BEGIN] = "begin",
        [ACT_RESTART] = "restart", [ACT_ADOPT] = "adopt", [ACT_UNDO] = "undo",   [ACT_PUT_BACK] = "put-back",
        [ACT_BACK] = "back",       [ACT_DONE] = "done",   [ACT_FAIL] = "fail",   [ACT_REFUSE] = "refuse",
    };
    return (size_t)a < array_len(names) ? names[a] : NULL;
}

static const char *const steps[] = {
    [STEP_NONE] = "none", [STEP_TAKEN] = "taken", [STEP_WAITING] = "waiting",
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
