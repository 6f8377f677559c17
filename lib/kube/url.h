/* Paths and URLs of the API: everything that comes from a server is percent-encoded on its way in. */
#ifndef KUBE_URL_H
#define KUBE_URL_H

#include <kube/kube.h>

#define KUBE_URL_MAX      2048        /* bytes of a server's base URL */
#define KUBE_CONTINUE_MAX (16 * 1024) /* bytes of a continue token */

/* Copies a server's base URL without its trailing slashes. ERR_INVALID unless it is
 * https://host[:port][/path] with neither user, query nor fragment: a token goes to it. `server` names the
 * owner in the text. */
int kube_url_base(const char *server, const char *url, char out[KUBE_URL_MAX],
                  struct error *err) _must_check_;

/* True when the text may stand in one segment of a path: 1 to KUBE_NAME_MAX - 1 bytes of UTF-8 without
 * control characters, not "." or "..", no '/' and no '%' (the API server's own rule for names). */
bool kube_is_segment(const char *text);

/* Appends the text with all but unreserved characters percent-encoded. */
int kube_url_escape(struct buf *out, const char *text, struct error *err) _must_check_;

/* Appends the path of one object; ERR_INVALID for a name that is not a segment, for a missing namespace, or
 * for a namespace on a resource that has none. */
int kube_url_object(struct buf *out, const struct kube_resource *r, const struct kube_object *o,
                    struct error *err) _must_check_;

/* Appends the path and query of a page of all namespaces; `next` may be NULL. */
int kube_url_page(struct buf *out, const struct kube_resource *r, int limit, const char *next,
                  struct error *err) _must_check_;

#endif
