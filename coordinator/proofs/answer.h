/* What an API server's answer says of a proof. */
#ifndef COORDINATOR_PROOFS_ANSWER_H
#define COORDINATOR_PROOFS_ANSWER_H

#include <base/buf.h>

enum verdict {
    VERDICT_YES,      /* 2xx: done as asked */
    VERDICT_MISSING,  /* 404 */
    VERDICT_TAKEN,    /* 409: there is such an object already */
    VERDICT_DENIED,   /* 401, 403: will not come right by itself */
    VERDICT_EXPIRED,  /* 410: a list's continue token is too old */
    VERDICT_LATER,    /* the server, or its etcd, is busy or away: says nothing about keys */
    VERDICT_EVIDENCE, /* anything else: it was asked, and could not */
};

#define ANSWER_TEXT_MAX 220

/* The verdict on an HTTP status; `message` (the reply's own, or "") tells a 500 for a value that does not
 * open from one for an etcd that did not answer. Pure. */
enum verdict answer_verdict(long status, const char *message);

/* The message of a Status object, or the text's beginning, as one line: "500: Internal error occurred: …". */
void answer_text(long status, const struct buf *reply, char out[ANSWER_TEXT_MAX]);

#endif
