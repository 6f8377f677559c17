/* Kubernetes's REST API over libcurl (the only room that uses it). Nothing here ever asks for an object's
 * content unless the call says so: lists are PartialObjectMetadataList, patches answer a Table without
 * objects. (A list's metadata includes annotations, and kubectl's last-applied-configuration repeats the
 * object it was applied from: lists are parsed for names alone, and their bytes wiped.) */
#ifndef KUBE_KUBE_H
#define KUBE_KUBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/cleanup.h>
#include <base/error.h>

#define KUBE_REPLY_MAX (8 * 1024 * 1024) /* bytes of a reply that we are willing to hold */
#define KUBE_NAME_MAX  254

struct kube_options {
    const char *server;    /* this server's name in error texts ("s1") */
    const char *url;       /* "https://127.0.0.1:6443" */
    const char *ca_file;   /* PEM; NULL: the system's */
    const char *cert_file; /* client certificate, or NULL */
    const char *key_file;
    const char *token_file; /* bearer token, or NULL; read once at open, and again after a 401 */
    /* Not NULL: the token file is K3s's ("K10<hash>::server:<password>", or the password alone), which is
     * sent by HTTP basic auth with this user instead. */
    const char *user;
    bool plain; /* http is allowed as well: nothing that is secret goes there */
};

/* One API server. Not thread-safe: one thread at a time. */
struct kube;
int kube_open(const struct kube_options *options, struct kube **ret, struct error *err) _must_check_;
void kube_close(struct kube *k);
DEFINE_CLEANUP(struct kube *, kube_close);

/* GET /readyz. 0 when it answers 200; ERR_UNAVAILABLE with the failed checks' names otherwise. */
int kube_ready(struct kube *k, int deadline_ms, struct error *err) _must_check_;

/* One request, for what has no call of its own. `body` may be NULL. The reply's body is appended to `out`
 * (may be NULL; one that is larger than its room is ERR_TOO_LARGE), the HTTP status goes to *ret_status; only
 * transport troubles are errors. */
int kube_request(struct kube *k, const char *method, const char *path, const char *accept,
                 const char *content_type, const void *body, size_t body_len, int deadline_ms,
                 long *ret_status, struct buf *out, struct error *err) _must_check_;

/* Where a resource lives. Found by discovery for groups other than core. */
struct kube_resource {
    char name[KUBE_NAME_MAX];         /* as in the encryption config: "secrets", "widgets.example.org" */
    char api_path[2 * KUBE_NAME_MAX]; /* "/api/v1", "/apis/example.org/v1" */
    char plural[KUBE_NAME_MAX];       /* "secrets" */
    bool namespaced;
};
int kube_find_resource(struct kube *k, const char *name, int deadline_ms, struct kube_resource *ret,
                       struct error *err) _must_check_;

struct kube_object {
    char namespace[KUBE_NAME_MAX]; /* "" for cluster-scoped ones */
    char name[KUBE_NAME_MAX];
};
struct kube_page {
    struct kube_object *objects;
    size_t count;
    char *next;        /* continue token, NULL on the last page */
    int64_t remaining; /* the server's estimate of what follows; 0 when it gave none */
};
void kube_page_free(struct kube_page *p); /* frees the contents and zeroes */

/* One page of names of all namespaces. An expired token (410) is continued with the one that the reply
 * carries, or, where it carries none, ERR_COMPACTED: start again. */
int kube_list_names(struct kube *k, const struct kube_resource *r, int limit, const char *next,
                    int deadline_ms, struct kube_page *ret, struct error *err) _must_check_;

#endif
