/* The names of a resource's objects, from the keys of the datastore; values are never asked for. */
#ifndef COORDINATOR_REENCRYPT_NAMES_H
#define COORDINATOR_REENCRYPT_NAMES_H

#include <etcd/etcd.h>
#include <kube/touch.h>

/* How many objects stand under the prefix now. */
int names_count(struct etcd *datastore, const char *prefix, int64_t *ret, struct error *err) _must_check_;

/* The names, read ahead in pages of that many, in the order of the keys, each page at the present revision:
 * objects that come or go meanwhile may or may not be among them. Caller closes. */
struct names;
int names_open(struct etcd *datastore, const char *prefix, bool namespaced, int64_t page,
               const atomic_bool *cancel, struct names **ret, struct error *err) _must_check_;
/* One of KUBE_NEXT_OBJECT (with *ret filled in), LATER (a page is being read) or END; or an error:
 * ERR_INVALID for a key that is no object's name. */
int names_next(struct names *n, struct kube_object *ret, struct error *err) _must_check_;
void names_close(struct names *n);
DEFINE_CLEANUP(struct names *, names_close);

/* The part of a key behind its prefix, as a name: "default/db" where namespaced, else "db". */
int names_parse(const char *rest, bool namespaced, struct kube_object *ret, struct error *err) _must_check_;

#endif
