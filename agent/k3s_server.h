/* Is a K3s or RKE2 server truly back? More than its API server's /readyz: supervisor, embedded etcd member,
 * and what its Node object says. */
#ifndef AGENT_K3S_SERVER_H
#define AGENT_K3S_SERVER_H

#include <agent/k3s.h>
#include <etcd/etcd.h>
#include <kube/kube.h>

struct k3s_server {
    const struct config *config;
    struct kube *supervisor; /* NULL: not opened yet; so the next */
    struct etcd *etcd;
    int64_t next_ms; /* when to look again; the last answer counts until then */
    int rc;
    char why[CLUSTER_TEXT_MAX];
    int64_t differs_ms; /* since when the Node's annotation means another config than the server's own record;
                           0: not */
};

void k3s_server_close(struct k3s_server *s);

/* 0, or a code with what is missing. Asked at most once a second; bounded to about 6 s (without an API server
 * 16 s). `api` is this server's own API server; NULL: it has none (and so no Node). Then its unit is looked
 * at too, and each call looks anew: what was seen of the process before is not to be taken for the present
 * one's. */
int k3s_server_ready(struct k3s_server *s, struct kube *api, struct error *err) _must_check_;

#endif
