/* Phases and proofs in people's words. Static texts. */
#ifndef REPORT_WORDS_H
#define REPORT_WORDS_H

#include <base/buf.h>
#include <cluster/snapshot.h>

/* What holds once the phase is over: "every server reads the new key". */
const char *phase_claim(enum operation_kind kind, enum phase phase);

/* What is under way in it, as "proving that every server reads the new key": the word of at most 13 letters
 * (NULL for phases that bring a config to servers, and for the rewriting), and the rest. */
const char *phase_verb(enum phase phase);
#define PHASE_TEXT_MAX 96
void phase_object(enum operation_kind kind, enum phase phase, char out[PHASE_TEXT_MAX]);

/* Both as one text: "proving that every server reads the new key", "counting the datastore's values by key".
 */
void phase_doing(enum operation_kind kind, enum phase phase, char out[PHASE_TEXT_MAX]);

/* The same two of what is under way, by how this cluster's values can be looked at. */
void operation_object(const struct cluster_snapshot *s, char out[PHASE_TEXT_MAX]);
void operation_doing(const struct cluster_snapshot *s, char out[PHASE_TEXT_MAX]);

/* How a proof that was made is made as a rule ("scan"), where it was made otherwise; else NULL. */
const char *proof_not_made_by(const struct cluster_proof *p);
/* Its state, or a server's part of it, in a word; such a proof is never called made. */
const char *proof_word(const struct cluster_proof *p, enum proof_state state);

/* True for the proofs that are made with each server on its own. */
bool phase_asks_servers(enum phase phase);

/* The proof of the present phase that belongs to its present entry, or NULL: one of an earlier entry says
 * nothing about this one. */
const struct cluster_proof *proof_of_phase(const struct cluster_snapshot *s);

/* A server's part of a proof, or NULL. */
const struct cluster_server_proof *proof_of_server(const struct cluster_proof *p, const char *server);

/* A line about a proof that could not be made, has evidence against it, or was made otherwise than is
 * the rule: appended with its break. Nothing for others. */
int proof_trouble(const struct cluster_proof *p, struct buf *out, struct error *err) _must_check_;

/* Bytes as "123 MiB" (at least 1), out needs 32. */
#define SIZE_TEXT_MAX 32
void format_size(int64_t bytes, char out[SIZE_TEXT_MAX]);

#endif
