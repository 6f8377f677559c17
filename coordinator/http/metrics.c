#include "metrics.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <metrics/metrics.h>

int page_metrics(const struct config *config, const struct cluster_snapshot *s,
                 const struct feed_checks *checks, struct buf *out, struct error *err)
{
    _cleanup_free_ struct metrics_process *p = calloc(1, sizeof(*p));
    if (!p)
        return error_no_memory(err);
    metrics_process_get(p);
    p->cluster = config->cluster;
    p->server = config->server;
    p->now_ms = clock_wall_ms();
    p->preflight = checks ? checks->items : NULL;
    p->preflight_count = checks ? checks->count : 0;
    return metrics_render(s, p, out, err);
}
