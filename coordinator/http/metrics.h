/* /metrics, from the snapshot of the last look. A stand-in of metrics/metrics.h: what lib/metrics renders
 * takes the place of this one function's body. */
#ifndef COORDINATOR_HTTP_METRICS_H
#define COORDINATOR_HTTP_METRICS_H

#include <base/buf.h>
#include <cluster/snapshot.h>

/* Appends OpenMetrics text, with its "# EOF\n". s NULL: the state store was not read yet. */
int page_metrics(const struct cluster_snapshot *s, struct buf *out, struct error *err) _must_check_;

#endif
