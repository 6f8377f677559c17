/* `preflight`, without its reading: what the agents found on their servers, and what is to be said about the
 * cluster as a whole. */
#ifndef CLI_PREFLIGHT_H
#define CLI_PREFLIGHT_H

#include <base/buf.h>
#include <cluster/snapshot.h>
#include <config/config.h>

#define PREFLIGHT_HOOKS_MAX   32
#define PREFLIGHT_MEMBERS_MAX 16

/* An agent's record. */
struct preflight_agent {
    bool has;
    char why[CLUSTER_TEXT_MAX]; /* why there is none */
    struct cluster_checks checks;
};

/* An etcd cluster as it answered. */
struct preflight_member {
    char name[128];
    bool answers, learner;
    char why[CLUSTER_TEXT_MAX]; /* it does not answer */
    char version[32];
    int64_t bytes, in_use;
    uint64_t leader; /* 0: it knows none */
    uint64_t behind; /* entries that it has not applied yet */
};
struct preflight_etcd {
    const char *name;           /* "state-store", "datastore" */
    char why[CLUSTER_TEXT_MAX]; /* "" : it was asked */
    struct preflight_member members[PREFLIGHT_MEMBERS_MAX];
    size_t count;
    char alarms[CLUSTER_TEXT_MAX]; /* "" = none */
};

/* A webhook that an update of a managed resource has to pass. */
struct preflight_hook {
    char kind[16];    /* "validating", "mutating" */
    char config[254]; /* name of the object that it stands in */
    char name[254];
    char resource[CLUSTER_KEY_NAME_MAX];
    char service[512]; /* where it is called, for people */
};
struct preflight_hooks {
    char why[CLUSTER_TEXT_MAX]; /* "" : they were read */
    struct preflight_hook hooks[PREFLIGHT_HOOKS_MAX];
    size_t count, more; /* more: past the limit */
};

struct preflight_facts {
    const struct config *config;
    const struct cluster_snapshot *snapshot;
    const struct preflight_agent *agents; /* of the spec's servers, in its order */
    const struct preflight_etcd *etcds;   /* the last one is the datastore */
    size_t etcds_count;
    const struct preflight_hooks *hooks;
};

struct preflight_item {
    char server[CLUSTER_NAME_MAX]; /* "" = the cluster */
    struct cluster_check check;
};
struct preflight {
    struct preflight_item *items;
    size_t count, failed, warned;
    size_t servers; /* that were looked at */
};
void preflight_free(struct preflight *p); /* frees the contents and zeroes */

/* ERR_NO_MEMORY is the one error. Caller frees *ret with preflight_free. */
int preflight_judge(const struct preflight_facts *f, struct preflight *ret, struct error *err) _must_check_;

/* Adds those of a list of webhook configurations (JSON, as the API server gives it) that refuse when they are
 * not reached, and that see updates of one of the resources. `kind`: "validating", "mutating". */
int preflight_read_hooks(const char *json, size_t len, const char *kind, const char *const *resources,
                         size_t resources_count, struct preflight_hooks *ret, struct error *err) _must_check_;

/* Each appends whole lines. */
int render_preflight_text(const struct preflight *p, struct buf *out, struct error *err) _must_check_;
int render_preflight_json(const struct preflight *p, struct buf *out, struct error *err) _must_check_;

#endif
