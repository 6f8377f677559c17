/* A small world for planner tests: servers whose agents do what they are ordered, at once or when told, and
 * whose API servers store values under the keys that they loaded. The planner and the transitions are the
 * real ones; only I/O is left out. What the coordinator deletes and records with each step is done here as in
 * coordinator/act*.c. */
#ifndef TEST_ROTATION_WORLD_H
#define TEST_ROTATION_WORLD_H

#include <rotation/rotation.h>
#include <rotation/transition.h>

#define WORLD_LOG_MAX     1024
#define WORLD_CONFIGS_MAX 128
#define WORLD_KEYS_MAX    60

/* An encryption config: its keys in order, by number; 0 is plain text. The first one writes. */
struct world_config {
    char hash[16];
    int keys[WORLD_KEYS_MAX];
    size_t count;
};

struct world {
    struct cluster_snapshot *s;
    struct cluster_spec spec;
    struct planner_self self;
    struct decision last;
    char (*log)[96]; /* what was done, in order: "order s1 apply 2", "phase append", … */
    size_t log_count;
    int64_t next_revision;
    int steps; /* decisions made */

    struct world_config configs[WORLD_CONFIGS_MAX]; /* 0: the one from before anything was issued */
    size_t configs_count;
    char key_names[WORLD_KEYS_MAX][24];
    size_t keys_count;
    uint64_t values;  /* bit k: there are values under key k */
    bool blind_is_ok; /* a rogue writer is at work: what it stores may be unreadable until a key is back */

    bool job; /* a job is under way */
    enum phase job_phase;
    char job_operation[CLUSTER_ID_MAX];

    int stale_scans;    /* the next N scans (verify, final) find stale values */
    int failed_rewrite; /* the next N rewrites fail */
    struct {            /* the next `times` proofs of `phase` end so */
        enum phase phase;
        enum proof_state state;
        const char *server; /* NULL: none in particular */
        const char *why;
        int times;
    } scripted;
    int64_t skew_ms[CLUSTER_SERVERS_MAX]; /* the servers' clocks against the coordinator's */
    int restarts[8];                      /* of the first servers, on order, since an operation was started */
};

void world_init(struct world *w, size_t servers);
void world_free(struct world *w);
/* The same with generation 1 adopted, idle. */
void world_init_adopted(struct world *w, size_t servers);
void world_request(struct world *w, enum operation_kind kind, bool force, bool skip, bool restart);
/* Any request, --force or not, about a server or key. */
void world_ask(struct world *w, enum operation_kind kind, bool force, const char *server, const char *key);
/* A restart of these servers (NULL ends them; none: all), and a request for the lock by `by`. */
struct cluster_request *world_restart(struct world *w, const char *const *servers);
struct cluster_request *world_lock(struct world *w, enum operation_kind kind, const char *by);
/* Decides and does one step; the decision is in w->last. Fails the test when an order is given while another
 * is in flight or a server is away, or while no server may be touched, or
 * something starts beside the lock, or when a running API server cannot read every value afterwards. */
void world_step(struct world *w);
/* Server i's agent carries its order out. */
void world_obey(struct world *w, size_t i);
/* The same, but the API server does not come back and the previous file is put back. */
void world_fail(struct world *w, size_t i, const char *why);
void world_refuse(struct world *w, size_t i, const char *why);
/* The operator restarts server i (which syncs first, as its start script does). */
void world_operator_restart(struct world *w, size_t i);
/* Jobs end or begin to watch, agents obey: true when something moved. */
bool world_move(struct world *w);
/* Steps and moves until the operation has ended or nothing moves. */
void world_run(struct world *w);
/* Steps and moves until the step just taken in that phase was `action`; fails the test when it never is. */
void world_until(struct world *w, enum phase phase, enum action action);
/* Steps alone: nothing moves meanwhile. */
void world_wait(struct world *w, int count);
void world_finish_job(struct world *w);
/* Server i's agent falls silent. */
void world_silence(struct world *w, size_t i);
/* True when the log, from that line on, has one that begins so. */
bool world_did(const struct world *w, size_t from, const char *what);
/* A coordinator that takes over: higher fence, no job. */
void world_new_leader(struct world *w);

/* Server i's API server stores a value, under the first key of what it loaded. */
void world_write(struct world *w, size_t i);
/* Somebody who is none of the servers stores one. */
void world_write_under(struct world *w, int key);
/* The first server whose API server cannot read every value, or SIZE_MAX. */
size_t world_unreadable(const struct world *w);
/* Orders that agents are at work on, or should be. */
size_t world_in_flight(const struct world *w);
/* True when every server has and runs this file. */
bool world_all_have(const struct world *w, const char *hash);

#endif
