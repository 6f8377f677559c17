/* One request, from the command line to its answer. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "request.h"

/* Sends it and waits for the answer; everything is told on the way. Returns the exit code where that is the
 * end, -1 once it is accepted or resumes something (ret->answer tells). deadline_ms: monotonic, 0: none. */
int ask(struct session *s, enum operation_kind kind, const struct args *args, int64_t deadline_ms,
        struct request *ret);

/* The same for a request that is made already. */
int ask_this(struct session *s, const struct cluster_request *v, int64_t deadline_ms, struct request *ret);

/* --timeout as a deadline of the monotonic clock; 0: none. */
int64_t ask_deadline(const struct args *args);

#endif
