/* Services of this machine, run by systemd or by OpenRC: restart, look, and the end of their log. For the
 * subcommands that a driver runs (driver.h): these calls wait, up to the deadline that they are given.
 *
 * A unit's name is given with or without ".service". Errors are one line in the service manager's own words,
 * with what to do next. */
#ifndef AGENT_SERVICE_H
#define AGENT_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <config/config.h>

#define SERVICE_UNIT_MAX  255 /* bytes of a unit's name, with its ".service" */
#define SERVICE_LINES_MAX 200
#define SERVICE_LOG_MAX   (64 * 1024)

enum service_init { SERVICE_SYSTEMD, SERVICE_OPENRC };

/* Which of the two runs this machine: ERR_UNSUPPORTED when neither does. */
int service_init_find(enum service_init *ret, struct error *err) _must_check_;

/* Is it a name that a unit can have? ERR_INVALID. */
int service_unit_check(const char *unit, struct error *err) _must_check_;

/* Restarts it and returns 0 once it runs: its start is over as the service manager sees it and, where that
 * says only that a process was made, the same process still stands 2 s later. Else one line says why, and the
 * service may be either down or up: look. ERR_TIMEOUT: the start (or the stop before it) goes on.
 * ERR_NOT_FOUND, ERR_STATE (masked), ERR_INVALID (name, unit file), ERR_DENIED, ERR_UNAVAILABLE. */
int service_restart(enum service_init init, const char *unit, int64_t timeout_s,
                    struct error *err) _must_check_;

/* That it exists and may be restarted, touching nothing. Errors as service_restart's. At most 10 s. */
int service_check(enum service_init init, const char *unit, struct error *err) _must_check_;

/* Is it active, as the service manager sees it, and which is its main process (0: none, or not known to
 * OpenRC)? ERR_NOT_FOUND: there is no such unit. At most 10 s. */
int service_main_pid(enum service_init init, const char *unit, bool *ret_active, int64_t *ret_pid,
                     struct error *err) _must_check_;

/* The last lines of what it logged (at most SERVICE_LINES_MAX lines and SERVICE_LOG_MAX bytes, less what
 * *out holds and can hold): the journal's, or /var/log/<unit>.log with OpenRC. Appended. At most 10 s. */
int service_log_tail(enum service_init init, const char *unit, unsigned lines, struct buf *out,
                     struct error *err) _must_check_;

/* What the drivers systemd and openrc restart: config's service.unit. Borrowed. */
const char *service_unit_of(const struct config *c);

/* The command of these drivers: the subcommand service-restart. Its time limit is this much longer than
 * service.timeout, so that it says itself what it waited for before it is ended. */
#define SERVICE_GRACE_S 45
struct driver_command;
void service_command(const struct config *c, struct driver_command *ret);

#endif
