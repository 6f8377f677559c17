/* Snapshots made by hand for the tests of the CLI. */
#ifndef TEST_CLI_FIXTURE_H
#define TEST_CLI_FIXTURE_H

#include <base/buf.h>
#include <cluster/snapshot.h>

#define NOW_MS   1700000100000
#define OLD_HASH "1111111111111111111111111111111111111111111111111111111111111111"
#define NEW_HASH "2222222222222222222222222222222222222222222222222222222222222222"

/* Of their canonical forms. */
#define OLD_ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NEW_ID "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
/* Of a file that nobody issued. */
#define FOREIGN_HASH "3333333333333333333333333333333333333333333333333333333333333333"
#define FOREIGN_ID   "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

/* `count` servers, named by a prefix and a number from 1 on: all report generation 1 with OLD_HASH at stage
 * start, loaded and ready, one second ago; one coordinator leads; no operation. Caller frees with free(). */
struct cluster_snapshot *fixture_cluster(int count, const char *name_format)
    __attribute__((format(printf, 2, 0)));

/* An operation that has run for 12 seconds, in the phase, towards generation 2 with NEW_HASH at `stage`. */
void fixture_operation(struct cluster_snapshot *s, enum operation_kind kind, enum phase phase,
                       enum stage stage);

/* The server has got and done what the phase brings: file, stage, loaded. */
void fixture_at_target(struct cluster_snapshot *s, int index);

/* Its order in this phase, and what its agent says about it. */
void fixture_order(struct cluster_snapshot *s, int index, enum order_kind kind, enum order_state state);

/* What stands in the server's file, as its agent reports it (encryption/layout.h). */
void fixture_layout(struct cluster_snapshot *s, int index, const char *layout);
/* Somebody wrote that server's file: FOREIGN_HASH, and this layout. */
void fixture_foreign(struct cluster_snapshot *s, int index, const char *layout);

/* A proof of the operation in its present step, at revision 9000, made 10 s ago; step and phase are the
 * operation's own where they are the same. Returned for further changes. */
struct cluster_proof *fixture_proof(struct cluster_snapshot *s, enum phase phase, enum proof_state state,
                                    const char *method);
/* A server's part of it. */
void fixture_server_proof(struct cluster_proof *p, const char *server, enum proof_state state,
                          const char *why);

/* An entry of the list of keys: generation 1, a day old, in this state for an hour. */
struct cluster_key_info *fixture_key(struct cluster_snapshot *s, const char *name, enum key_state state);

/* Fails unless the text is that of tests/golden/<name>. */
void fixture_compare(const char *name, const struct buf *text);

#endif
