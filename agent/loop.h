/* The daemon: observe, decide, act, publish, wait. */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include <base/error.h>
#include <config/config.h>

/* Runs until SIGTERM or SIGINT, which the caller has blocked together with SIGCHLD and SIGHUP before any
 * thread was started. Returns 0 on a stop by signal, or why it could not start. */
int loop_run(const struct config *config, struct error *err) _must_check_;

#endif
