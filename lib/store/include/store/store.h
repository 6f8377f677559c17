/* The state store as the programs use it: etcd + the token's signatures + the codecs, in one place, so that
 * no record is read without its MAC being checked and none is written without one. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <cluster/snapshot.h>
#include <config/config.h>
#include <crypto/seal.h>
#include <etcd/etcd.h>

struct store;

/* Reads the token file, derives its keys (about 0.3 s) and opens the etcd client of config->state_store
 * (does not wait for a connection). Texts name the file or endpoint. Caller frees. Thread-safe, except that
 * sealing and signing are serialised inside. */
int store_open(const struct config *config, struct store **ret, struct error *err) _must_check_;
/* The same with the token given instead of read from config->token_file (borrowed for the call). */
int store_open_with_token(const struct config *config, const struct secret *token, struct store **ret,
                          struct error *err) _must_check_;
void store_free(struct store *s);
DEFINE_CLEANUP(struct store *, store_free);

/* An etcd client from a config's section (the datastore's, say). Caller closes. */
int store_etcd_open(const struct config_etcd *c, struct etcd **ret, struct error *err) _must_check_;

struct etcd *store_etcd(struct store *s);
const char *store_cluster(const struct store *s);

/* The key for fingerprints of keys (crypto/seal.h). Caller frees. */
int store_fingerprint_key(struct store *s, struct secret **ret, struct error *err) _must_check_;

/* Everything, at one revision. The struct is large: caller allocates it on the heap. */
int store_snapshot(struct store *s, int deadline_ms, struct cluster_snapshot *ret,
                   struct error *err) _must_check_;

/* Reads one signed record and checks it: the body is appended to `body`. ERR_NOT_FOUND (also of a request
 * whose place was opened, and nothing more), ERR_DENIED. ret_create and ret_mod may be NULL. */
int store_read(struct store *s, enum cluster_key key, const char *name, int deadline_ms, struct buf *body,
               int64_t *ret_create, int64_t *ret_mod, struct error *err) _must_check_;

/* Signs `body` (a JSON object's text) and adds its put to a transaction. */
int store_txn_put(struct store *s, struct etcd_txn *txn, enum cluster_key key, const char *name,
                  const struct buf *body, int64_t lease, struct error *err) _must_check_;

/* Opens the place of a request: its key is created, with no value yet, and etcd gives it a create revision
 * that no other key ever gets. The request that is put there next names it (cluster_request.created), so that
 * a copy of it, which whoever writes the state store may put back when it was answered, is told from it. A
 * place that was opened before and not used is taken. ERR_CONFLICT: a request stands there. */
int store_request_open(struct store *s, const char *id, int64_t lease, int deadline_ms, int64_t *ret_created,
                       struct error *err) _must_check_;

/* Seals a config's text as a generation, and fills in *ret (hash, config id as given, time, box). Caller
 * frees *ret with cluster_bundle_free. */
int store_bundle_seal(struct store *s, int64_t generation, enum stage stage, const struct secret *text,
                      const char *config_id, struct cluster_bundle *ret, struct error *err) _must_check_;

/* Adds "create this bundle, which must not be there yet" to a transaction. */
int store_txn_bundle(struct store *s, struct etcd_txn *txn, const struct cluster_bundle *bundle,
                     struct error *err) _must_check_;

/* Fetches and opens a generation: its config's text (caller frees), checked against the bundle's own hash.
 * ret_bundle (may be NULL) is filled in without the box. */
int store_bundle_open(struct store *s, int64_t generation, int deadline_ms, struct cluster_bundle *ret_bundle,
                      struct secret **ret_text, struct error *err) _must_check_;

/* --- retired keys ---
 * A key's value is sealed as a bundle is, under its own etcd key (cluster/codec.h, CLUSTER_KEY_ESCROW). */

/* Seals `value` into *ret, whose provider, name, generation and times are filled in by the caller. Caller
 * frees *ret's box with cluster_escrow_free. */
int store_escrow_seal(struct store *s, const struct secret *value, struct cluster_escrow *ret,
                      struct error *err) _must_check_;
/* Adds its put (over an older one of that key) or its removal to a transaction. */
int store_txn_escrow(struct store *s, struct etcd_txn *txn, const struct cluster_escrow *escrow,
                     struct error *err) _must_check_;
int store_txn_escrow_delete(struct store *s, struct etcd_txn *txn, const char *provider, const char *name,
                            struct error *err) _must_check_;
/* Fetches and opens one. ERR_NOT_FOUND. Caller frees *ret_value. */
int store_escrow_open(struct store *s, const char *provider, const char *name, int deadline_ms,
                      struct secret **ret_value, struct error *err) _must_check_;

#endif
