/* May servers be touched now? By the maintenance windows, and by what is firing. */
#ifndef COORDINATOR_MAINTENANCE_H
#define COORDINATOR_MAINTENANCE_H

#include <cluster/types.h>
#include <config/config.h>
#include <kube/kube.h>
#include <schedule/next.h>
#include <schedule/window.h>

#define ALERTS_EVERY_MS 10000

struct maintenance {
    struct windows windows; /* none: always open */
    struct schedule_rules rules;
    struct kube *prom;            /* NULL: not open */
    int64_t asked_ms;             /* by the monotonic clock; 0: never */
    char alert[CLUSTER_TEXT_MAX]; /* of the last answer: "" = nothing is firing */
};

/* Reads the config's windows and their zones. */
int maintenance_init(struct maintenance *m, const struct config *config, struct error *err) _must_check_;
void maintenance_clear(struct maintenance *m);

/* Why not: "outside the maintenance window until Sat 02:00 Europe/Berlin", "alert NodeDown is firing", "the
 * alerts cannot be asked: …"; "" = open. `ignore_windows`: for an operation that was asked for with `now`.
 * Prometheus is asked at most every ALERTS_EVERY_MS, and not at all while a window keeps closed. It may take
 * alert_gate.timeout seconds. */
void maintenance_closed(struct maintenance *m, const struct config *config, bool ignore_windows,
                        int64_t now_ms, char out[CLUSTER_TEXT_MAX]);

/* The two parts of it. */
void maintenance_window_part(const struct maintenance *m, int64_t now_ms, char out[CLUSTER_TEXT_MAX]);
void maintenance_alert_part(struct maintenance *m, const struct config *config, char out[CLUSTER_TEXT_MAX]);

#endif
