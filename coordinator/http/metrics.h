/* /metrics, from the snapshot of the last look. */
#ifndef COORDINATOR_HTTP_METRICS_H
#define COORDINATOR_HTTP_METRICS_H

#include <base/buf.h>
#include <cluster/snapshot.h>
#include <config/config.h>

#include "../api/feed_checks.h"

/* Appends OpenMetrics text, with its "# EOF\n". s and checks NULL: the state store was not read yet. */
int page_metrics(const struct config *config, const struct cluster_snapshot *s,
                 const struct feed_checks *checks, struct buf *out, struct error *err) _must_check_;

#endif
