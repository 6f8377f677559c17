/* OpenRC, by its own commands. Services are given without ".service". */
#ifndef AGENT_SERVICE_OPENRC_H
#define AGENT_SERVICE_OPENRC_H

#include <agent/service.h>

/* As in service.h. */
int openrc_restart(const char *service, int64_t timeout_s, struct error *err) _must_check_;
int openrc_check(const char *service, struct error *err) _must_check_;
int openrc_main_pid(const char *service, bool *ret_active, int64_t *ret_pid, struct error *err) _must_check_;

#endif
