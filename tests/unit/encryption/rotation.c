/* Long random sequences of operations, against a plain model: nothing becomes unreadable but what is dropped.
 */
#include "fixture.h"

static uint32_t seed;

static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* What the model knows of a key, and a value that was written under it in each resource. */
struct known {
    enum provider provider;
    char name[64];
    bool readable;
    struct buf stored[2];
};

#define KNOWN_MAX 60

struct world {
    struct encryption_config *c;
    struct known keys[KNOWN_MAX];
    size_t count;
    struct buf plain[2]; /* stored while identity was first */
};

static const char *const etcd_keys[] = {"/registry/secrets/ns/a", "/registry/configmaps/ns/a"};

static void store(struct world *w, struct buf out[2], enum provider p, const char *name)
{
    struct error err = ERROR_INIT;
    for (int i = 0; i < 2; i++) {
        out[i] = (struct buf)BUF_INIT(1000);
        if (envelope_encrypt_with(w->c, both.names[i], p, name, etcd_keys[i], "object", 6, &out[i], &err) < 0)
            fail_msg("%s", err.text);
    }
}

static void assert_opens(const struct world *w, const struct buf stored[2], bool due)
{
    for (int i = 0; i < 2; i++) {
        struct secret *plain = NULL;
        struct error err = ERROR_INIT;
        int rc =
            envelope_decrypt(w->c, both.names[i], etcd_keys[i], stored[i].data, stored[i].len, &plain, &err);
        if (rc != (due ? 0 : ERR_NOT_FOUND))
            fail_msg("rc %d: %s", rc, err.text);
        if (due)
            assert_memory_equal(plain->data, "object", 6);
        secret_free(plain);
    }
}

/* The model and the config agree on every key that ever was, and on the values under it. */
static void check_world(const struct world *w)
{
    struct error err = ERROR_INIT;
    if (encryption_check_managed(w->c, both, &err) < 0)
        fail_msg("%s", err.text);
    size_t readable = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct known *k = &w->keys[i];
        readable += k->readable;
        assert_int_equal(encryption_can_read(w->c, both, k->provider, k->name), k->readable);
        assert_opens(w, k->stored, k->readable);
    }
    struct key_view views[ENCRYPTION_KEYS_MAX];
    assert_int_equal(encryption_keys(w->c, both, views, ENCRYPTION_KEYS_MAX), readable);
    for (size_t i = 0; i < readable; i++)
        assert_false(views[i].partial);
    if (encryption_can_read(w->c, both, PROVIDER_IDENTITY, NULL) && w->plain[0].data)
        assert_opens(w, w->plain, true);
}

static void take_over(struct world *w, struct encryption_config *next)
{
    encryption_config_free(w->c);
    w->c = next;
    /* through a file and back: the same config */
    _cleanup_(secret_freep) struct secret *text = must_emit(w->c);
    _cleanup_(encryption_config_freep) struct encryption_config *again = must_parse((char *)text->data);
    assert_same_id(w->c, again, true);
}

static void do_append(struct world *w)
{
    static const enum provider kinds[] = {PROVIDER_AESCBC, PROVIDER_AESGCM, PROVIDER_SECRETBOX};
    struct error err = ERROR_INIT;
    struct encryption_config *next = NULL;
    if (w->count == KNOWN_MAX)
        return;
    struct known *k = &w->keys[w->count];
    k->provider = kinds[next_random(3)];
    snprintf(k->name, sizeof(k->name), "key-2021-12-10T22:54:%02zuZ", w->count);
    _cleanup_(secret_freep) struct secret *value = secret_new(32);
    for (value->len = 0; value->len < 32; value->len++)
        value->data[value->len] = (uint8_t)next_random(256);
    bool enabled = encryption_enabled(w->c, both);
    if (encryption_append_key(w->c, both, k->provider, k->name, value, &next, &err) < 0)
        fail_msg("%s", err.text);
    take_over(w, next);
    k->readable = true;
    w->count++;
    store(w, k->stored, k->provider, k->name);
    assert_false(encryption_writes_with(w->c, both, k->provider, k->name)); /* readable is all it is */
    assert_int_equal(encryption_enabled(w->c, both), enabled);
    assert_int_equal(secret_equal(encryption_key_value(w->c, both, k->provider, k->name), value), 1);
}

static void do_promote(struct world *w)
{
    struct error err = ERROR_INIT;
    struct encryption_config *next = NULL;
    if (w->count == 0)
        return;
    struct known *k = &w->keys[next_random((uint32_t)w->count)];
    int rc = encryption_promote_key(w->c, both, k->provider, k->name, &next, &err);
    assert_int_equal(rc, k->readable ? 0 : ERR_NOT_FOUND);
    if (rc == 0) {
        take_over(w, next);
        assert_true(encryption_writes_with(w->c, both, k->provider, k->name));
    }
}

static void do_drop(struct world *w)
{
    struct error err = ERROR_INIT;
    struct encryption_config *next = NULL;
    if (w->count == 0)
        return;
    struct known *k = &w->keys[next_random((uint32_t)w->count)];
    bool writes = encryption_writes_with(w->c, both, k->provider, k->name);
    int rc = encryption_drop_key(w->c, both, k->provider, k->name, &next, &err);
    assert_int_equal(rc, !k->readable ? ERR_NOT_FOUND : writes ? ERR_STATE : 0);
    if (rc == 0) {
        take_over(w, next);
        k->readable = false;
    }
}

static void do_identity(struct world *w)
{
    struct error err = ERROR_INIT;
    struct encryption_config *next = NULL;
    assert_int_equal(encryption_append_identity(w->c, both, &next, &err), 0);
    take_over(w, next);
    if (!w->plain[0].data)
        store(w, w->plain, PROVIDER_IDENTITY, NULL);
}

static void do_switch(struct world *w)
{
    struct error err = ERROR_INIT;
    struct encryption_config *next = NULL;
    bool off = next_random(2);
    int rc = off ? encryption_disable(w->c, both, &next, &err) : encryption_enable(w->c, both, &next, &err);
    if (rc == 0) {
        take_over(w, next);
        assert_int_equal(encryption_enabled(w->c, both), !off);
    } else {
        assert_int_equal(rc, off ? ERR_STATE : ERR_NOT_FOUND);
    }
}

static void run_world(const char *start)
{
    static void (*const ops[])(struct world *) = {do_append, do_append,   do_promote, do_drop,
                                                  do_drop,   do_identity, do_switch};
    struct world w = {.c = must_parse(start)};
    for (int step = 0; step < 150; step++) {
        ops[next_random(array_len(ops))](&w);
        check_world(&w);
    }
    encryption_config_free(w.c);
    for (size_t i = 0; i < w.count; i++)
        for (int k = 0; k < 2; k++)
            buf_free(&w.keys[i].stored[k]);
    for (int k = 0; k < 2; k++)
        buf_free(&w.plain[k]);
}

static void nothing_is_lost_but_what_is_dropped(void **state)
{
    (void)state;
    static const char *starts[] = {
        TWO(IDENTITY, IDENTITY),
        HEAD ENTRY("\"events\"", KMS) "," ENTRY("\"secrets\",\"configmaps\"", IDENTITY) TAIL,
        "# YAML\n" TWO(IDENTITY, IDENTITY),
    };
    for (seed = 1; seed < 1000; seed += 321)
        for (size_t i = 0; i < array_len(starts); i++)
            run_world(starts[i]);
}

/* K3s's own steps: prepare, rotate, reencrypt, each with the file that it leaves. */
static void a_rotation_as_k3s_does_it(void **state)
{
    (void)state;
    static const char name[] = "aescbckey-2021-12-10T22:54:38Z";
    struct error err = ERROR_INIT;
    _cleanup_(secret_freep) struct secret *key = secret_copy("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 32);
    _cleanup_(encryption_config_freep) struct encryption_config *start = must_parse(K3S), *prepared = NULL,
                                                                *rotated = NULL, *done = NULL;
    assert_int_equal(encryption_append_key(start, secrets, PROVIDER_AESCBC, name, key, &prepared, &err), 0);
    assert_emits(prepared,
                 ONE(CBC(KEY("aescbckey", KA) "," KEY("aescbckey-2021-12-10T22:54:38Z", KB)) "," IDENTITY));
    assert_int_equal(encryption_promote_key(prepared, secrets, PROVIDER_AESCBC, name, &rotated, &err), 0);
    assert_emits(rotated,
                 ONE(CBC(KEY("aescbckey-2021-12-10T22:54:38Z", KB) "," KEY("aescbckey", KA)) "," IDENTITY));
    assert_int_equal(encryption_drop_key(rotated, secrets, PROVIDER_AESCBC, "aescbckey", &done, &err), 0);
    assert_emits(done, ONE(CBC(KEY("aescbckey-2021-12-10T22:54:38Z", KB)) "," IDENTITY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rotation_as_k3s_does_it),
        cmocka_unit_test(nothing_is_lost_but_what_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
