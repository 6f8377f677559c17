/* `explain`, without its reading: what the operation is at, which rule decides it, and what follows. */
#ifndef REPORT_EXPLAIN_H
#define REPORT_EXPLAIN_H

#include <base/buf.h>
#include <cluster/snapshot.h>

/* An operation is under way: it runs, is paused, or is halted. */
bool explain_under_way(const struct cluster_snapshot *s);

/* Why a rotate-keys asked for now would be refused; "" when it would not be. */
void explain_block(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX]);

/* The proofs of the operation as a table, and a line for each that has trouble. Nothing where none is
 * recorded. */
int render_proofs(const struct cluster_snapshot *s, struct buf *out, struct error *err) _must_check_;

/* Each appends whole lines. */
int render_explain_text(const struct cluster_snapshot *s, struct buf *out, struct error *err) _must_check_;
int render_explain_json(const struct cluster_snapshot *s, struct buf *out, struct error *err) _must_check_;

#endif
