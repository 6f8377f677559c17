/* The coordinator's API as a whole: two doors (unix socket, TLS), gRPC's server behind them, and the service.
 * It lives beside the leading and standing by, and never in their way: what cannot be opened is logged and
 * tried again. */
#ifndef COORDINATOR_API_API_H
#define COORDINATOR_API_API_H

#include <config/config.h>
#include <etcd/etcd.h>
#include <store/store.h>

#include "feed.h"

struct api;

/* Everything is borrowed; `datastore` may be NULL. Starts a thread that opens what the configuration says,
 * and keeps trying. `reload_fd`: a signalfd of SIGHUP, which the API reads: certificates are looked at then,
 * and what is not open is tried again. ERR_NO_MEMORY, ERR_IO: there is not even that thread. */
int api_new(const struct config *config, struct store *store, struct etcd *datastore, struct feed *feed,
            int reload_fd, struct api **ret, struct error *err) _must_check_;

/* Is there any way in, by the configuration? */
bool api_is_wanted(const struct config *config);

/* Sends every caller away. NULL is safe. */
void api_free(struct api *a);

#endif
