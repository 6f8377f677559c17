/* The keys of the first server's encryption config, read from where they can be had. */
#ifndef REPORT_KEY_TABLE_H
#define REPORT_KEY_TABLE_H

#include <report/status.h>
#include <store/store.h>

/* From its sealed bundle, or from this machine's file (config->encryption_config). Does not fail: ret->why
 * tells. *ret_generation (may be NULL): of the bundle that it was read from; 0: from none. */
void key_table_read(const struct config *config, struct store *store, const struct cluster_snapshot *s,
                    int deadline_ms, struct key_table *ret, int64_t *ret_generation);

#endif
