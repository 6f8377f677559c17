/* The API servers of the spec, as a proof asks them; what was found of each goes into proof.servers. */
#ifndef COORDINATOR_PROOFS_SERVERS_H
#define COORDINATOR_PROOFS_SERVERS_H

#include <kube/kube.h>

#include "../job.h"
#include "answer.h"

struct servers {
    struct job *job;
    const struct job_options *o;
    struct kube *kube[CLUSTER_SERVERS_MAX]; /* as in the spec */
    size_t count;
};

/* Opens a connection to each, and sees that each is usable and ready: no proof is begun otherwise.
 * ERR_UNAVAILABLE names the one that is not. Caller closes, also after a failure. */
int servers_open(struct job *j, struct servers *ret, struct error *err) _must_check_;
void servers_close(struct servers *s);

const char *servers_name(const struct servers *s, size_t i);

/* One request, its verdict and its answer in one line. Errors are transport troubles, ERR_UNAVAILABLE or
 * ERR_TIMEOUT. `body` may be NULL. `out` gets the reply. */
int servers_ask(struct servers *s, size_t i, const char *method, const char *path, const struct buf *body,
                int deadline_ms, struct buf *out, enum verdict *ret, char answer[ANSWER_TEXT_MAX],
                struct error *err) _must_check_;

/* What a login that may not is: ERR_STATE as a rule. In the last look by lists it is no evidence (which would
 * bring a key back), but a proof that is not made: ERR_DENIED. */
int servers_denied(const struct servers *s);

/* An error for a verdict that is none of those the caller knows what to do with: ERR_STATE for EVIDENCE,
 * servers_denied for DENIED, else ERR_UNAVAILABLE. `doing`: "reading secrets in kube-system". */
int servers_refused(const struct servers *s, size_t i, enum verdict verdict, const char *doing,
                    const char *answer, struct error *err) _must_check_;

/* Writes server i's row: 0 is MADE, ERR_STATE FAILED, any other code UNMADE. */
void servers_found(struct servers *s, size_t i, int rc, const struct error *why);

/* Keeps in *rc and *err the error that weighs more: evidence before trouble, the first before later ones. */
void servers_worse(int *rc, struct error *err, int other, const struct error *why);

/* Lists every object of every managed resource through every server, which has to decrypt each for that. No
 * content is in what it answers. Every server is asked, and its row written; the error is the worst one.
 * *ret_objects: how many objects the last server listed. */
int servers_list(struct servers *s, int64_t *ret_objects, struct error *err) _must_check_;

#endif
