/* A server on a bench: a temp folder, a config, an encryption config, and a process that passes for an API
 * server because its argument list says so (it is this test program itself). */
#ifndef TESTS_AGENT_BENCH_H
#define TESTS_AGENT_BENCH_H

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include <agent/agent.h>
#include <base/secret.h>

#define BENCH_TEXTS 6

struct bench {
    char dir[PATH_MAX / 2];
    char file[PATH_MAX]; /* the encryption config */
    char pid[PATH_MAX];  /* written by the restart script */
    char script[PATH_MAX];
    char state[PATH_MAX];
    struct config config;
    char *resources[2];
    struct agent_ops ops;
    struct agent agent;
    /* texts of generations 1 to 5; [0] is a file that nobody issued */
    char *texts[BENCH_TEXTS];
    char hashes[BENCH_TEXTS][CLUSTER_HASH_MAX];
    char vectors[BENCH_TEXTS][CLUSTER_VECTOR_MAX]; /* of the bundles; "" unless a test fills it in */
    /* what the outside world does */
    char not_ready_hash[CLUSTER_HASH_MAX]; /* with this file the API server never gets ready */
    bool ready;
    int fetch_rc, fetch_transient; /* error of the next fetches; how many are transient ones first */
    int adopt_transient;           /* how many of the next adoptions the state store is away */
    struct cluster_bundle adopted; /* the last one, as it was described */
    int fetches, adoptions, refreshes;
    bool offer; /* the order below stands in the state store */
    struct cluster_order order;
    char seen[512]; /* the order states that a report would have shown, each once: "taken restarting done" */
};

/* main() of every test that uses it: true when this process is to play the API server. */
bool bench_is_server(int argc, char **argv);
int bench_play_server(void);

void bench_open(struct bench *b);
void bench_close(struct bench *b);

/* The file by hand, behind the agent's back. */
void bench_write(struct bench *b, const char *text);
/* Its bytes; caller frees. */
char *bench_read(const char *path);

/* A child shows its arguments a moment after it was spawned. */
void bench_await_arguments(pid_t pid);

/* The server by hand. */
pid_t bench_start_server(struct bench *b);
void bench_stop_server(struct bench *b);

/* The restart command: a shell script's body. $0.. are not used; "restart" is a function that does it
 * properly. */
void bench_script(struct bench *b, const char *body);

struct cluster_order bench_order(const struct bench *b, int64_t id, enum order_kind kind, int64_t generation);

/* Runs the agent until the order has ended, or ms have passed; true when it has ended. */
bool bench_run(struct bench *b, int ms);
/* As bench_run, for as long as `going` says. */
void bench_run_while(struct bench *b, bool (*going)(struct bench *b), int ms);

/* The program is killed, and starts again. */
void bench_crash(struct bench *b);

struct cluster_report *bench_report(struct bench *b); /* valid until the next call */

#define assert_contains(text, part) bench_contains((text), (part), __FILE__, __LINE__)
void bench_contains(const char *text, const char *part, const char *file, int line);

#endif
