/* What the API answers, parsed: pages of names, Status objects, discovery documents. Pure. */
#ifndef KUBE_REPLY_H
#define KUBE_REPLY_H

#include <kube/kube.h>

#define KUBE_LINE_MAX     512   /* bytes of a reason in one line */
#define KUBE_PAGE_MAX     50000 /* names in one page, whatever was asked for */
#define KUBE_VERSIONS_MAX 16    /* versions of one API group that are tried */

/* Parses a PartialObjectMetadataList. `what` names the source in error texts. ERR_INVALID for another kind,
 * more than KUBE_PAGE_MAX items, a name or namespace that no object can have, one without a namespace where
 * the resource is namespaced (or the reverse). */
int kube_parse_page(const char *what, const char *text, size_t len, bool namespaced, struct kube_page *ret,
                    struct error *err) _must_check_;

/* A Status object's parts; empty where it has none. */
struct kube_status {
    char reason[64];
    char message[KUBE_LINE_MAX];
    char fields[KUBE_LINE_MAX]; /* "data[tls.key] FieldValueRequired, …" from details.causes */
    bool named;                 /* details.name is there: it is about one object */
    char *next;                 /* metadata.continue, NULL: none */
};
/* False (and *ret all empty) when the text is no Status. Free with kube_status_clear. */
bool kube_parse_status(const char *text, size_t len, struct kube_status *ret);
void kube_status_clear(struct kube_status *s);

/* "403 Forbidden: secrets "a" is forbidden: …" in one line. Validation (422) is told by field and reason
 * alone: its message repeats the refused value. */
void kube_status_line(long http, const char *text, size_t len, char *out, size_t size);

/* "etcd, poststarthook/x": the failed checks of a /readyz?verbose reply; empty when it names none. */
void kube_failed_checks(const char *text, char *out, size_t size);

/* The group versions of an APIGroup, the preferred one first; *ret_count up to KUBE_VERSIONS_MAX. */
int kube_parse_group(const char *what, const char *text, size_t len, char ret[][KUBE_NAME_MAX],
                     size_t *ret_count, struct error *err) _must_check_;

/* Looks one resource up in an APIResourceList. ERR_NOT_FOUND when it is not there. */
int kube_parse_resources(const char *what, const char *text, size_t len, const char *plural,
                         bool *ret_namespaced, struct error *err) _must_check_;

#define KUBE_RETRY_AFTER_MAX_MS (10 * 60 * 1000)
/* Retry-After's seconds as curl gives them (0: none or nonsense), as a wait; `fallback_ms` where there is
 * none. */
int64_t kube_retry_after_ms(int64_t seconds, int64_t fallback_ms);

#endif
