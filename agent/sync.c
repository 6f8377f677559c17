/* `sync`: what a K3s server does when it reads its bootstrap data, for any API server whose operator restarts
 * it by hand. Shares the write step, the record and the lock with the daemon. */
#include "commands.h"

#include <inttypes.h>
#include <signal.h>

#include <agent/agent.h>
#include <base/clock.h>
#include <base/file.h>
#include <encryption/config.h>

#include "job.h"
#include "remote.h"

#define TOTAL_S 10
#define CALL_MS 3000
#define LOCK_MS 10000 /* the alarm comes first */

struct sync {
    const struct config *config;
    struct remote remote;
    struct agent agent; /* its state and view of the file; never its loop */
    struct cluster_order order;
};

static void out_of_time(int signal)
{
    (void)signal;
    static const char text[] =
        "secrets-encrypt-agent: sync: not done within 10 s; the file was left as it is\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(1);
}

static int nothing(const char *why)
{
    printf("nothing to do: %s\n", why);
    return 0;
}

/* State and file as they are now. */
static void look(struct sync *s)
{
    struct agent *a = &s->agent;
    const struct place place = {s->config->encryption_config, &a->dir, &a->finder};
    if (state_load(&a->dir, &a->state, NULL) < 0)
        state_init(&a->state);
    (void)place_settle(&place, &a->state.file);
    agent_look_file(a);
}

/* NULL when the order's file is to be written now; else why not. */
static const char *not_due(const struct sync *s)
{
    const struct agent *a = &s->agent;
    const struct cluster_order *o = &s->order;
    const struct version present = agent_present(a);
    struct order_view view;
    if (o->kind == ORDER_ADOPT || o->kind == ORDER_RESTART)
        return "no file is to be written";
    if (strcmp(a->seen.file.hash, o->hash) == 0)
        return "the file is in place";
    agent_order_view(&a->state, &present, o, &view);
    const struct verdict_row *row = decide_order(&view);
    if (row->verdict == VERDICT_SAME && a->state.job.step == STEP_TAKEN)
        return NULL;
    if (row->verdict == VERDICT_SAME)
        return "the order has ended, or is being undone";
    if (row->verdict == VERDICT_LATER)
        return "the agent is at work on another order";
    return row->verdict == VERDICT_REFUSE ? row->why : NULL;
}

static int check_foreign(const struct sync *s, struct error *err)
{
    if (s->order.kind == ORDER_REPAIR || !agent_file_foreign(&s->agent))
        return 0;
    return error_set(
        err, ERR_STATE,
        "%s was changed by somebody else and may hold a key that nothing else holds: it was left as it is",
        s->config->encryption_config);
}

/* Under the lock: decided again, since the daemon may have been faster. */
static int write_locked(struct sync *s, const char **ret_why, struct error *err)
{
    struct agent *a = &s->agent;
    look(s);
    *ret_why = not_due(s);
    if (*ret_why)
        return 0;
    int rc = check_foreign(s, err);
    if (rc < 0)
        return rc;
    return apply_write_locked(a, &s->order, err);
}

static int write_order(struct sync *s, const char **ret_why, struct error *err)
{
    int rc = apply_fetch_order(&s->agent, &s->order, err);
    if (rc == 0)
        rc = s->remote.ops.refresh(&s->remote, &s->agent.known, err);
    if (rc == 0)
        rc = state_lock(&s->agent.dir, LOCK_MS, err);
    if (rc < 0)
        return rc;
    rc = write_locked(s, ret_why, err);
    state_unlock(&s->agent.dir);
    return rc;
}

static int run(struct sync *s, struct error *err)
{
    const char *why = NULL;
    int rc = remote_order(&s->remote, CALL_MS, &s->order, err);
    if (rc == ERR_NOT_FOUND)
        return nothing("there is no order for this server");
    if (rc < 0)
        return rc;
    look(s);
    why = not_due(s);
    if (!why)
        rc = write_order(s, &why, err);
    if (rc < 0)
        return rc;
    if (why)
        return nothing(why);
    printf("wrote generation %" PRId64 "\n", s->order.generation);
    return 0;
}

int sync_main(const struct config *config, const char *word)
{
    (void)word;
    struct error err = ERROR_INIT;
    struct sync *s = calloc(1, sizeof(*s));
    if (!s) {
        error_no_memory(&err);
        return complain(&err);
    }
    signal(SIGALRM, out_of_time);
    alarm(TOTAL_S);
    s->config = config;
    s->agent.dir.lock_fd = -1;
    int rc = remote_open(&s->remote, config, &err);
    if (rc == 0)
        rc = agent_open(&s->agent, config, &s->remote.ops, &err);
    if (rc == 0)
        rc = run(s, &err);
    agent_close(&s->agent);
    remote_close(&s->remote);
    free(s);
    if (rc < 0) {
        error_prefix(&err, rc, "sync");
        return complain(&err);
    }
    return 0;
}
