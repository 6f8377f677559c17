/* The names of a resource's objects, from the keys of the datastore; values are never asked for. */
#ifndef COORDINATOR_REENCRYPT_NAMES_H
#define COORDINATOR_REENCRYPT_NAMES_H

#include <etcd/etcd.h>
#include <kube/kube.h>

/* How many objects stand under the prefix now. */
int names_count(struct etcd *datastore, const char *prefix, int64_t *ret, struct error *err) _must_check_;

/* Gives `each` the names in pages, in the order of the keys, until the end or until it fails (its code is
 * passed on). Pages are read at the present revision; objects that come or go meanwhile may or may not
 * be among them. A key that is no object's name is ERR_INVALID. */
typedef int names_fn(void *arg, const struct kube_object *objects, size_t count, struct error *err);
int names_each(struct etcd *datastore, const char *prefix, bool namespaced, int64_t page, names_fn *each,
               void *arg, struct error *err) _must_check_;

/* The part of a key behind its prefix, as a name: "default/db" where namespaced, else "db". */
int names_parse(const char *rest, bool namespaced, struct kube_object *ret, struct error *err) _must_check_;

#endif
