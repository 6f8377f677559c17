/* The threads' life, and what the engine and the controller tell each other. */
#include "kindness.h"

#include <pthread.h>

#include <base/clock.h>
#include <base/text.h>

#include "probes.h"
#include "room.h"

#define TURN_MS       1000
#define SLICE_MS      100
#define OWN_SMOOTHING 0.1
#define OWN_SETTLED   20 /* answers before the smoothed latency may be a floor */

/* What the engine told since the last turn. */
struct own {
    unsigned answers, refused;
    double sum_ms;
    bool waited;
};

struct kindness {
    struct job *job;
    bool unpaced;
    bool running;
    pthread_t thread;
    atomic_bool stop;
    struct probes probes;
    struct room_watch *room; /* NULL: the datastore is not to be asked */
    struct controller controller;
    struct signals signals; /* of the present turn */
    double room_rate;       /* ceiling for history's sake; 0: none */
    pthread_mutex_t lock;
    struct own own;             /* under lock */
    double smooth_ms, floor_ms; /* under lock; negative: none */
    unsigned settled;           /* under lock */
    double rate;                /* under lock */
    char why[CLUSTER_TEXT_MAX]; /* under lock */
};

/* ---------- a turn ---------- */

static void take_own(struct kindness *k, struct signals *s)
{
    pthread_mutex_lock(&k->lock);
    struct own own = k->own;
    k->own = (struct own){0};
    s->own_idle_ms = k->floor_ms;
    pthread_mutex_unlock(&k->lock);
    s->own_ms = own.answers > 0 ? own.sum_ms / own.answers : -1;
    s->refused = own.answers > 0 ? (double)own.refused / own.answers : 0;
    s->saturated = own.waited;
}

static void take_room(struct kindness *k, struct signals *s)
{
    struct room_state r = {.bytes = -1, .in_use = -1};
    if (k->room)
        room_watch_get(k->room, &r);
    s->db_bytes = r.bytes;
    s->db_in_use = r.in_use;
    s->alarm = r.alarm;
    s->quota_bytes = k->room ? job_opts(k->job)->config->datastore_quota : 0;
}

/* The lower of the operator's ceiling and history's; 0: neither is set. */
static double highest(const struct kindness *k)
{
    double max = (double)job_max_rate(k->job);
    if (max <= 0)
        return k->room_rate;
    return k->room_rate > 0 && k->room_rate < max ? k->room_rate : max;
}

static void publish(struct kindness *k)
{
    pthread_mutex_lock(&k->lock);
    k->rate = k->controller.rate;
    text_copy(k->why, sizeof(k->why), k->controller.why);
    pthread_mutex_unlock(&k->lock);
}

static void turn(struct kindness *k)
{
    struct signals *s = &k->signals; /* every member is set anew */
    probes_turn(&k->probes, s);
    take_own(k, s);
    take_room(k, s);
    controller_limit(&k->controller, highest(k));
    double before = k->controller.rate;
    (void)controller_turn(&k->controller, s, clock_mono_ms());
    if (k->controller.rate < before)
        feel_eased(&k->probes.feel);
    publish(k);
}

static void *run(void *arg)
{
    struct kindness *k = arg;
    int64_t ask_ms = clock_mono_ms(), turn_ms = ask_ms + TURN_MS;
    while (!atomic_load(&k->stop)) {
        int64_t now = clock_mono_ms();
        if (now >= ask_ms) {
            probes_ask(&k->probes);
            ask_ms = now + PROBES_EVERY_MS;
        }
        if (now >= turn_ms) {
            turn(k);
            turn_ms = now + TURN_MS;
        }
        probes_run(&k->probes, SLICE_MS);
    }
    return NULL;
}

/* ---------- beginning and end ---------- */

static int check_room(struct kindness *k, int64_t values, int64_t bytes, struct room_state *ret,
                      struct error *err)
{
    const struct job_options *o = job_opts(k->job);
    if (o->spec.not_raw) /* how large it is, and may get, is not known */
        return 0;
    room_ask(o->datastore, ret);
    return controller_room(values, bytes, ret->in_use, o->config->datastore_quota, &k->room_rate, err);
}

static int begin(struct kindness *k, int64_t values, int64_t bytes, struct error *err)
{
    bool raw = !job_opts(k->job)->spec.not_raw;
    struct room_state room;
    int rc = check_room(k, values, bytes, &room, err);
    if (rc == 0)
        rc = probes_begin(&k->probes, k->job, err);
    if (rc == 0 && raw)
        rc = room_watch_start(job_opts(k->job)->datastore, &room, &k->room, err);
    if (rc < 0)
        return rc;
    struct controller_options options = {.max_rate = highest(k)};
    controller_init(&k->controller, &options, clock_mono_ms());
    publish(k);
    int e = pthread_create(&k->thread, NULL, run, k);
    if (e != 0)
        return error_errno(err, e, "starting the thread that watches what the rewrite does to the cluster");
    k->running = true;
    return 0;
}

int kindness_start(struct job *j, int64_t values, int64_t bytes, struct kindness **ret, struct error *err)
{
    const struct job_options *o = job_opts(j);
    _cleanup_(kindness_freep) struct kindness *k = calloc(1, sizeof(*k));
    if (!k)
        return error_no_memory(err);
    k->job = k->probes.job = j;
    k->smooth_ms = k->floor_ms = -1;
    k->unpaced = o->unpaced || o->offline; /* offline there is nobody to be kind to */
    pthread_mutex_init(&k->lock, NULL);
    atomic_init(&k->stop, false);
    int rc = k->unpaced ? 0 : begin(k, values, bytes, err);
    if (rc < 0)
        return rc;
    *ret = take(k);
    return 0;
}

void kindness_free(struct kindness *k)
{
    if (!k)
        return;
    atomic_store(&k->stop, true);
    if (k->running)
        pthread_join(k->thread, NULL);
    room_watch_free(k->room);
    probes_end(&k->probes);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

/* ---------- the engine's side ---------- */

double kindness_rate(struct kindness *k)
{
    if (!k || k->unpaced)
        return -1;
    pthread_mutex_lock(&k->lock);
    double rate = k->rate;
    pthread_mutex_unlock(&k->lock);
    return rate;
}

void kindness_why(struct kindness *k, char out[CLUSTER_TEXT_MAX])
{
    out[0] = '\0';
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    text_copy(out, CLUSTER_TEXT_MAX, k->why);
    pthread_mutex_unlock(&k->lock);
}

/* The floor is the least smoothed latency so far; a refused write tells nothing of latency. */
static void smooth(struct kindness *k, double ms)
{
    k->smooth_ms = k->smooth_ms < 0 ? ms : k->smooth_ms + OWN_SMOOTHING * (ms - k->smooth_ms);
    if (++k->settled >= OWN_SETTLED && (k->floor_ms < 0 || k->smooth_ms < k->floor_ms))
        k->floor_ms = k->smooth_ms;
}

void kindness_wrote(struct kindness *k, double ms, bool refused)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->own.answers++;
    k->own.refused += refused;
    k->own.sum_ms += ms;
    if (!refused)
        smooth(k, ms);
    pthread_mutex_unlock(&k->lock);
}

void kindness_waited(struct kindness *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->own.waited = true;
    pthread_mutex_unlock(&k->lock);
}
