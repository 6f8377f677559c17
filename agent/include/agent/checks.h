/* What this server needs for a rotation, looked at beforehand: files, rights, restart, certificates, disks.
 * Here without any connection; checks_remote.h asks the API server and etcd. Nothing is changed: the one
 * thing that is written is a temp file beside the encryption config and in the state folder, to see whether
 * it can be, and it is removed at once. */
#ifndef AGENT_CHECKS_H
#define AGENT_CHECKS_H

#include <agent/driver.h>
#include <cluster/types.h>
#include <config/config.h>

#define CHECKS_DISK_MIN      (INT64_C(64) * 1024 * 1024)
#define CHECKS_CERTIFICATE_D 30 /* days before its end at which a certificate is warned about */

/* Adds a check; one past CLUSTER_CHECKS_MAX is left out. The text is one line, cut where it is too long. */
void checks_add(struct cluster_checks *c, const char *name, enum check_result result, const char *remedy,
                const char *format, ...) _printf_(5, 6);

/* All checks of this machine alone. `proc`: "/proc"; now_ms: wall clock, against certificates. The driver may
 * be NULL (it is not one of this agent's). */
void checks_local(const struct config *config, const struct driver *driver, const char *proc, int64_t now_ms,
                  struct cluster_checks *ret);

/* "disk-snapshots": room for as many snapshots of the datastore as are kept. db_bytes: its size; <= 0: not
 * known. */
void checks_snapshot_disk(const struct config *config, int64_t db_bytes, struct cluster_checks *ret);

#endif
