/* Guarded writes in flight: batches of values, each a transaction that is refused unless every value in it is
 * still the one that was read. One thread fills and settles; answers come in from gRPC's. */
#ifndef COORDINATOR_REENCRYPT_WINDOW_H
#define COORDINATOR_REENCRYPT_WINDOW_H

#include <etcd/etcd.h>

#include "../fence.h"

#define BATCH_VALUES_MAX 100
#define BATCH_BYTES_MAX  (1000 * 1000) /* etcd takes 1.5 MiB in a request */

struct batch {
    size_t count, bytes;
    char *before;          /* the key before its first one, whatever became of it; "" = none */
    int64_t looked_before; /* objects that were looked at before it */
    /* once it is answered */
    int code;
    struct error err;
    double ms; /* from sending to the answer */

    /* the window's own */
    struct window *window;
    struct etcd_txn *txn;
    uint64_t number;
    enum { BATCH_FREE, BATCH_FILLING, BATCH_SENT, BATCH_ANSWERED } state;
    int64_t sent_ms;
};

struct window;
/* `size` batches at most in flight, each refused once `fence` (borrowed) is another job's. Caller frees,
 * which waits for the answers that are out. */
int window_new(struct etcd *datastore, const struct fence *fence, size_t size, int deadline_ms,
               struct window **ret, struct error *err) _must_check_;
void window_free(struct window *w);
DEFINE_CLEANUP(struct window *, window_free);

/* A batch to fill; NULL when all are in flight or wait to be settled. There is one more than may be in
 * flight. */
struct batch *window_take(struct window *w, const char *before, int64_t looked_before);
/* Adds a value: `kv` as it was read, and what is to stand in its place (its lease stays). */
int batch_add(struct batch *b, const struct etcd_kv *kv, const void *value, size_t len,
              struct error *err) _must_check_;
/* The key of its i-th value, borrowed until it is given back. */
const char *batch_key(const struct batch *b, size_t i);
/* As many are in flight as may be: an answer has to come before the next one is sent. */
bool window_full(struct window *w);
/* Sends it; its answer, also where it could not be sent, comes from window_answered. */
void window_send(struct window *w, struct batch *b);
/* An answered batch, to be given back with window_give_back. Waits up to timeout_ms for one while any is in
 * flight; NULL: none. */
struct batch *window_answered(struct window *w, int timeout_ms);
void window_give_back(struct window *w, struct batch *b);
/* Batches that are filled, in flight, or wait to be settled. */
size_t window_busy(struct window *w);
/* Every value up to this key is written, or was passed over, when `last` is the last one that was looked at,
 * of *looked objects; *looked becomes how many of them that is. Borrowed, until the window changes. */
const char *window_settled_to(struct window *w, const char *last, int64_t *looked);

#endif
