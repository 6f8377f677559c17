/* The cluster through its coordinators' API, from a machine that reaches nothing else of it. What comes over
 * it are the state store's records, so that everything behind sees the same snapshot as on a server. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <api/call.h>
#include <cli/args.h>
#include <report/status.h>

struct remote;

/* Where the API is: `addresses` separated by commas, "host:port" or "unix:/path". */
struct remote_options {
    const char *addresses;
    const char *ca_file, *cert_file, *key_file; /* NULL: none */
    const char *idempotency_key;                /* NULL: one of our own making */
};

/* From the flags, else the environment; false: neither names a coordinator. */
bool remote_wanted(const struct args *args, struct remote_options *ret);

/* Opens connections, which is not waited for. ERR_INVALID: an address, or a file that is missing; the
 * reading's own code. Caller frees. */
int remote_open(const struct remote_options *o, struct remote **ret, struct error *err) _must_check_;
void remote_free(struct remote *r);
DEFINE_CLEANUP(struct remote *, remote_free);

/* The names that it was opened with, for texts. */
const char *remote_name(const struct remote *r);
const char *remote_cluster(const struct remote *r); /* "" before the first remote_status */

/* Asks for everything. Any coordinator that answers will do. */
int remote_status(struct remote *r, int deadline_ms, struct cluster_snapshot *ret,
                  struct error *err) _must_check_;
/* The keys that the last remote_status told of. */
const struct key_table *remote_keys(const struct remote *r);

/* What changes from the last remote_status or remote_follow on. Waits until something has come, or
 * timeout_ms: 0, and *ret is what is known then. ERR_UNAVAILABLE: nobody has answered for a while; the next
 * call tries again, of another coordinator where there is one. */
int remote_follow(struct remote *r, int timeout_ms, struct cluster_snapshot *ret,
                  struct error *err) _must_check_;

/* A write, under the id of the request as its idempotency key: after ERR_UNAVAILABLE and ERR_TIMEOUT it can
 * be made again, and is the same one. The answer into *answer: ANSWER_NONE where there is none yet. */
int remote_write(struct remote *r, const struct cluster_request *v, int deadline_ms,
                 struct cluster_request *answer, struct error *err) _must_check_;
/* Takes it back, unless it was answered: *answer is filled in then. */
int remote_withdraw(struct remote *r, const struct cluster_request *v, int deadline_ms,
                    struct cluster_request *answer, struct error *err) _must_check_;

/* What the datastore's revision is; 0: not known. */
int remote_datastore_revision(struct remote *r, int deadline_ms, int64_t *ret,
                              struct error *err) _must_check_;

/* The newest entries of the audit trail, each as JSON; authentic: as the coordinator found. */
typedef int remote_entry_fn(void *arg, const char *name, bool authentic, const char *json, size_t len,
                            struct error *err);
int remote_audit(struct remote *r, unsigned limit, const char *before, int deadline_ms, remote_entry_fn *each,
                 void *arg, struct error *err) _must_check_;

#endif
