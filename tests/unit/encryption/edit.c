/* Each operation, from one text to the next. */
#include "fixture.h"

static struct secret *key_bytes(char c, size_t len)
{
    struct secret *s = secret_new(len);
    assert_non_null(s);
    memset(s->data, c, len);
    s->len = len;
    return s;
}

enum op { APPEND, PROMOTE, DROP, APPEND_IDENTITY, DISABLE, ENABLE };

static int run(const struct encryption_config *c, struct resource_set managed, enum op op, enum provider p,
               const char *name, struct encryption_config **next, struct error *err)
{
    _cleanup_(secret_freep) struct secret *key = key_bytes('d', 32);
    switch (op) {
    case APPEND:
        return encryption_append_key(c, managed, p, name, key, next, err);
    case PROMOTE:
        return encryption_promote_key(c, managed, p, name, next, err);
    case DROP:
        return encryption_drop_key(c, managed, p, name, next, err);
    case APPEND_IDENTITY:
        return encryption_append_identity(c, managed, next, err);
    case DISABLE:
        return encryption_disable(c, managed, next, err);
    default:
        return encryption_enable(c, managed, next, err);
    }
}

struct row {
    const char *before;
    enum op op;
    enum provider p;
    const char *name;
    const char *after; /* NULL: refused with `code` */
    int code;
};

static void check_rows(const struct row *rows, size_t count, struct resource_set managed)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(r->before), *next = NULL;
        struct error err = ERROR_INIT;
        int rc = run(c, managed, r->op, r->p, r->name, &next, &err);
        if (rc != r->code)
            fail_msg("row %zu: rc %d: %s", i, rc, err.text);
        if (r->after)
            assert_emits(next, r->after);
        else
            assert_null(next);
        assert_emits(c, r->before);
        assert_null(strstr(err.text, "YWFh"));
        assert_null(strstr(err.text, "ZGRk"));
    }
}

#define A KEY("a", KA)
#define B KEY("b", KB)
#define D KEY("d", KD)

static void append(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {K3S, APPEND, PROVIDER_AESCBC, "aescbckey-2021-12-10T22:54:38Z",
         ONE(CBC(KEY("aescbckey", KA) "," KEY("aescbckey-2021-12-10T22:54:38Z", KD)) "," IDENTITY), 0},
        {ONE(CBC(A) "," CBC(B) "," IDENTITY), APPEND, PROVIDER_AESCBC, "d",
         ONE(CBC(A "," D) "," CBC(B) "," IDENTITY), 0},
        /* another kind: last, but before the identity that closes the list */
        {ONE(CBC(A) "," IDENTITY), APPEND, PROVIDER_SECRETBOX, "d", ONE(CBC(A) "," BOX(D) "," IDENTITY), 0},
        {ONE(CBC(A)), APPEND, PROVIDER_AESGCM, "d", ONE(CBC(A) "," GCM(D)), 0},
        {ONE(IDENTITY "," CBC(A)), APPEND, PROVIDER_AESGCM, "d", ONE(IDENTITY "," CBC(A) "," GCM(D)), 0},
        /* an identity alone closes and opens the list: the new key must not write yet */
        {ONE(IDENTITY), APPEND, PROVIDER_AESCBC, "d", ONE(IDENTITY "," CBC(D)), 0},
        {ONE(CBC(A)), APPEND, PROVIDER_AESCBC, "a", NULL, ERR_CONFLICT},
        {ONE(CBC(A)), APPEND, PROVIDER_AESGCM, "a", NULL, ERR_CONFLICT},
        {ONE(CBC(A)), APPEND, PROVIDER_AESCBC, "a:1", NULL, ERR_CONFLICT},
        {ONE(CBC(KEY("a:1", KA))), APPEND, PROVIDER_AESCBC, "a", NULL, ERR_CONFLICT},
        {ONE(CBC(A)), APPEND, PROVIDER_AESCBC, "", NULL, ERR_INVALID},
        {ONE(CBC(A)), APPEND, PROVIDER_AESCBC, "x\ny", NULL, ERR_INVALID},
        {ONE(CBC(A)), APPEND, PROVIDER_IDENTITY, "d", NULL, ERR_INVALID},
        {ONE(CBC(A)), APPEND, PROVIDER_KMS, "d", NULL, ERR_INVALID},
        {HEAD ENTRY("\"events\"", CBC(A)) TAIL, APPEND, PROVIDER_AESCBC, "d", NULL, ERR_NOT_FOUND},
    };
    check_rows(rows, array_len(rows), secrets);
    static const struct row two[] = {
        {TWO(CBC(A), BOX(B) "," IDENTITY), APPEND, PROVIDER_AESCBC, "d",
         TWO(CBC(A "," D), BOX(B) "," CBC(D) "," IDENTITY), 0},
        {TWO(CBC(A), BOX(D)), APPEND, PROVIDER_AESCBC, "d", NULL, ERR_CONFLICT},
    };
    check_rows(two, array_len(two), both);
    /* a name that an entry of others has is free here */
    static const struct row other[] = {
        {TWO(CBC(A), CBC(D)), APPEND, PROVIDER_AESCBC, "d", TWO(CBC(A "," D), CBC(D)), 0}};
    check_rows(other, 1, secrets);
}

static void append_checks_the_key(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(ONE(CBC(A)));
    for (size_t len = 0; len <= 40; len++) {
        _cleanup_(secret_freep) struct secret *key = key_bytes('d', len);
        struct error err = ERROR_INIT;
        static const enum provider kinds[] = {PROVIDER_AESCBC, PROVIDER_AESGCM, PROVIDER_SECRETBOX};
        for (size_t k = 0; k < 3; k++) {
            _cleanup_(encryption_config_freep) struct encryption_config *next = NULL;
            bool good = len == 32 || (kinds[k] != PROVIDER_SECRETBOX && (len == 16 || len == 24));
            assert_int_equal(encryption_append_key(c, secrets, kinds[k], "new", key, &next, &err),
                             good ? 0 : ERR_INVALID);
        }
    }
    _cleanup_(secret_freep) struct secret *key = key_bytes('d', 32);
    char name[ENCRYPTION_KEY_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = 0;
    struct encryption_config *next = NULL;
    assert_int_equal(encryption_append_key(c, secrets, PROVIDER_AESCBC, name, key, &next, NULL), ERR_INVALID);
    name[sizeof(name) - 2] = 0;
    assert_int_equal(encryption_append_key(c, secrets, PROVIDER_AESCBC, name, key, &next, NULL), 0);
    encryption_config_free(next);
}

static void promote(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ONE(CBC(A "," B "," D) "," IDENTITY), PROMOTE, PROVIDER_AESCBC, "d",
         ONE(CBC(D "," A "," B) "," IDENTITY), 0},
        {ONE(CBC(A "," B) "," BOX(D) "," IDENTITY), PROMOTE, PROVIDER_SECRETBOX, "d",
         ONE(BOX(D) "," CBC(A "," B) "," IDENTITY), 0},
        {ONE(IDENTITY "," CBC(A "," B)), PROMOTE, PROVIDER_AESCBC, "b", ONE(CBC(B "," A) "," IDENTITY), 0},
        {ONE(CBC(A) "," IDENTITY), PROMOTE, PROVIDER_AESCBC, "a", ONE(CBC(A) "," IDENTITY), 0},
        {ONE(CBC(A) "," CBC(B)), PROMOTE, PROVIDER_AESCBC, "b", ONE(CBC(B) "," CBC(A)), 0},
        {ONE(CBC(A)), PROMOTE, PROVIDER_AESCBC, "b", NULL, ERR_NOT_FOUND},
        {ONE(CBC(A)), PROMOTE, PROVIDER_AESGCM, "a", NULL, ERR_NOT_FOUND},
        {ONE(CBC(A) "," IDENTITY), PROMOTE, PROVIDER_IDENTITY, "", NULL, ERR_INVALID},
        {ONE(CBC(A) "," KMS), PROMOTE, PROVIDER_KMS, "vault", NULL, ERR_INVALID},
    };
    check_rows(rows, array_len(rows), secrets);
    static const struct row two[] = {
        {TWO(CBC(A "," D), BOX(B) "," CBC(D)), PROMOTE, PROVIDER_AESCBC, "d",
         TWO(CBC(D "," A), CBC(D) "," BOX(B)), 0},
        {TWO(CBC(A "," D), CBC(A)), PROMOTE, PROVIDER_AESCBC, "d", NULL, ERR_NOT_FOUND},
    };
    check_rows(two, array_len(two), both);
}

static void drop(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ONE(CBC(D "," A "," B) "," IDENTITY), DROP, PROVIDER_AESCBC, "a", ONE(CBC(D "," B) "," IDENTITY), 0},
        {ONE(CBC(D "," A) "," IDENTITY), DROP, PROVIDER_AESCBC, "a", ONE(CBC(D) "," IDENTITY), 0},
        {ONE(BOX(D) "," CBC(A) "," IDENTITY), DROP, PROVIDER_AESCBC, "a", ONE(BOX(D) "," IDENTITY), 0},
        {ONE(IDENTITY "," CBC(A)), DROP, PROVIDER_AESCBC, "a", ONE(IDENTITY), 0},
        {ONE(CBC(A "," B)), DROP, PROVIDER_AESCBC, "a", NULL, ERR_STATE},
        {ONE(CBC(A)), DROP, PROVIDER_AESCBC, "a", NULL, ERR_STATE},
        {ONE(CBC(A)), DROP, PROVIDER_AESCBC, "b", NULL, ERR_NOT_FOUND},
        {ONE(CBC(A)), DROP, PROVIDER_AESGCM, "a", NULL, ERR_NOT_FOUND},
        {ONE(CBC(A) "," IDENTITY), DROP, PROVIDER_IDENTITY, "", NULL, ERR_INVALID},
    };
    check_rows(rows, array_len(rows), secrets);
    static const struct row two[] = {
        {TWO(CBC(D "," A), CBC(D)), DROP, PROVIDER_AESCBC, "a", TWO(CBC(D), CBC(D)), 0},
        {TWO(CBC(D "," A), CBC(A "," D)), DROP, PROVIDER_AESCBC, "a", NULL, ERR_STATE},
    };
    check_rows(two, array_len(two), both);
}

static void identity(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ONE(CBC(A)), APPEND_IDENTITY, 0, NULL, ONE(CBC(A) "," IDENTITY), 0},
        {ONE(CBC(A) "," IDENTITY), APPEND_IDENTITY, 0, NULL, ONE(CBC(A) "," IDENTITY), 0},
        {ONE(IDENTITY "," CBC(A)), APPEND_IDENTITY, 0, NULL, ONE(IDENTITY "," CBC(A)), 0},
        /* K3s's shape, there and back */
        {ONE(CBC(A) "," IDENTITY), DISABLE, 0, NULL, ONE(IDENTITY "," CBC(A)), 0},
        {ONE(IDENTITY "," CBC(A)), ENABLE, 0, NULL, ONE(CBC(A) "," IDENTITY), 0},
        {ONE(IDENTITY "," CBC(A)), DISABLE, 0, NULL, ONE(IDENTITY "," CBC(A)), 0},
        {ONE(CBC(A) "," IDENTITY), ENABLE, 0, NULL, ONE(CBC(A) "," IDENTITY), 0},
        {ONE(CBC(A)), ENABLE, 0, NULL, ONE(CBC(A)), 0},
        {ONE(CBC(A) "," IDENTITY "," BOX(B)), ENABLE, 0, NULL, ONE(CBC(A) "," BOX(B) "," IDENTITY), 0},
        {ONE(CBC(A)), DISABLE, 0, NULL, NULL, ERR_STATE},
        {ONE(IDENTITY), ENABLE, 0, NULL, NULL, ERR_NOT_FOUND},
        {HEAD ENTRY("\"events\"", IDENTITY) TAIL, DISABLE, 0, NULL, NULL, ERR_NOT_FOUND},
    };
    check_rows(rows, array_len(rows), secrets);
    static const struct row two[] = {
        {TWO(CBC(A), BOX(B) "," IDENTITY), APPEND_IDENTITY, 0, NULL,
         TWO(CBC(A) "," IDENTITY, BOX(B) "," IDENTITY), 0},
        {TWO(CBC(A) "," IDENTITY, BOX(B)), DISABLE, 0, NULL, NULL, ERR_STATE},
        {TWO(IDENTITY "," CBC(A), IDENTITY), ENABLE, 0, NULL, NULL, ERR_NOT_FOUND},
    };
    check_rows(two, array_len(two), both);
}

static void unmanaged_entries_stay(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {TWO(CBC(A "," D) "," IDENTITY, KMS "," CBC(A "," D)), PROMOTE, PROVIDER_AESCBC, "d",
         TWO(CBC(D "," A) "," IDENTITY, KMS "," CBC(A "," D)), 0},
        {TWO(CBC(D "," A), CBC(A "," D)), DROP, PROVIDER_AESCBC, "a", TWO(CBC(D), CBC(A "," D)), 0},
        {TWO(CBC(A) "," IDENTITY, CBC(A) "," IDENTITY), DISABLE, 0, NULL,
         TWO(IDENTITY "," CBC(A), CBC(A) "," IDENTITY), 0},
    };
    check_rows(rows, array_len(rows), secrets);
}

static void yaml_stays_yaml(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse("# comment\n" ONE(CBC(A))),
                                                                *next = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(run(c, secrets, APPEND, PROVIDER_AESCBC, "d", &next, &err), 0);
    assert_emits(
        next,
        "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n  - resources:\n"
        "      - secrets\n    providers:\n      - aescbc:\n          keys:\n            - name: a\n"
        "              secret: " KA "\n            - name: d\n              secret: " KD "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append),          cmocka_unit_test(append_checks_the_key),
        cmocka_unit_test(promote),         cmocka_unit_test(drop),
        cmocka_unit_test(identity),        cmocka_unit_test(unmanaged_entries_stay),
        cmocka_unit_test(yaml_stays_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
