/* One request to one server, for the calls of this room. */
#ifndef KUBE_REQUEST_H
#define KUBE_REQUEST_H

#include <kube/kube.h>

#include "session.h"

#define ACCEPT_JSON  "Accept: application/json"
#define ACCEPT_NAMES "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

/* GETs a path. The reply goes into *body (which the caller frees), the status into *ret_status; only
 * transport troubles are errors. A 401 makes it read the token file again and, when that changed, ask again.
 */
int kube_get(struct kube *k, const char *path, const char *accept, int deadline_ms, long *ret_status,
             struct sink *body, struct error *err) _must_check_;

/* The same where only 200 will do: other statuses are errors too, with `doing` ("listing secrets") in the
 * text. */
int kube_get_ok(struct kube *k, const char *path, const char *accept, int deadline_ms, const char *doing,
                struct sink *body, struct error *err) _must_check_;

const struct session *kube_session(const struct kube *k);

#endif
