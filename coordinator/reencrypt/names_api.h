/* The names of a resource's objects as the API lists them, where the datastore cannot be read. Lists are
 * PartialObjectMetadata, parsed for names alone and wiped. */
#ifndef COORDINATOR_REENCRYPT_NAMES_API_H
#define COORDINATOR_REENCRYPT_NAMES_API_H

#include <kube/touch.h>

#include "../job.h"

/* About how many objects there are (the server's own estimate); from whichever server answers. */
int names_api_count(struct job *j, const char *resource, int64_t *ret, struct error *err) _must_check_;

/* Read ahead on a thread of its own, page by page, each through the next usable server. A list whose place
 * has expired is begun again, so that a name may come twice. `resource` is copied. Caller closes. */
struct names_api;
int names_api_open(struct job *j, const struct kube_resource *resource, struct names_api **ret,
                   struct error *err) _must_check_;
/* As names_next. */
int names_api_next(struct names_api *n, struct kube_object *ret, struct error *err) _must_check_;
/* Waits for the request that is out. NULL is safe. */
void names_api_close(struct names_api *n);

#endif
