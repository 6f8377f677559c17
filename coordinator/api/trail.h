/* The API's part of the audit trail: entries are queued, and written by a thread of its own, so that nobody
 * who is refused makes another one wait for the state store. */
#ifndef COORDINATOR_API_TRAIL_H
#define COORDINATOR_API_TRAIL_H

#include <store/audit.h>

#include "who.h"

struct trail;

/* Both are borrowed. */
int trail_new(struct store *store, const char *server, struct trail **ret, struct error *err) _must_check_;
/* What is queued is written first, for two seconds at most. NULL is safe. */
void trail_free(struct trail *t);
DEFINE_CLEANUP(struct trail *, trail_free);

/* Who asked for what, and what came of it. Also logged. A queue that is full leaves entries out, and says how
 * many. */
void trail_add(struct trail *t, const struct who *who, const char *call, const char *what, const char *result,
               const char *why);
/* The same for the log alone. */
void trail_log(const struct who *who, const char *call, const char *what, const char *result,
               const char *why);

#endif
