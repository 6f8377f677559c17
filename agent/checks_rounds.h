/* The rounds of checks: in a thread of their own, so that an API server or a disk that hangs holds up no
 * order; at the start, every 5 minutes, every 30 s while something is wrong, and when asked. */
#ifndef AGENT_CHECKS_ROUNDS_H
#define AGENT_CHECKS_ROUNDS_H

#include "publish.h"

struct checks;

/* Starts the thread and its first round. config and driver are borrowed. */
int checks_start(const struct config *config, const struct driver *driver, struct checks **ret,
                 struct error *err) _must_check_;

/* A round now (SIGHUP). */
void checks_now(struct checks *c);

/* Publishes the last round, when there is a new one or the lease is another, while our report stands. */
void checks_publish(struct checks *c, struct publisher *p, int64_t now_ms);

/* Waits for the question that is under way (3 s; where a disk hangs, 10 s). NULL is safe. */
void checks_stop(struct checks *c);

#endif
