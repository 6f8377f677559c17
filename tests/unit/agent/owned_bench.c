#include "owned_bench.h"

#include <agent/k3s.h>
#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>

static struct bench *on; /* the bench of the test that runs */

/* ---------- the driver ---------- */

void owned_path(char out[PATH_MAX], const char *name)
{
    assert_true(snprintf(out, PATH_MAX, "%s/%s", on->dir, name) < PATH_MAX);
}

static int restart(const struct config *c, struct driver_command *ret, struct error *err)
{
    return driver_exec.restart(c, ret, err);
}

static int call(const struct config *c, const char *what, struct driver_command *ret, struct error *err)
{
    static char program[PATH_MAX];
    if (!k3s_body(what, false))
        return error_set(err, ERR_UNSUPPORTED, "'%.16s' is no call", what);
    owned_path(program, "call");
    ret->argv[0] = program;
    ret->argv[1] = what;
    ret->timeout_s = c->exec_timeout_s;
    return 0;
}

static int own(const struct config *c, struct driver_own *ret, struct error *err)
{
    (void)c;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(4096);
    char path[PATH_MAX];
    owned_path(path, "own");
    int rc = file_read(path, 4096, &text, err);
    return rc < 0 ? rc : k3s_own_parse(buf_str(&text), ret, err);
}

const struct driver owned_driver = {.name = "owned", .restart = restart, .call = call, .own = own};

/* ---------- the bench ---------- */

void owned_put(const char *name, const char *text, mode_t mode)
{
    char path[PATH_MAX];
    owned_path(path, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), mode, NULL), 0);
}

void owned_hash(const char *text, char out[CLUSTER_HASH_MAX])
{
    assert_int_equal(crypto_sha256_hex(text, strlen(text), out, NULL), 0);
}

void owned_put_record(const char *name, enum stage stage, const char *text)
{
    char hash[CLUSTER_HASH_MAX], line[CLUSTER_HASH_MAX + 40];
    owned_hash(text, hash);
    snprintf(line, sizeof(line), "%s-%s", stage_name(stage), hash);
    owned_put(name, line, 0600);
}

/* The script that answers a call; `asked` gets a line each time. */
void owned_put_call(const char *body)
{
    char text[2048];
    int n = snprintf(text, sizeof(text), "#!/bin/sh\ncd '%s'\necho \"$1\" >>asked\n%s\n", on->dir, body);
    assert_true(n > 0 && n < (int)sizeof(text));
    owned_put("call", text, 0700);
}

/* What the server is to have next, by its call or by its start. */
void owned_put_next(enum stage stage, const char *text)
{
    owned_put("next", text, 0600);
    owned_put_record("own-next", stage, text);
}

void owned_give_call(struct bench *b, int64_t id)
{
    b->order = bench_order(b, id, ORDER_CALL, 2);
    b->order.hash[0] = 0;
    b->order.from = 1;
    b->order.stage = STAGE_PREPARE;
    (void)text_copy(b->order.call, sizeof(b->order.call), "prepare");
    b->seen[0] = 0;
}

void owned_give_follow(struct bench *b, int64_t id)
{
    b->order = bench_order(b, id, ORDER_FOLLOW, 2);
    b->seen[0] = 0;
}

size_t owned_lines(const char *name)
{
    char path[PATH_MAX];
    size_t n = 0;
    owned_path(path, name);
    if (access(path, F_OK) != 0)
        return 0;
    char *text = bench_read(path);
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    free(text);
    return n;
}

bool owned_yes(struct bench *b)
{
    (void)b;
    return true;
}

void owned_assert_state(struct bench *b, enum order_state due)
{
    const struct cluster_report *r = bench_report(b);
    if (r->order_state != due)
        fail_msg("%s: %s", order_state_name(r->order_state), r->order_why);
}

int owned_setup(void **state)
{
    struct bench *b = malloc(sizeof(*b));
    bench_open(b);
    on = b;
    b->agent.driver = &owned_driver;
    owned_put_record("own", STAGE_START, b->texts[1]);
    *state = b;
    return 0;
}

int owned_teardown(void **state)
{
    bench_close(*state);
    free(*state);
    return 0;
}
