/* From systemd's properties to one line for a person. */
#include <agent/unit.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include <base/cleanup.h>
#include <base/text.h>

/* "kube-apiserver.service" as people type it. */
struct short_name {
    char text[SERVICE_UNIT_MAX + 1];
};

static struct short_name short_name(const char *unit)
{
    struct short_name s;
    (void)text_copy(s.text, sizeof(s.text), unit);
    char *dot = strrchr(s.text, '.');
    if (dot && strcmp(dot, ".service") == 0)
        *dot = 0;
    return s;
}

/* --- is there such a unit --- */

static const struct {
    const char *state;
    int code;
    const char *what; /* when LoadError says nothing */
    const char *advice;
} loads[] = {
    {"masked", ERR_STATE, "it is masked", "`systemctl unmask %s`, or set service.unit to another one"},
    {"not-found", ERR_NOT_FOUND, "not found",
     "set service.unit to the unit that runs the API server (now: %s)"},
    {"bad-setting", ERR_INVALID, "it has a bad unit file setting",
     "`systemd-analyze verify %s` names the line"},
    {"error", ERR_INVALID, "it failed to load", "`systemd-analyze verify %s` says more"},
};

/* systemd ends its sentences; here they go on. */
static int sentence_len(const char *text)
{
    size_t len = strlen(text);
    return (int)(len > 0 && text[len - 1] == '.' ? len - 1 : len);
}

int unit_judge_load(const char *unit, const struct unit_state *u, struct error *err)
{
    const struct short_name name = short_name(unit);
    char advice[SERVICE_UNIT_MAX + 128];
    for (size_t i = 0; i < array_len(loads); i++) {
        if (strcmp(loads[i].state, u->load_state) != 0)
            continue;
        const char *what = u->load_error[0] ? u->load_error : loads[i].what;
        bool with_suffix = loads[i].code == ERR_INVALID; /* systemd-analyze wants the whole name */
        /* The advice is one of the table's, each with one %s. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(advice, sizeof(advice), loads[i].advice, with_suffix ? unit : name.text);
#pragma GCC diagnostic pop
        return error_set(err, loads[i].code, "%s: %s: %.*s; %s", unit, u->load_state, sentence_len(what),
                         what, advice);
    }
    if (u->no_start || u->no_stop)
        return error_set(err, ERR_STATE,
                         "%s: %s=yes: systemd restarts it only as part of another unit; set service.unit to "
                         "that one",
                         unit, u->no_start ? "RefuseManualStart" : "RefuseManualStop");
    return 0;
}

/* --- was the call refused --- */

#define SYSTEMD1 "org.freedesktop.systemd1."
#define DBUS     "org.freedesktop.DBus.Error."

static const struct {
    const char *name;
    int code;
    const char *advice;
} refusals[] = {
    {SYSTEMD1 "NoSuchUnit", ERR_NOT_FOUND, "set service.unit to the unit that runs the API server"},
    {SYSTEMD1 "UnitMasked", ERR_STATE, "`systemctl unmask` it, or set service.unit to another one"},
    {SYSTEMD1 "BadUnitSetting", ERR_INVALID, "`systemd-analyze verify` it"},
    {SYSTEMD1 "LoadFailed", ERR_INVALID, "`systemd-analyze verify` it"},
    {SYSTEMD1 "OnlyByDependency", ERR_STATE, "set service.unit to the unit that it is part of"},
    {SYSTEMD1 "JobTypeNotApplicable", ERR_INVALID, "set service.unit to a service"},
    {SYSTEMD1 "TransactionIsDestructive", ERR_STATE, "systemd is in the middle of another change: try later"},
    {SYSTEMD1 "TransactionJobsConflicting", ERR_STATE,
     "units that it needs exclude each other: see its journal"},
    {SYSTEMD1 "ShuttingDown", ERR_UNAVAILABLE, "try again once the machine is up"},
    {DBUS "AccessDenied", ERR_DENIED, "run the agent as root"},
    {DBUS "InteractiveAuthorizationRequired", ERR_DENIED, "run the agent as root"},
    {DBUS "LimitsExceeded", ERR_UNAVAILABLE, "try again"},
};

int unit_judge_refusal(const char *unit, const char *name, const char *text, struct error *err)
{
    for (size_t i = 0; i < array_len(refusals); i++)
        if (strcmp(refusals[i].name, name) == 0)
            return error_set(err, refusals[i].code, "%s: systemd refuses the restart: %.*s; %s", unit,
                             sentence_len(text), text, refusals[i].advice);
    return error_set(err, ERR_IO, "%s: systemd refuses the restart: %s", unit, text[0] ? text : name);
}

/* --- what came of it --- */

static const struct {
    int status;
    const char *word;
} statuses[] = {
    {EXIT_FAILURE, "FAILURE"},
    {2, "INVALIDARGUMENT"},
    {3, "NOTIMPLEMENTED"},
    {4, "NOPERMISSION"},
    {5, "NOTINSTALLED"},
    {6, "NOTCONFIGURED"},
    {7, "NOTRUNNING"},
    {200, "CHDIR"},
    {201, "NICE"},
    {203, "EXEC"},
    {206, "SETSCHEDULER"},
    {208, "STDIN"},
    {209, "STDOUT"},
    {214, "OOM_ADJUST"},
    {216, "GROUP"},
    {217, "USER"},
    {218, "CAPABILITIES"},
    {219, "CGROUP"},
    {226, "NAMESPACE"},
    {228, "SECCOMP"},
    {238, "STATE_DIRECTORY"},
    {243, "CREDENTIALS"},
};

/* "code=exited, status=203/EXEC", as systemd logs it. "" while it runs. */
static void describe_end(const struct unit_state *u, char *out, size_t size)
{
    const char *word = NULL;
    out[0] = 0;
    if (u->main_code == CLD_EXITED) {
        for (size_t i = 0; i < array_len(statuses); i++)
            if (statuses[i].status == u->main_status)
                word = statuses[i].word;
        word = u->main_status == 0 ? "SUCCESS" : word;
        snprintf(out, size, ": code=exited, status=%" PRId64 "%s%s", u->main_status, word ? "/" : "",
                 word ? word : "");
    } else if (u->main_code == CLD_KILLED || u->main_code == CLD_DUMPED) {
        word = u->main_status > 0 && u->main_status < NSIG ? sigabbrev_np((int)u->main_status) : NULL;
        snprintf(out, size, ": code=%s, status=%" PRId64 "%s%s",
                 u->main_code == CLD_KILLED ? "killed" : "dumped", u->main_status, word ? "/" : "",
                 word ? word : "");
    }
}

/* What a Result means beyond its word, and what to do; %s of `advice` is always the unit. */
static const struct {
    const char *result;
    const char *meaning;
    const char *advice;
} results[] = {
    {"timeout", ": a time limit of the unit passed (TimeoutStartSec, or TimeoutStopSec before it)",
     "mend what it waits for, or raise the limit"},
    {"watchdog", ": it kept silent for longer than WatchdogSec", NULL},
    {"oom-kill", ": the kernel ended it for lack of memory", "give it more memory (MemoryMax)"},
    {"resources", ": systemd could not get what its start needs (a file, user, cgroup, memory)", NULL},
    {"protocol", ": it did not do what its Type promises (PIDFile, READY=1)", NULL},
    {"exec-condition", ": its ExecCondition said no", NULL},
};

static int fail(const char *unit, const struct unit_state *u, struct error *err)
{
    const struct short_name name = short_name(unit);
    const char *meaning = "", *advice = NULL;
    char end[96], again[64] = "";
    for (size_t i = 0; i < array_len(results); i++) {
        if (strcmp(results[i].result, u->result) == 0) {
            meaning = results[i].meaning;
            advice = results[i].advice;
        }
    }
    describe_end(u, end, sizeof(end));
    if (u->restarts > 0 && strcmp(u->active_state, "activating") == 0)
        snprintf(again, sizeof(again), ", started again %" PRId64 " time%s", u->restarts,
                 u->restarts == 1 ? "" : "s");
    return error_set(err, ERR_IO,
                     "%s: %s (%s), Result=%s%s%s%s; %s%s`journalctl -u %s -n 20` has its last words", unit,
                     u->active_state, u->sub_state, u->result, meaning, end, again, advice ? advice : "",
                     advice ? ": " : "", name.text);
}

static int fail_start_limit(const char *unit, const struct unit_state *u, struct error *err)
{
    const struct short_name name = short_name(unit);
    return error_set(
        err, ERR_STATE,
        "%s: start-limit-hit: start request repeated too quickly (StartLimitBurst=%" PRId64
        "); it is down: mend the cause, then `systemctl reset-failed %s` and `systemctl start %s`",
        unit, u->limit_burst, name.text, name.text);
}

static const struct {
    const char *job;
    int code;
    const char *text;
} jobs[] = {
    {"timeout", ERR_TIMEOUT, "its job took longer than JobTimeoutSec; raise that, or see what it waits for"},
    {"dependency", ERR_STATE,
     "a unit that it requires failed; `systemctl list-dependencies` it and mend that one"},
    {"canceled", ERR_CANCELED,
     "another start or stop of it took the restart's place; see who did that, then try again"},
    {"skipped", ERR_STATE, "systemd skipped the start: there is nothing to do for it in its present state"},
    {"invalid", ERR_INVALID, "a restart cannot be done to it"},
    {"assert", ERR_STATE, "one of its asserts (Assert…=) does not hold"},
    {"unsupported", ERR_UNSUPPORTED, "this system cannot run a unit of its kind"},
    {"collected", ERR_STATE, "systemd dropped the unit meanwhile; see its journal"},
    {"once", ERR_STATE, "it can be started only once a boot"},
};

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool is_up(const struct unit_state *u)
{
    return is(u->active_state, "active") || is(u->active_state, "reloading");
}

/* Once its restarts have used it up, Result keeps the word of the last failure: then it is seen by the start
 * that never began. */
static bool hit_start_limit(const char *job, const struct unit_state *before, const struct unit_state *after)
{
    return is(after->result, "start-limit-hit") ||
           (is(job, "failed") && is(after->active_state, "failed") && after->limit_burst > 0 &&
            !is(after->result, "resources") && after->left_us == before->left_us);
}

int unit_judge(const char *unit, const char *job, const struct unit_state *before,
               const struct unit_state *after, struct error *err)
{
    int rc = unit_judge_load(unit, after, err);
    if (rc < 0)
        return rc;
    if (!is_up(after) && hit_start_limit(job, before, after))
        return fail_start_limit(unit, after, err);
    for (size_t i = 0; i < array_len(jobs); i++)
        if (is(jobs[i].job, job))
            return error_set(err, jobs[i].code, "%s: job %s: %s", unit, job, jobs[i].text);
    if (is(job, "failed") && is_up(after))
        return error_set(err, ERR_IO,
                         "%s: its start failed and systemd started it again (now %s, NRestarts=%" PRId64
                         "); `journalctl -u %s -n 20` has its last words",
                         unit, after->active_state, after->restarts, short_name(unit).text);
    if (is_up(after) && !is(job, "failed"))
        return 0;
    if (is(after->active_state, "inactive") && !after->condition)
        return error_set(err, ERR_STATE,
                         "%s: not started: one of its conditions (Condition…=) does not hold; `systemctl "
                         "status %s` names it",
                         unit, short_name(unit).text);
    return fail(unit, after, err);
}

bool unit_needs_watching(const struct unit_state *u)
{
    static const char *const types[] = {"simple", "exec", "idle", ""};
    for (size_t i = 0; i < array_len(types); i++)
        if (is(types[i], u->type))
            return u->main_pid > 0;
    return false;
}

int unit_judge_steady(const char *unit, const struct unit_state *then, const struct unit_state *now,
                      struct error *err)
{
    if (!is_up(now))
        return fail(unit, now, err);
    if (now->main_pid == then->main_pid)
        return 0;
    return error_set(err, ERR_IO,
                     "%s: its main process %" PRId64 " ended at once and systemd started it again "
                     "(NRestarts=%" PRId64 "); `journalctl -u %s -n 20` has its last words",
                     unit, then->main_pid, now->restarts, short_name(unit).text);
}

int unit_judge_late(const char *unit, const struct unit_state *now, int64_t timeout_s, struct error *err)
{
    return error_set(err, ERR_TIMEOUT,
                     "%s: still %s (%s) after %" PRId64 " s (service.timeout), and systemd goes on with it; "
                     "`systemctl status %s` says what it waits for",
                     unit, now->active_state, now->sub_state, timeout_s, short_name(unit).text);
}
