/* The program over a real etcd, with the test in the coordinator's place. */
#ifndef TEST_CLI_REQUESTS_BENCH_H
#define TEST_CLI_REQUESTS_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <store/store.h>

#include "etcd_fixture.h"

#define DEADLINE_MS 5000
#define WAIT_MS     20000
#define TOKEN       "a token of this very cluster"
#define HASH        "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_HASH  "2222222222222222222222222222222222222222222222222222222222222222"
#define OUTPUT_MAX  65536
#define WORDS_MAX   12

extern struct etcd_fixture *fixture;
extern struct store *store;
extern struct cluster_snapshot *seen;
extern char config_path_text[256];
extern pid_t running; /* the program, while it runs: it ends with the test, however that ends */

struct program {
    pid_t pid;
    int code;
    char out[256], err[256];
    struct buf out_text, err_text;
};

/* --- the program --- */
void cli_end(void);
void cli_start(struct program *p, const char *first, ...);
void cli_finish(struct program *p);
void cli_expect(struct program *p, int code, const char *out, const char *err);
void cli_wait_line(const char *file, const char *text);
void cli_wait_told(const struct program *p, const char *text);
void play_put(enum cluster_key key, const char *name, const struct buf *body);
struct cluster_request play_await(void);
void play_refuse(struct cluster_request r, enum cluster_cause cause, const char *why);
void play_answer(struct cluster_request r, enum answer a, const char *operation, const char *why);
struct cluster_rotation play_rotation_of(const char *id, enum operation_kind kind,
                                         enum operation_state state);
void play_rotation(const char *id, enum operation_kind kind, enum operation_state state);
void play_report(const char *hash, int64_t order, enum order_state state, const char *why);
void play_order(int64_t id, const char *operation);
int bench_set_up(void **state);
int bench_tear_down(void **state);

#define PUT(type, key, name, value)                                                                          \
    do {                                                                                                     \
        _cleanup_(buf_freep) struct buf put_body = BUF_INIT(1024 * 1024);                                    \
        struct error put_err = ERROR_INIT;                                                                   \
        if (cluster_##type##_encode(value, &put_body, &put_err) < 0)                                         \
            fail_msg("%s", put_err.text);                                                                    \
        play_put(key, name, &put_body);                                                                      \
    } while (0)

#endif
