/* A server of lib/rpc behind a unix socket, with handlers for tests. Everything that happens in it is
 * counted, and tests wait for the counts. */
#ifndef TEST_SERVING_H
#define TEST_SERVING_H

#include <pthread.h>

#include <etcd_rpc.pb-c.h>
#include <rpc/server.h>

#define WAIT_MS 10000 /* for something that must come; far more than it takes */

struct serving {
    struct rpc_server *server;
    char folder[64], address[96];
    int listener;
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int accepted, freed;   /* connections, and peers given back */
    int entered, left;     /* handlers */
    int sent, last_rc;     /* of the flood */
    int64_t deadline_ms;   /* of the last call of `wait` */
    int last_fd, fd_again; /* of connections: the last number, and how often one had been there before */
    bool fds[4096];
    bool keys_apart; /* each peer is counted by itself */
};

extern const struct rpc_method test_echo, test_fail, test_wait, test_peer, test_typed, test_big, test_numbers,
    test_flood, test_unknown;

struct rpc_server_options serving_options(void);
/* NULL: serving_options. */
void serving_start(struct serving *s, const struct rpc_server_options *options);
/* Frees the server and asserts that every peer came back. */
void serving_stop(struct serving *s);
/* Adds a connection; the test keeps the other end. */
int serving_pair(struct serving *s);
/* "unix:…/N", another name of the same socket: a connection of its own. Valid until the next call for it. */
void serving_name(struct serving *s, int n, char out[96]);
/* Waits until the counter is `n` at least. */
void serving_await(struct serving *s, const int *counter, int n);
int serving_count(struct serving *s, const int *counter);

struct rpc_channel *client_open(const char *address, size_t max_message);
/* A call with `limit` and `key`; its code, and its count in *ret. */
int client_call(struct rpc_channel *c, const struct rpc_method *m, int64_t limit, const char *key,
                int deadline_ms, int64_t *ret, struct error *err);
struct rpc_stream *client_stream(struct rpc_channel *c, const struct rpc_method *m, int64_t limit,
                                 const char *key);

#endif
