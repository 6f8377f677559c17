/* What an agent remembers across restarts: <state_dir>/agent.json, 0600, replaced atomically. */
#ifndef AGENT_STATE_H
#define AGENT_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <agent/process.h>
#include <base/error.h>
#include <cluster/types.h>

/* Which processes ran at a moment, so that a process found later can be told to be a newer one. */
enum mark_kind { MARK_NEVER, MARK_NONE, MARK_ONE, MARK_MANY };
struct mark {
    enum mark_kind kind; /* NEVER: not recorded */
    bool by_pid_file;
    char boot[PROCESS_BOOT_MAX];
    int64_t boot_ms;           /* when it was taken, by clock_mono_ms of that boot */
    struct process_id process; /* ONE */
};

/* A version of the file, as this agent knows it. hash "" = none. */
struct version {
    int64_t generation;
    char hash[CLUSTER_HASH_MAX];
    enum stage stage;
};

/* How far an order has come. The published order_state follows from it. */
enum job_step {
    STEP_NONE,    /* no order yet */
    STEP_TAKEN,   /* accepted */
    STEP_CALLING, /* the server is asked for its next config; then that is checked and sealed */
    STEP_WAITING, /* the file is in place; restart, then wait until ready */
    STEP_UNDO,    /* given up: the previous file is to be put back */
    STEP_BACK,    /* it is back; restart, then wait until ready */
    STEP_ENDED,
};

struct job {
    enum job_step step;
    struct cluster_order order;
    enum order_state state;
    char why[CLUSTER_TEXT_MAX];      /* FAILED, REFUSED; TAKEN: what it waits for */
    char undo_why[CLUSTER_TEXT_MAX]; /* UNDO, BACK: what went wrong */
    struct mark mark;                /* taken before the restart */
    struct process_id child;         /* the restart command, while it runs */
};

/* The part that `sync` writes too (another process): re-read under the lock before it is changed. */
struct file_record {
    struct version written;   /* last put in place by us (or found in place, and ordered) */
    int64_t written_ms;       /* wall clock */
    int64_t written_ctime_us; /* the file's ctime right after; another one later: somebody touched it */
    struct mark mark;         /* taken right after the rename: these may have read an older file */
    struct version intent;    /* about to be written; hash "" once it is known how that ended */
    struct version previous;  /* what stands in <state_dir>/previous-config */
};

struct loaded {
    struct process_id process;   /* that the rest is about */
    char hash[CLUSTER_HASH_MAX]; /* of the file that it was started with; "" = unknown */
    int64_t generation;
};

/* The file as it was last looked at, whoever put it there. */
struct sighting {
    char hash[CLUSTER_HASH_MAX];
    int64_t since_ms; /* wall clock: first seen with this hash */
    int64_t ctime_us;
    struct mark mark; /* taken right after it was first seen with this hash and ctime */
};

struct agent_state {
    int64_t seq; /* one more with every save */
    int64_t fence;
    int64_t restarts;
    /* Memory that was lost, or is new: an order that stood there already may have been carried out. */
    bool fresh;        /* the orders were not looked at since */
    int64_t forgotten; /* the id of the one that was found; 0: none */
    enum stage stage;  /* last published */
    struct job job;
    struct file_record file;
    struct loaded loaded;
    struct sighting seen;
};

struct state_dir {
    char path[PATH_MAX];
    char cluster[CLUSTER_NAME_MAX];
    char server[CLUSTER_NAME_MAX];
    int lock_fd;
};

/* Makes the folder (0700) and opens its lock file. */
int state_dir_open(struct state_dir *d, const char *path, const char *cluster, const char *server,
                   struct error *err) _must_check_;
void state_dir_close(struct state_dir *d);

/* The path of a file in it. ERR_INVALID when it is too long. */
int state_path(const struct state_dir *d, const char *name, char out[PATH_MAX],
               struct error *err) _must_check_;

/* A lock between the daemon and `sync`, held for moments only: ERR_TIMEOUT after timeout_ms. */
int state_lock(struct state_dir *d, int64_t timeout_ms, struct error *err) _must_check_;
void state_unlock(struct state_dir *d);

/* ERR_NOT_FOUND: there is none; ERR_INVALID: damaged, or another server's. *ret is written on success only.
 */
int state_load(const struct state_dir *d, struct agent_state *ret, struct error *err) _must_check_;
/* Under the lock. Raises seq. */
int state_save(const struct state_dir *d, struct agent_state *s, struct error *err) _must_check_;
/* Under the lock: takes over the file record of a newer save by the other process. A damaged or missing file
 * is no error (the memory is the better copy). Returns true when something changed. */
bool state_refresh(const struct state_dir *d, struct agent_state *s);

/* A state that claims nothing. */
void state_init(struct agent_state *s);

#endif
