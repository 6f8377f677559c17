/* One state of the modelled cluster: small numbers only, so that millions fit. What stands for what:
 *
 *   config    a byte: bits 0..4 the keys it reads (bit 0: plain values, bit n: key n), bits 5..7 the one it
 *             writes with. 0: no usable config. Two files with the same byte have the same hash.
 *   foreign   the same config with something added by hand: another hash. Kept beside the config.
 *   order id  only which is the later one matters: ids are renumbered by rank in every state.
 *   step      of the operation: only whether a record belongs to the present one matters.
 *   fence     counts the leaders so far. */
#ifndef MODEL_STATE_H
#define MODEL_STATE_H

#include <agent/decide.h>
#include <cluster/types.h>

#define MODEL_SERVERS     5
#define MODEL_GENERATIONS 16
#define MODEL_KEYS        4

struct config_file {
    uint8_t config, foreign;
};

#define CONFIG(write, reads) ((uint8_t)((write) << 5 | (reads)))
#define KEY_BIT(k)           ((uint8_t)(1u << (k)))
#define PLAIN                KEY_BIT(0)

static inline uint8_t reads(uint8_t config)
{
    return config & 0x1f;
}

static inline uint8_t writes(uint8_t config)
{
    return config >> 5;
}

/* What a server that owns its config is asked for, and how far it is. */
enum { CALL_NONE, CALL_PREPARE, CALL_ROTATE, CALL_REENCRYPT, CALL_ENABLE, CALL_DISABLE };
enum { MADE_NOTHING, MADE_FILE, MADE_RECORD };

enum { OP_OLD, OP_NOW, OP_REPAIRS }; /* whose an order is */

struct model_order {
    uint8_t id; /* 0: none */
    uint8_t kind, op, gen, config, stage, fence;
    uint8_t from, call; /* CALL */
};

struct model_version {
    uint8_t gen, stage;
    struct config_file file; /* config 0: none */
};

enum { API_DOWN, API_STARTING, API_READY };

struct model_server {
    /* the machine */
    struct config_file file, loaded;
    uint8_t api;
    uint8_t bad;     /* this process will not come ready */
    uint8_t cmd;     /* a restart command runs */
    uint8_t ours;    /* down by our doing: from the restart until it is ready */
    uint8_t known;   /* the agent can tell what the process loaded */
    uint8_t stopped; /* by the operator: nobody starts it but him */
    uint8_t since;   /* RESTART: this process began after the order was begun */
    uint8_t renewed; /* of the checker: this operation's restart is done here */
    /* a server that owns its config */
    uint8_t own, own_stage; /* its own record of its config, and of its stage */
    uint8_t newer;          /* its file is newer than the datastore's: its process would not start */
    uint8_t making, made;   /* the call that it carries out, and how far */
    uint8_t call, asked;    /* the agent's command runs; it waits for the server's answer */
    /* the agent's state folder */
    uint8_t fence, stage, step, state;
    uint8_t fresh, forgotten; /* a new memory; the id of the order that was found with it */
    struct model_order order;
    struct model_version written, previous;
    /* the agent's memory */
    uint8_t alive, text, restart, late, refused, again;
    /* the state store's keys of this server */
    struct model_order given;
    struct {
        uint8_t silent, ready, known, gen, stage, order_id, order_state;
        struct config_file file, loaded;
    } report;
};

/* The rotation record. */
struct model_rotation {
    uint8_t stage, generation, config, issued, next_order;
    uint8_t write_key, new_key, old_key, reads_plain, keys; /* keys by number, 0: none */
    uint8_t base, base_stage, promoted;
    uint8_t has_op, kind, state, phase, skip, from, target, target_config, before, touched, also, aborts;
    uint8_t stage_before, passes, key;
    uint8_t datastore, offline; /* how values are rewritten */
    uint8_t throttled;
    uint8_t restarted, ends;
    uint8_t new_keys; /* of the checker: how many keys this operation has made */
};

/* What changes rarely. */
struct model_record {
    struct model_rotation rotation;
    struct {
        uint8_t config, stage;
    } bundles[MODEL_GENERATIONS]; /* by generation */
    struct {
        uint8_t config, stage;
    } datastore;      /* what servers that own their config hand to one another */
    uint8_t escrow;   /* keys */
    uint8_t keys;     /* made so far */
    uint8_t wrote;    /* keys that some issued config writes with */
    uint8_t way_back; /* of the checker: the config that an abort has to lead back to */
};

enum { JOB_NONE, JOB_RUNNING, JOB_ENDED };
enum { RE_NONE, RE_ENDED, RE_FAILED };

struct model_job {
    uint8_t state, phase, now; /* `now`: of the present step */
    uint8_t result;            /* enum proof_state; REWRITE: RE_* */
    uint8_t config;            /* REWRITE in the datastore: with what it was begun; else 0 */
    uint8_t watching;
};

/* What changes often. */
struct model_busy {
    uint8_t data;    /* keys under which values are stored */
    uint8_t clean;   /* keys under which the newest scan found none and nothing was written since */
    uint8_t counted; /* keys under which the newest scan since the newest rewriting found none */
    uint8_t unknown; /* an API server that nobody told us about is alive */
    uint8_t lock;    /* somebody holds it */
    uint8_t closed;  /* no server is to be touched */
    struct {
        uint8_t phase, state, attempts;
    } proof;       /* of the present step */
    uint32_t made; /* phases with a proof of an earlier step */
    uint8_t rewritten, rewritten_now;
    uint8_t request, request_server; /* enum operation_kind + 1, 0: none */
    uint8_t leader, fence;
    uint8_t writer; /* the coordinator whose job has the datastore's fence, + 1; 0: none */
    uint8_t faults, requests, rogue, edits; /* left */
    struct model_job job[2];                /* one a coordinator */
};

/* A decision that its coordinator has not carried out yet: the whole transaction. */
struct model_pending {
    uint8_t valid, action, server;
    uint8_t term, fresh; /* its leadership and the record that it read still stand */
    uint8_t answers, clears, deletes, proves, starts, config, stage, escrow;
    uint8_t puts;      /* the rotation record */
    uint8_t steps;     /* another step of the operation begins */
    uint8_t unwell;    /* the planner saw another server that was not well */
    uint8_t unwatched; /* … nobody watching new writes */
    uint8_t stranger;  /* … an API server that nobody told us about */
    uint8_t blind;     /* … a server that would not read what is going to be written */
    uint8_t attended;  /* … an API server that runs, at the beginning of an offline rewrite */
    uint8_t unsealed;  /* … a config that no agent has sealed yet, on its way to another server */
    uint8_t futile;    /* … a config that the servers have left, which none can hand on */
    uint8_t overdone;  /* a throttle changes more than the rate */
    uint8_t locked;    /* … the lock held; the transaction compares it */
    uint8_t held;      /* … a server is touched though it is closed */
    struct model_order order;
    struct model_rotation rotation;
};

struct model_state {
    struct model_server servers[MODEL_SERVERS];
    struct model_record record;
    struct model_busy busy;
    struct model_pending pending[2];
};

#endif
