/* Which servers are not as the others. */
#ifndef COORDINATOR_HTTP_ODD_H
#define COORDINATOR_HTTP_ODD_H

#include <cluster/snapshot.h>

/* The word of what is odd about server i of the snapshot, "" where nothing is; static. *why: one line. To be
 * replaced by the report's own verdict (report/odd.h). */
const char *odd_of(const struct cluster_snapshot *s, size_t i, char why[CLUSTER_TEXT_MAX]);

#endif
