/* One server's agent without its connections: what it saw, what it remembers, and the order at work. The
 * loop (loop.c) feeds it and publishes its report. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <agent/command.h>
#include <agent/decide.h>
#include <agent/driver.h>
#include <agent/known.h>
#include <agent/place.h>
#include <agent/process.h>
#include <agent/proof.h>
#include <agent/state.h>
#include <base/secret.h>
#include <cluster/types.h>
#include <config/config.h>

/* What is asked of the outside world: the API server and the state store. */
struct agent_ops {
    void *ctx;
    /* Is the API server ready? 0, or a code with the reason. Bounded to about 2 s. */
    int (*ready)(void *ctx, struct error *err);
    /* Reads the descriptions of bundles that are not known yet. Transient codes: asked again later. */
    int (*refresh)(void *ctx, struct known *known, struct error *err);
    /* Fetches and opens a generation. Transient codes: asked again later. Caller frees *ret_text. */
    int (*fetch)(void *ctx, int64_t generation, struct secret **ret_text, struct error *err);
    /* Seals `text` as the generation that `described` names (generation, stage, hash, config id, vector), in
     * one guarded write; 0 also when it is there already with that hash. *ret is filled in without the box.
     */
    int (*adopt)(void *ctx, const struct cluster_bundle *described, const struct secret *text,
                 struct cluster_bundle *ret, struct error *err);
    /* What fingerprints of keys are made with; NULL: layouts are not made. */
    const struct secret *fingerprint_key;
};

struct observation {
    struct file_seen file;
    char config_id[CLUSTER_HASH_MAX];  /* "" when it does not parse */
    bool file_plain;                   /* it parses, and encrypts nothing */
    char file_error[CLUSTER_TEXT_MAX]; /* why not */
    char layout[CLUSTER_LAYOUT_MAX];   /* "" when it does not parse, or `layout_why` */
    char layout_why[CLUSTER_TEXT_MAX / 2];
    struct process_found process;
    bool sighted; /* the file was first seen in this look, and its mark taken behind the process's */
    bool ready;
    char ready_why[CLUSTER_TEXT_MAX];
    struct driver_own own; /* hash "" : not known, `own_why` */
    char own_why[CLUSTER_TEXT_MAX];
    int64_t
        own_differs_ms; /* since when it means another file than the one that stands there; 0: it does not */
    int64_t process_next_ms, ready_next_ms; /* when to look again */
};

/* The order at work: what need not survive a crash. */
struct work {
    enum text_view text_view;
    struct secret *text;
    char text_why[CLUSTER_TEXT_MAX];
    enum restart_view restart;
    struct command *command;
    char restart_why[CLUSTER_TEXT_MAX];
    int64_t deadline_ms; /* of the step */
    int64_t retry_ms;    /* not before this: the state store was away, or somebody else changed the file */
    unsigned retries;
    int64_t confirmed_ms; /* when the order was last seen in the state store; 0: not since we started */
    bool refreshed;       /* the known bundles were read since the order was taken */
    unsigned repeated;    /* restarts since the first */
};

struct agent {
    const struct config *config;
    const struct agent_ops *ops;
    const struct driver *driver;
    struct state_dir dir;
    struct process_finder finder;
    char boot[PROCESS_BOOT_MAX];
    char instance[CLUSTER_ID_MAX];
    char output[PATH_MAX]; /* of the restart command */
    struct agent_state state;
    struct known known;
    struct observation seen;
    struct early early;
    struct work work;
    struct {
        int64_t id; /* 0: none */
        char why[CLUSTER_TEXT_MAX];
    } refused; /* an order that was not taken: answered, not remembered */
    struct {
        char hash[CLUSTER_HASH_MAX]; /* of the file that was tried; "" = none yet */
        int64_t generation;          /* with this one's test vector */
        bool opened;
        char why[CLUSTER_TEXT_MAX]; /* why not */
    } vector;
    bool save_failed; /* logged already */
    bool want_order;  /* read the order again: one is waiting, or it may have changed */
};

/* Opens the state folder, reads the state (afresh when it is missing or damaged, which is logged), takes up
 * what a crash left. `config` and `ops` are borrowed; agent_close ends nothing that runs. */
int agent_open(struct agent *a, const struct config *config, const struct agent_ops *ops,
               struct error *err) _must_check_;
void agent_close(struct agent *a);

/* Looks at file, process and readiness as far as that is due at now_ms (clock_mono_ms); all of it with
 * `force`. */
void agent_observe(struct agent *a, int64_t now_ms, bool force);

/* Hands in the order that stands in the state store (authentic). */
void agent_offer(struct agent *a, const struct cluster_order *order);
/* It does not decode: answered as refused. id 0: not answered. */
void agent_offer_unknown(struct agent *a, int64_t id, const char *why);
/* What stands there is not authentic: it is left alone. */
void agent_look_failed(struct agent *a);
/* There is none. */
void agent_withdraw(struct agent *a);

/* Takes one step with the order at work. Returns true when it did something: publish, then call again at
 * once. */
bool agent_step(struct agent *a, int64_t now_ms);

/* The view that agent_step decides on. */
void agent_job_view(const struct agent *a, int64_t now_ms, struct job_view *ret);

/* True while an order is being worked on locally (polled often). */
bool agent_busy(const struct agent *a);

/* The present file as a version: which generation it is. */
struct version agent_present(const struct agent *a);
/* A valid file that nobody issued, in a cluster that has issued some. */
bool agent_file_foreign(const struct agent *a);

/* Everything that is published, with time_ms as given. */
void agent_report(const struct agent *a, int64_t wall_ms, struct cluster_report *ret);

/* Saves the state under the lock, taking over what `sync` wrote meanwhile. A failure is logged once, too. */
int agent_save(struct agent *a, struct error *err);

#endif
