/* The agent's connections: state store and API server, as struct agent_ops wants them. */
#ifndef AGENT_REMOTE_H
#define AGENT_REMOTE_H

#include <agent/agent.h>
#include <base/log.h>
#include <kube/kube.h>
#include <store/store.h>

#include "k3s_server.h"

struct remote {
    const struct config *config;
    struct store *store;
    struct kube *kube;     /* NULL until it could be opened */
    int64_t kube_retry_ms; /* not opened again before this */
    char kube_why[CLUSTER_TEXT_MAX];
    struct agent_ops ops;
    struct secret *fingerprint_key;
    struct k3s_server server; /* K3s, RKE2 */
    int64_t bad_bundles[16];  /* which were told to be passed over */
    size_t bad_bundles_count;

    struct log_dependency away; /* is the state store there? */
    unsigned failures;
    int64_t retry_ms; /* not asked before this */
};

/* Opens the state store (the token's keys are derived here, about 0.3 s). `config` is borrowed. */
int remote_open(struct remote *r, const struct config *config, struct error *err) _must_check_;
void remote_close(struct remote *r);

/* A client of this server's own API server. Caller closes. */
int remote_kube(const struct config *c, struct kube **ret, struct error *err) _must_check_;
/* Opens this server's API client now. ERR_INVALID naming the file that is wrong. */
int remote_open_kube(struct remote *r, struct error *err) _must_check_;

/* Bookkeeping of a call to the state store: rc as it returned. */
void remote_result(struct remote *r, int rc, const struct error *err);
bool remote_may_ask(const struct remote *r, int64_t now_ms);

/* Reads this server's order: 0 with *ret; ERR_NOT_FOUND: there is none; ERR_DENIED: not authentic;
 * ERR_INVALID: authentic but not understood, with its id in ret->id (0 when even that is not there). */
int remote_order(struct remote *r, int deadline_ms, struct cluster_order *ret,
                 struct error *err) _must_check_;

/* Is this server in the published list? ERR_NOT_FOUND: no list yet. */
int remote_in_spec(struct remote *r, bool *ret, struct error *err) _must_check_;

#endif
