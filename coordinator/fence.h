/* Who may write values in the datastore: the coordinator's job that began last. A coordinator that was
 * stopped for a while does not know that another one leads; what it had read before is guarded value by
 * value, but its key may be on its way out by then. So a job that writes values, or counts them, first puts a
 * key of ours into the datastore, and every write is refused once another job has put it again. What a count
 * has not seen can then not be written any more.
 *
 * The key is <datastore.prefix>/secrets-encrypt/<cluster>/fence: beside the resources, where API servers look
 * at nothing. Its value is the leadership's number (the create revision of its key in the state store), so
 * that a leader of before takes it from nobody. */
#ifndef COORDINATOR_FENCE_H
#define COORDINATOR_FENCE_H

#include <config/config.h>
#include <etcd/etcd.h>

#define FENCE_KEY_MAX 1024

struct fence {
    char key[FENCE_KEY_MAX]; /* "" = none was taken: nothing is guarded */
    int64_t mod;
};

/* ERR_CANCELED when a later leadership has it already. */
int fence_take(struct etcd *datastore, const struct config *config, int64_t leadership, struct fence *ret,
               struct error *err) _must_check_;

/* The transaction is refused once another job has begun. */
void fence_guard(const struct fence *f, struct etcd_txn *t);

/* ERR_CANCELED when another job has begun; 0 also where none was taken. */
int fence_check(struct etcd *datastore, const struct fence *f, struct error *err) _must_check_;

#endif
