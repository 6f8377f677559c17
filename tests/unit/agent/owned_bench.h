/* A bench whose server makes its encryption config itself: the driver is the tests' own, the server a script.
 */
#ifndef TESTS_AGENT_OWNED_BENCH_H
#define TESTS_AGENT_OWNED_BENCH_H

#include "bench.h"

/* What the "server" does when it is asked: the next file in place, then its own record of it. */
#define MAKES   "cp next .next && mv .next encryption.json\n"
#define RECORDS "cp own-next .next && mv .next own\n"
/* Its API server starts well after that, as a real one does: so what it read is known. */
#define STARTS "sleep 0.3\nrestart"

extern const struct driver owned_driver;

/* Each test's: a bench with that driver, at stage start with the first text. */
int owned_setup(void **state);
int owned_teardown(void **state);

/* A name in the bench's folder. */
void owned_path(char out[PATH_MAX], const char *name);
void owned_put(const char *name, const char *text, mode_t mode);
void owned_hash(const char *text, char out[CLUSTER_HASH_MAX]);
/* "<stage>-<hash of text>", as the server's own record has it. */
void owned_put_record(const char *name, enum stage stage, const char *text);
/* The script that answers a call; `asked` gets a line each time. */
void owned_put_call(const char *body);
/* What the server is to have next, by its call or by its start. */
void owned_put_next(enum stage stage, const char *text);
size_t owned_lines(const char *name); /* of a file in the folder; 0: there is none */

/* Orders for generation 2: to be asked for `prepare`, or to follow. */
void owned_give_call(struct bench *b, int64_t id);
void owned_give_follow(struct bench *b, int64_t id);
void owned_assert_state(struct bench *b, enum order_state due);
bool owned_yes(struct bench *b);

#endif
