#include "internal.h"

#include <signal.h>
#include <time.h>

#include <grpc/support/log.h>

#define DOWN_MS 500 /* about: steps of 1 ms */

static struct {
    pthread_mutex_t lock;
    unsigned users;
    grpc_completion_queue *queue;
    pthread_t thread;
} runtime = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool on_queue_thread;

/* gRPC writes to stderr by itself; what it has to say reaches people through our error texts. */
static void say_nothing(gpr_log_func_args *args)
{
    (void)args;
}

static void *run(void *arg)
{
    grpc_completion_queue *queue = arg;
    on_queue_thread = true;
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (ev.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (ev.type != GRPC_OP_COMPLETE)
            continue;
        struct tag *t = ev.tag;
        t->fn(t, ev.success != 0);
    }
}

static int start(struct error *err)
{
    /* Asking gRPC for its log by its own environment variables still works. */
    if (!getenv("GRPC_VERBOSITY") && !getenv("GRPC_TRACE"))
        gpr_set_log_function(say_nothing);
    /* Signals belong to the program: gRPC's threads and ours inherit a full mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    grpc_init();
    runtime.queue = grpc_completion_queue_create_for_next(NULL);
    int rc = pthread_create(&runtime.thread, NULL, run, runtime.queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return 0;
    grpc_completion_queue_shutdown(runtime.queue);
    grpc_completion_queue_next(runtime.queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(runtime.queue);
    grpc_shutdown_blocking();
    return error_errno(err, rc, "cannot start the gRPC thread");
}

int runtime_acquire(struct error *err)
{
    pthread_mutex_lock(&runtime.lock);
    int rc = runtime.users ? 0 : start(err);
    if (rc == 0)
        runtime.users++;
    pthread_mutex_unlock(&runtime.lock);
    return rc;
}

/* A connection attempt that was under way when its channel was destroyed ends a little later, on a thread of
 * gRPC's, and only then is gRPC down. Left behind, it could meet an exit() that takes OpenSSL apart. Against
 * a server that does not say a word it takes until the attempt's own deadline; that long nobody need wait. */
static void wait_until_down(void)
{
    static const struct timespec step = {.tv_nsec = 1000000};
    for (int i = 0; i < DOWN_MS && grpc_is_initialized(); i++)
        nanosleep(&step, NULL);
}

void runtime_release(void)
{
    pthread_mutex_lock(&runtime.lock);
    if (--runtime.users == 0) {
        /* The thread returns only once the queue has been drained, which destroying it requires. */
        grpc_completion_queue_shutdown(runtime.queue);
        pthread_join(runtime.thread, NULL);
        grpc_completion_queue_destroy(runtime.queue);
        runtime.queue = NULL;
        grpc_shutdown_blocking();
        wait_until_down();
    }
    pthread_mutex_unlock(&runtime.lock);
}

grpc_completion_queue *runtime_queue(void)
{
    return runtime.queue;
}

bool runtime_on_queue_thread(void)
{
    return on_queue_thread;
}
