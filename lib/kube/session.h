/* What every request to one server shares: its address, its certificates, its token, and how curl's and
 * HTTP's failures become errors that name it. */
#ifndef KUBE_SESSION_H
#define KUBE_SESSION_H

#include <curl/curl.h>

#include <base/secret.h>
#include <kube/kube.h>

#include "sink.h"
#include "url.h"

#define KUBE_TOKEN_MAX (64 * 1024) /* bytes of a token file */

/* The Authorization header. Counted, because a request in flight may outlive the token's next version. */
struct bearer {
    unsigned refs;
    struct secret *header;
};
struct bearer *bearer_ref(struct bearer *b); /* NULL stays NULL */
void bearer_unref(struct bearer *b);         /* NULL is safe */

struct session {
    char *server;
    char url[KUBE_URL_MAX];
    char *ca_file, *cert_file, *key_file, *token_file; /* NULL: none */
    char *user;                                        /* basic auth instead of a bearer token; NULL: none */
    struct bearer *bearer;                             /* NULL: no token */
    bool plain;                                        /* http, without token or certificate */
};

/* Copies the options, checks them and reads the token. On failure nothing is left to clear. */
int session_init(struct session *s, const struct kube_options *options, struct error *err) _must_check_;
void session_clear(struct session *s);

/* Reads the token file again; *ret_changed when it holds another token now, which is then in use. */
int session_reload_token(struct session *s, bool *ret_changed, struct error *err) _must_check_;

/* A header list in place. curl borrows the list and its texts, so that a token is never copied into one. */
struct headers {
    struct curl_slist nodes[5];
    size_t count;
};
void headers_add(struct headers *h, const char *text); /* borrowed; NULL is ignored */
void headers_add_bearer(struct headers *h, const struct bearer *b);
struct curl_slist *headers_list(struct headers *h); /* NULL when empty */

/* Sets all that does not depend on the request on a fresh or reset handle. errbuf: CURL_ERROR_SIZE bytes that
 * outlive the handle's use. A peer that acknowledges nothing for stall_ms loses the connection. */
int session_apply(const struct session *s, CURL *easy, char *errbuf, long stall_ms,
                  struct error *err) _must_check_;

/* One request's curl failure as an error that names the server. */
int session_transport_error(const struct session *s, CURLcode code, const char *errbuf, struct error *err);

/* An HTTP status that is not the wanted one, as an error. `doing`: "listing secrets". */
int session_status_error(const struct session *s, long status, const struct sink *body, const char *doing,
                         struct error *err);

#endif
