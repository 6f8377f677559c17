/* The state store's records for all of the API's callers: one thread looks, and whoever watches gets what
 * changed. So a hundred watchers cost one look. */
#ifndef COORDINATOR_API_FEED_H
#define COORDINATOR_API_FEED_H

#include <api/records.h>
#include <store/view.h>

#include "feed_checks.h"

struct feed;

/* Records as they were at one look; shared, never changed. */
struct feed_state {
    unsigned references; /* atomic */
    struct records records;
    struct feed_checks checks;
    int64_t revision; /* of the store */
    int64_t time_ms;  /* wall clock */
};
void feed_state_unref(struct feed_state *s); /* NULL is safe */
DEFINE_CLEANUP(struct feed_state *, feed_state_unref);

/* Looks begin at once, on a thread of its own. The store is borrowed. */
int feed_new(struct store *store, struct feed **ret, struct error *err) _must_check_;
/* Nobody waits any longer: ERR_CANCELED. Before the callers' threads are waited for. */
void feed_stop(struct feed *f);
void feed_free(struct feed *f);
DEFINE_CLEANUP(struct feed *, feed_free);

/* Made anew with each feed: what its revisions are worth something with. */
const char *feed_id(const struct feed *f);

/* What a look that began after this call has found: as fresh as a read of the store's own. Many callers share
 * a look. Caller unrefs. ERR_UNAVAILABLE, ERR_TIMEOUT with the store's reason. */
int feed_fresh(struct feed *f, int64_t deadline_ms, struct feed_state **ret, struct error *err) _must_check_;

/* What the last look that went well has found, without waiting. *ret_age_ms: so long ago it ended. *ret_code:
 * of the last look, 0 or an error with its text in *why. ERR_UNAVAILABLE: none went well so far. Caller
 * unrefs. */
int feed_peek(struct feed *f, struct feed_state **ret, int64_t *ret_age_ms, int *ret_code, struct error *why,
              struct error *err) _must_check_;

/* The steps from a revision on. */
struct feed_step {
    bool whole;       /* items are all records */
    int64_t revision; /* after this step */
    int64_t time_ms;
    bool stale;            /* nothing changed, and the store does not answer */
    struct record **items; /* references of its own */
    size_t count;
    struct record **deleted; /* only their keys mean anything */
    size_t deleted_count;
};
void feed_step_free(struct feed_step *s); /* frees the contents and zeroes */

/* The next step after `revision` (0: everything): waits at most timeout_ms, then 0 with nothing in it but
 * revision and time. */
int feed_next(struct feed *f, int64_t revision, int64_t timeout_ms, struct feed_step *ret,
              struct error *err) _must_check_;

/* Waits for the end of a look after the one numbered `*look` (0: any), or timeout_ms; sets it. */
void feed_wait(struct feed *f, uint64_t *look, int64_t timeout_ms);

#endif
