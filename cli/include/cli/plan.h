/* What an operation would do (rotation/forecast.h), as text and as JSON. Pure. */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include <base/buf.h>
#include <rotation/forecast.h>

/* Each appends whole lines. `code`: what the command exits with. */
int render_plan_text(const struct cluster_snapshot *s, const struct cluster_request *r,
                     const struct forecast *f, struct buf *out, struct error *err) _must_check_;
int render_plan_json(const struct cluster_snapshot *s, const struct cluster_request *r,
                     const struct forecast *f, int code, struct buf *out, struct error *err) _must_check_;

#endif
