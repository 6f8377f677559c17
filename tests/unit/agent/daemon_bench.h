/* The real agent program against a real etcd, on a server whose API server is apiserver.py: it answers
 * /readyz and has the argument list of one. */
#ifndef TESTS_AGENT_DAEMON_BENCH_H
#define TESTS_AGENT_DAEMON_BENCH_H

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include <config/config.h>
#include <store/store.h>

#include "etcd_fixture.h"

#define DAEMON_AGENTS 2
#define DAEMON_TEXTS  4

struct daemon_bench {
    char dir[64];
    char file[128], pid[128], script[128], token[128], cert[128], key[128];
    char config_path[DAEMON_AGENTS][128], state[DAEMON_AGENTS][128], log[DAEMON_AGENTS][128];
    pid_t agents[DAEMON_AGENTS];
    struct etcd_fixture *etcd;
    struct config *config;
    struct store *store;
    struct cluster_snapshot *snapshot;
    int port, hold; /* hold: the socket that keeps the port */
    int64_t next_order;
    char hashes[DAEMON_TEXTS][CLUSTER_HASH_MAX]; /* of the generations' texts */
};

void daemon_open(struct daemon_bench *b);
void daemon_close(struct daemon_bench *b);

void daemon_start(struct daemon_bench *b, int agent);
int daemon_stop(struct daemon_bench *b, int agent, int signal_number); /* its exit status; -signal */

/* Runs a one-shot command of the agent with this config: its exit status, and all that it printed. */
int daemon_run(struct daemon_bench *b, const char *config, const char *command, char *out, size_t size);

void daemon_start_server(struct daemon_bench *b);
void daemon_stop_server(struct daemon_bench *b);
void daemon_script(struct daemon_bench *b, const char *body); /* as bench_script; "agent sync" is there too */
void daemon_write(const char *path, const char *text);

/* Seals a generation's file, and gives the order. */
void daemon_issue(struct daemon_bench *b, int64_t generation, enum stage stage);
int64_t daemon_order(struct daemon_bench *b, enum order_kind kind, int64_t generation);

/* What s1 publishes: NULL when nothing, or not authentic. Valid until the next call. */
const struct snapshot_server *daemon_published(struct daemon_bench *b);
/* Waits until `id` is answered with `state`. */
void daemon_await(struct daemon_bench *b, int64_t id, enum order_state state, int ms);
/* Waits until the report says generation and stage, authentic and equal to the plain keys. */
void daemon_await_report(struct daemon_bench *b, int ms);
/* Waits until the log of an agent has the text. */
void daemon_await_log(struct daemon_bench *b, int agent, const char *text, int ms);

#endif
