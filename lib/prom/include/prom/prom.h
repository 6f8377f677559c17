/* What of Prometheus's HTTP API is of use here: does a query have a result? */
#ifndef PROM_PROM_H
#define PROM_PROM_H

#include <kube/kube.h>

#define PROM_REPLY_MAX (1024 * 1024)
#define PROM_TEXT_MAX  256

/* Asks for an instant vector. 0 with *ret_count series, and the first three by name in `names` ("EtcdNoLeader
 * (etcd-2), NodeDown and 4 more"). An error for everything that is not Prometheus saying so: its text says
 * what came. */
int prom_query(struct kube *k, const char *query, int deadline_ms, size_t *ret_count,
               char names[PROM_TEXT_MAX], struct error *err) _must_check_;

/* The same from a reply's bytes: the part without I/O. */
int prom_read(const char *json, size_t len, size_t *ret_count, char names[PROM_TEXT_MAX],
              struct error *err) _must_check_;

#endif
