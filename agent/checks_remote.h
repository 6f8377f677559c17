/* The checks that ask somebody: the API server of this machine, and etcd. */
#ifndef AGENT_CHECKS_REMOTE_H
#define AGENT_CHECKS_REMOTE_H

#include <stdatomic.h>

#include <agent/checks.h>

/* Opens connections of its own, so that nobody else waits. Each question has a deadline of 3 s; `stop` ends
 * the round between two of them. */
void checks_remote(const struct config *config, const atomic_bool *stop, struct cluster_checks *ret);

#endif
