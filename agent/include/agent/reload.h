/* API servers that reload their encryption config instead of being restarted: what their metrics say of it.
 * Pure. */
#ifndef AGENT_RELOAD_H
#define AGENT_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <config/config.h>

/* It looks once a minute: two looks, with what a busy machine adds. */
#define RELOAD_TWO_LOOKS_S 135

enum reload_state {
    RELOAD_UNTOLD,  /* the metrics say nothing of it */
    RELOAD_WAITING, /* they do, and it is not loaded yet */
    RELOAD_LOADED,
    RELOAD_REFUSED, /* it was tried since the change, and failed */
};

/* Reads /metrics (Prometheus's text format). `hash`: of the file, hex; `changed_s`: when it was changed,
 * seconds since 1970. */
enum reload_state reload_read(const char *metrics, const char *hash, double changed_s);

/* How long one may take: service.timeout, but two looks and a minute at least. */
int64_t reload_timeout_s(const struct config *c);

#endif
