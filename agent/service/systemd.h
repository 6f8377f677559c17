/* Two ways to systemd: its D-Bus interface, and the command systemctl. */
#ifndef AGENT_SERVICE_SYSTEMD_H
#define AGENT_SERVICE_SYSTEMD_H

#include <agent/unit.h>

/* A connection. Units are given with ".service". */
struct systemd_way {
    /* ERR_UNAVAILABLE: this way is not there. */
    int (*open)(void **ret, struct error *err);
    void (*close)(void *ctx); /* NULL is safe */
    /* Its properties, also of a unit that there is not. ERR_UNAVAILABLE: the connection is lost. */
    int (*look)(void *ctx, const char *unit, struct unit_state *ret, struct error *err);
    /* Restarts and waits for the job's end: 0 and its result. ERR_TIMEOUT: not by deadline_ms.
     * ERR_UNAVAILABLE: the connection is lost. Others: refused, with a text of unit_judge_refusal. */
    int (*restart)(void *ctx, const char *unit, int64_t deadline_ms, char job[UNIT_WORD_MAX],
                   struct error *err);
    /* Waits until something about the unit has changed from `then`, at most until deadline_ms: 0, or
     * ERR_TIMEOUT, ERR_UNAVAILABLE. */
    int (*wait_change)(void *ctx, const char *unit, const struct unit_state *then, int64_t deadline_ms);
};

#ifdef HAVE_LIBSYSTEMD
extern const struct systemd_way systemd_bus;
#endif
extern const struct systemd_way systemd_ctl;

/* As in service.h; units with ".service". */
int systemd_restart(const char *unit, int64_t timeout_s, struct error *err) _must_check_;
/* The same by these ways, each where the one before it is not there or went away. */
int systemd_restart_by(const struct systemd_way *const *by, size_t count, const char *unit, int64_t timeout_s,
                       struct error *err) _must_check_;
int systemd_look(const char *unit, struct unit_state *ret, struct error *err) _must_check_;

#define SYSTEMD_CALL_MS 10000

#endif
