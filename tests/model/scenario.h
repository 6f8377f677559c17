/* What may happen in one exploration, and what is asserted in it. */
#ifndef MODEL_SCENARIO_H
#define MODEL_SCENARIO_H

#include <rotation/rotation.h>

#include "state.h"

enum fault_kind {
    FAULT_AGENT = 1 << 0,    /* an agent is killed between any two of its actions, or within a write */
    FAULT_START = 1 << 1,    /* a restart fails: the command does, or the server does not come ready */
    FAULT_API = 1 << 2,      /* an API server crashes; its supervisor starts it with the present file */
    FAULT_LEASE = 1 << 3,    /* a report's lease expires though the agent lives */
    FAULT_LEADER = 1 << 4,   /* the leadership changes */
    FAULT_STALL = 1 << 5,    /* a coordinator stops between its decision and its act */
    FAULT_JOB = 1 << 6,      /* a job does not come to its end, or leaves a value out */
    FAULT_SLOW = 1 << 7,     /* a server takes longer than its deadline, but comes */
    FAULT_EDIT = 1 << 8,     /* a file is edited, or destroyed, by hand */
    FAULT_FORGET = 1 << 9,   /* an agent's state folder is lost */
    FAULT_ROGUE = 1 << 10,   /* somebody unknown writes a value under the old key */
    FAULT_UNKNOWN = 1 << 12, /* an API server that is in no list comes alive, and goes */
    FAULT_CALL = 1 << 13,    /* a call says that it failed, whatever became of it */
    FAULT_SAVE = 1 << 14,    /* a server cannot save what it made in its datastore */
    FAULT_MADE = 1 << 15,    /* a server makes something else than it was asked for */
    FAULT_LAG = 1 << 11,     /* reports lag behind (else an agent publishes whatever changes at once) */
};

enum model_engine {
    MODEL_API,
    MODEL_DATASTORE, /* straight in etcd, while API servers run */
    MODEL_OFFLINE,   /* the operator stops them all first, and starts them again afterwards */
};

struct scenario {
    const char *name;
    uint8_t servers;
    unsigned faults_allowed;
    uint8_t faults, requests;
    unsigned asks; /* set of BIT(enum operation_kind) that the operator may ask for */
    enum operation_kind first;
    bool skip;
    bool snapshots, auto_repair;
    bool not_raw;             /* nobody can see what values stand under: no watch, no count */
    bool unadopted;           /* begins before anything was adopted */
    enum model_engine engine; /* of whatever is asked for */
    bool manual;              /* --no-restart: the operator restarts the servers, `sync` writes their files */
    bool resumes;             /* a person mends and resumes whatever halted: only an end is a rest */
    bool owned;               /* the servers make their configs themselves */
    uint8_t named;            /* OP_RESTART: which servers, one bit each; 0: all */
    bool windows;             /* the cluster is closed and opened at any time */
    bool shut;                /* … and once closed stays so: what is never held has to end all the same */
    bool split;        /* the first server has the role etcd (here it has an API server all the same) */
    bool plain;        /* encryption is off at first */
    bool plain_values; /* stored before encryption was on, still readable */
    uint8_t passes, attempts;
    uint32_t states_max; /* 0: all of them */
    bool deep;           /* takes long: with --deep only */
};

/* What a mutation breaks in the world itself: mechanisms that are I/O code in the programs. */
enum world_mutation {
    MUTATE_NO_FENCE = 1 << 0,    /* a transaction does not compare the leader key */
    MUTATE_NO_ESCROW = 1 << 1,   /* keys are not sealed before they leave */
    MUTATE_NO_PREVIOUS = 1 << 2, /* the agent does not keep the previous file */
    MUTATE_OLD_PROOF = 1 << 3,   /* a proof of an earlier step counts */
    MUTATE_LATE_FORGET = 1 << 4, /* the file from before is not forgotten with the order that ends well */
    MUTATE_SEAL_ANY = 1 << 6,    /* what a server made is sealed without a look */
    MUTATE_BLIND_DONE = 1 << 7,  /* a server that came back is taken to have the config */
    MUTATE_HASTY = 1 << 8,       /* a server counts as restarted once it has its order */
    MUTATE_OLD_WRITER = 1 << 5,  /* a write in the datastore does not compare the fence there */
};

struct model {
    const struct scenario *scenario;
    unsigned mutations;
};

extern struct model model;

#endif
