/* Certificates, keys and tokens that the agent and the coordinator log in with. */
#ifndef AGENT_CHECKS_CERTIFICATES_H
#define AGENT_CHECKS_CERTIFICATES_H

#include <agent/checks.h>

/* One check for the state store, one for the datastore where it is another etcd, one for the API servers, one
 * for the coordinators' API where it listens. */
void checks_certificates(const struct config *config, int64_t now_ms, struct cluster_checks *ret);

#endif
