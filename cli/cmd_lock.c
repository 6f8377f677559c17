/* The cluster's lock, for maintenance of other programs: while it stands nothing starts here. It ends with
 * its lease: of itself after --ttl, or with the command that it was taken for, however that ends. */
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/text.h>
#include <etcd/lease.h>

#include "ask.h"
#include "commands.h"
#include "console.h"

#define TTL_S           3600
#define TTL_COMMAND_S   60
#define TTL_KEPT_MAX    3600 /* of a lease that is kept alive */
#define TURN_MS         1000
#define EXIT_NO_COMMAND 127

extern char **environ;

struct lock {
    const struct args *args;
    struct session session;
    struct cluster_request request;
    struct etcd_lease *kept; /* with a command; NULL: the lease ends by itself */
    int64_t lease;           /* without one */
    int64_t ends_ms; /* through a coordinator, which keeps none alive: clock_mono_ms; 0: it does not */
    bool lost_told;
};

static int64_t ttl_of(const struct args *args)
{
    int64_t ttl = args->ttl_s > 0 ? args->ttl_s : args->run ? TTL_COMMAND_S : TTL_S;
    return args->run && ttl > TTL_KEPT_MAX ? TTL_KEPT_MAX : ttl;
}

static int grant_once(struct lock *l, struct error *err)
{
    int rc = etcd_lease_grant(store_etcd(l->session.store), l->request.ttl_s, CONNECT_MS, &l->lease, err);
    if (rc == 0)
        cluster_lease_format(l->lease, l->request.lease);
    return rc;
}

static int grant(struct lock *l, struct error *err)
{
    struct cluster_request *v = &l->request;
    v->ttl_s = ttl_of(l->args);
    if (l->session.remote) /* the coordinator grants it, and keeps none alive: it has to last */
        v->ttl_s = l->args->ttl_s > 0 ? l->args->ttl_s : TTL_S;
    if (l->session.remote)
        return 0;
    struct etcd *e = store_etcd(l->session.store);
    if (!l->args->run)
        return grant_once(l, err);
    int rc = etcd_lease_new(e, v->ttl_s, CONNECT_MS, &l->kept, err);
    if (rc == 0)
        cluster_lease_format(etcd_lease_id(l->kept), v->lease);
    return rc;
}

/* Its lease is gone: the lock that may have been taken with it too. */
static void let_go(struct lock *l)
{
    if (l->kept)
        etcd_lease_free(l->kept, true);
    else if (l->lease)
        (void)!etcd_lease_revoke(store_etcd(l->session.store), l->lease, CONNECT_MS, NULL);
    l->kept = NULL;
    l->lease = 0;
}

/* ---------- the command ---------- */

static int start(char **words, pid_t *ret_pid, int *ret_fd)
{
    int failed = posix_spawnp(ret_pid, words[0], NULL, NULL, words, environ);
    if (failed) {
        say("%s: %s", words[0], strerror(failed));
        return EXIT_NO_COMMAND;
    }
    *ret_fd = pidfd_open(*ret_pid, 0);
    return -1;
}

static void watch_lease(struct lock *l)
{
    bool over = l->ends_ms > 0 && clock_mono_ms() >= l->ends_ms;
    if (l->lost_told || (!over && (!l->kept || etcd_lease_alive(l->kept))))
        return;
    if (over)
        say("the lock is over: through a coordinator it lasts --ttl (%lld s); the command goes on without it",
            (long long)l->request.ttl_s);
    else
        say("the lock is lost: the state store did not keep its lease; the command goes on without it");
    l->lost_told = true;
}

/* A signal to us is one to the command, whose end is waited for all the same. */
static void await(struct lock *l, pid_t pid, int fd, int *ret_status)
{
    bool passed_on = false;
    while (waitpid(pid, ret_status, fd >= 0 ? WNOHANG : 0) == 0) {
        struct pollfd fds = {fd, POLLIN, 0};
        if (interrupted() && !passed_on)
            (void)kill(pid, SIGTERM);
        if (interrupted()) {
            passed_on = true;
            (void)!poll(&fds, 1, TURN_MS);
        } else {
            interrupt_wait(fd, TURN_MS);
        }
        watch_lease(l);
    }
}

static int run_command(struct lock *l)
{
    pid_t pid = 0;
    int fd = -1, status = 0;
    console_leave_end(); /* the code, and what is on stdout, are the command's */
    int code = start(l->args->run, &pid, &fd);
    if (code >= 0)
        return code;
    await(l, pid, fd, &status);
    if (fd >= 0)
        close(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Asked for, so that the audit trail has it; the lease that ends takes the lock with it in any case. */
static void give_back(struct lock *l)
{
    struct cluster_request *v = calloc(1, sizeof(*v));
    struct request r;
    struct error err = ERROR_INIT;
    bool asks = l->session.remote || !interrupted(); /* there no lease of ours takes it along */
    if (v && !l->lost_told && asks && request_make(&l->session, OP_UNLOCK, l->args, v, &err) == 0) {
        text_copy(v->lock, sizeof(v->lock), l->request.id);
        (void)ask_this(&l->session, v, 0, &r);
    }
    free(v);
    let_go(l);
}

static int lock(struct lock *l)
{
    struct error err = ERROR_INIT;
    struct request r;
    int rc = request_make(&l->session, OP_LOCK, l->args, &l->request, &err);
    if (rc == 0)
        rc = grant(l, &err);
    if (rc < 0)
        return fail(&err);
    int64_t asked_ms = clock_mono_ms();
    int code = ask_this(&l->session, &l->request, ask_deadline(l->args), &r);
    if (l->session.remote)
        l->ends_ms = asked_ms + l->request.ttl_s * 1000;
    if (code >= 0) {
        let_go(l);
        return code;
    }
    text_copy(l->request.id, sizeof(l->request.id), r.id); /* through the API it has another one */
    if (!l->args->run) {
        result("locked for %lld s at most: %s", (long long)l->request.ttl_s, l->request.id);
        return EXIT_DONE;
    }
    code = interrupted() ? end_with(EXIT_INTERRUPTED, "interrupted: %s was not started", l->args->run[0])
                         : run_command(l);
    give_back(l);
    return code;
}

static int run(const struct args *args)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ struct lock *l = calloc(1, sizeof(*l));
    if (!l)
        return end_with(EXIT_ERROR, "out of memory");
    l->args = args;
    int code = session_open(args, &l->session, &err) < 0 ? fail(&err) : lock(l);
    session_close(&l->session);
    return code;
}

const struct command command_lock = {
    .name = "lock",
    .flags = FLAG_REASON | FLAG_TTL | FLAG_RUN | FLAG_JSON,
    .summary = "let nothing start while other maintenance is at work",
    .example = "secrets-encrypt lock --reason 'new disks' --ttl 1800\n"
               "secrets-encrypt lock --reason 'kernel update' -- ./update-nodes",
    .help =
        "Takes the cluster's lock: until it is given back no rotation and no restart starts. Refused while "
        "one runs, and while\n"
        "somebody holds it. With a command behind `--` it is held while that runs, and this program ends "
        "with its exit code; a\n"
        "holder that dies loses it within --ttl. Without a command it ends by itself after --ttl, or by "
        "`unlock`. Through a\n"
        "coordinator (--coordinator) nothing keeps it alive: it lasts --ttl, also with a command.\n",
    .run = run,
};
