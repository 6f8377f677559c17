/* Counts what is written under the managed resources' prefixes of the datastore, on a thread of its own, so
 * that a rewrite's thousands a second do not pile up between two looks at the cluster. */
#ifndef COORDINATOR_WRITES_H
#define COORDINATOR_WRITES_H

#include <config/config.h>
#include <etcd/etcd.h>

#include "writes_count.h"

struct writes;

/* Goes on from a count that has all up to revision `to`: what was written since comes first, and where the
 * datastore has forgotten it (compaction), the revisions are counted in its place. The client is borrowed
 * until writes_free. */
int writes_start(struct etcd *datastore, const struct config *config, int64_t counted, int64_t guessed,
                 int64_t to, struct writes **ret, struct error *err) _must_check_;

/* As far as it is now. */
void writes_read(struct writes *w, struct writes_count *ret);

void writes_free(struct writes *w);

#endif
