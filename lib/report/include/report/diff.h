/* `diff`, without its reading: how the servers' encryption configs differ. */
#ifndef REPORT_DIFF_H
#define REPORT_DIFF_H

#include <base/buf.h>
#include <cluster/snapshot.h>

/* Two servers, or (both NULL) every server against what was issued; where no server has that, or nothing was
 * issued yet, against the majority, and without one against the first server that reports. */
struct diff_ask {
    const char *reference, *other;
};

/* ERR_NOT_FOUND: no such server. */
int diff_check(const struct cluster_snapshot *s, const struct diff_ask *ask, struct error *err) _must_check_;

/* What the command exits with: EXIT_DONE, EXIT_MISMATCH, or EXIT_SERVER where nothing differs but a server is
 * silent. `why`: one line; "" with EXIT_DONE. */
int diff_code(const struct cluster_snapshot *s, const struct diff_ask *ask, char why[CLUSTER_TEXT_MAX]);

/* Each appends whole lines. */
int render_diff_text(const struct cluster_snapshot *s, const struct diff_ask *ask, struct buf *out,
                     struct error *err) _must_check_;
int render_diff_json(const struct cluster_snapshot *s, const struct diff_ask *ask, struct buf *out,
                     struct error *err) _must_check_;

#endif
