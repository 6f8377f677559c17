/* What the page shows, as one line of JSON. Pure: a snapshot and the audit trail's newest entries go in.
 * There is no key material in either. docs/page.md has its members. */
#ifndef COORDINATOR_HTTP_DOCUMENT_H
#define COORDINATOR_HTTP_DOCUMENT_H

#include <cluster/snapshot.h>
#include <store/audit.h>

#define DOCUMENT_AUDIT_MAX 20

struct document_input {
    const struct cluster_snapshot *snapshot;
    const char *cluster;                   /* its name */
    const char *server;                    /* whose coordinator says so */
    const char *stale_why;                 /* the state store does not answer: why, "" when it does */
    const struct store_audit_entry *audit; /* the newest first */
    size_t audit_count;
    const char *audit_why; /* why the trail could not be read, or "" */
};

/* Appends the line, with its break. */
int document_render(const struct document_input *in, struct buf *out, struct error *err) _must_check_;

#endif
