/* Watches what a rewrite does to the cluster, through every API server, and says how fast it may go.
 * Threads of its own: a canary object without content (of the resource that is rewritten, where canaries can
 * be made of it, else a ConfigMap) that it touches itself, a watch on it, a GET and a LIST through each
 * server; the datastore's size and alarms. */
#ifndef COORDINATOR_KINDNESS_KINDNESS_H
#define COORDINATOR_KINDNESS_KINDNESS_H

#include "../job.h"
#include "controller.h"

struct kindness;

/* Takes the idle baseline of every usable server first (a few seconds; broken off when the job is canceled),
 * then starts measuring. A server that cannot be measured (no permission, kubernetes login missing) does not
 * stop it: it is named in kindness_why, and the rate then never rises above the start. ERR_STATE when the
 * datastore has no room (controller_room). Caller frees. */
int kindness_start(struct job *j, int64_t values, int64_t bytes, struct kindness **ret,
                   struct error *err) _must_check_;
/* Stops the thread and takes the canary out. NULL is safe. */
void kindness_free(struct kindness *k);
DEFINE_CLEANUP(struct kindness *, kindness_free);

/* Objects a second that may be written now; 0: none at the moment. Negative: no limit (`unpaced`, for
 * benchmarks and offline). Any thread. k may be NULL: no limit but the job's own ceiling. */
double kindness_rate(struct kindness *k);
/* What holds it back at the moment; "" = nothing. Any thread. */
void kindness_why(struct kindness *k, char out[CLUSTER_TEXT_MAX]);

/* What the engine tells of itself: one write answered (or refused) after `ms`. Any thread. */
void kindness_wrote(struct kindness *k, double ms, bool refused);
/* The engine had to wait for its rate since the last call (so it could go faster). Any thread. */
void kindness_waited(struct kindness *k);

#endif
