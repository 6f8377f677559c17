/* API servers that are alive by the datastore's own records, and that nobody told us about: a rotation that
 * does not know of a server would leave it without the new key. */
#ifndef COORDINATOR_PROOFS_APISERVERS_H
#define COORDINATOR_PROOFS_APISERVERS_H

#include <cluster/types.h>
#include <config/config.h>
#include <etcd/etcd.h>
#include <kube/kube.h>

/* Compares the addresses at which API servers say that they are alive (<prefix>/masterleases/<address>, kept
 * by kube-apiserver's default endpoint reconciler under leases of 15 s) with those of config->servers: the
 * server's `address`, else the host of its API's URL; a name is looked up only when no address in figures
 * fits, which may take the resolver's own time. `why` gets a text that names the strangers and what to do,
 * "" when there is none. A stranger that may be a server whose name does not resolve just now is named as
 * well.
 *
 * Where the reconciler is off there are no such records, and nothing is known: "". So it is for loopback
 * addresses, which every machine has. The identity leases of newer API servers (kube-system/apiserver-…) are
 * not looked at: they are named by a hash of the host's name, which can be compared with nothing here. */
int apiservers_unknown(struct etcd *datastore, const struct config *config, int deadline_ms,
                       char why[CLUSTER_TEXT_MAX], struct error *err) _must_check_;

/* The same from the addresses that the reconciler publishes for clients (the Endpoints `kubernetes` of
 * namespace default), asked of an API server: where the datastore cannot be read raw. ERR_DENIED: the login
 * may not. */
int apiservers_unknown_api(struct kube *k, const struct config *config, int deadline_ms,
                           char why[CLUSTER_TEXT_MAX], struct error *err) _must_check_;
/* From that object, as JSON. Pure, but for names that are looked up. */
int apiservers_unknown_in(const struct buf *endpoints, const struct config *config,
                          char why[CLUSTER_TEXT_MAX], struct error *err) _must_check_;

/* The host of an API's URL, without brackets; false when there is none, or it is too long. */
bool apiservers_host(const char *url, char *out, size_t size);

#endif
