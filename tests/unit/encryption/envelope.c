/* Values at rest. */
#include "fixture.h"

#define ETCD_KEY "/registry/secrets/default/plan"
#define PLAIN    "attack at dawn, all 3 servers"
#define V32      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define V24      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
#define V16      "AAECAwQFBgcICQoLDA0ODw=="
#define NACL     "GydVZHPphdRizVEZeppGx2AJVJ6sZHTyBsTuCET2g4k="

static struct error err = ERROR_INIT;

/* "k8s:enc:…:" and the body's hex. */
static struct secret *value(const char *prefix, const char *hex)
{
    size_t n = strlen(hex) / 2;
    struct secret *s = secret_new(strlen(prefix) + n);
    assert_int_equal(secret_add(s, prefix, strlen(prefix), NULL), 0);
    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        s->data[s->len++] = (uint8_t)byte;
    }
    return s;
}

/* Made apart from this program: aescbc by `openssl enc`, aesgcm by Go's crypto/cipher as API servers use it
 * (with the etcd key), secretbox from NaCl's tests. */
static const struct {
    const char *config, *prefix, *body, *plain;
} vectors[] = {
    {ONE(CBC(KEY("aescbckey-2021-12-10T22:54:38Z", V32))),
     "k8s:enc:aescbc:v1:aescbckey-2021-12-10T22:54:38Z:",
     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffcd34aedecc8bc32dba5845887ce84ba25b1aa0c340657e57aa1face26d87740f",
     PLAIN},
    {ONE(IDENTITY "," CBC(KEY("other", KA) "," KEY("k", V24))), "k8s:enc:aescbc:v1:k:",
     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe940dfecef13d9f04dbd4dc263531e1ba559ed56be4c3dc6df2b16f3bbba2576",
     PLAIN},
    {ONE(CBC(KEY("k", V16))), "k8s:enc:aescbc:v1:k:",
     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffd1a72ed15559d0a5165ee606ed4ec1655b6f6cc0050ce17a8c2e4510047d5487",
     PLAIN},
    {ONE(GCM(KEY("k", V16))), "k8s:enc:aesgcm:v1:k:",
     "cafebabefacedbaddecaf888e80db3d7e69ca160de30ade92a948cc7e767540468cbc3c0439f730905941452d4234e778a6ebd0"
     "2a1356be628",
     PLAIN},
    {ONE(GCM(KEY("k", V24))), "k8s:enc:aesgcm:v1:k:",
     "cafebabefacedbaddecaf888ad52ce583d569813f6444bd0b76d13478b060f116f4825bef9109ace324928840fb87aa48870d1b"
     "1b4585a0771",
     PLAIN},
    {ONE(CBC(KEY("k", V32)) "," GCM(KEY("k", V32))), "k8s:enc:aesgcm:v1:k:",
     "cafebabefacedbaddecaf888ebd7d447c9116f7a322b39bc0c73a51f6c4cac71ec3919113ca96103cd57365398fb6b2a5927e35"
     "c4d8e99dff6",
     PLAIN},
    {ONE(BOX(KEY("secretboxkey", NACL))), "k8s:enc:secretbox:v1:secretboxkey:",
     "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"
     "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17"
     "c98dce87b4da7"
     "f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc"
     "0e9da99832b6"
     "1ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
     NULL},
};

static void opens_what_others_sealed(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(vectors); i++) {
        _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(vectors[i].config);
        _cleanup_(secret_freep) struct secret *v = value(vectors[i].prefix, vectors[i].body), *plain = NULL;
        if (envelope_decrypt(c, "secrets", ETCD_KEY, v->data, v->len, &plain, &err) < 0)
            fail_msg("vector %zu: %s", i, err.text);
        if (vectors[i].plain)
            assert_string_equal((char *)plain->data, vectors[i].plain);
        else
            assert_memory_equal(plain->data, "\xbe\x07\x5f\xc5\x3c\x81\xf2\xd5", 8);
    }
}

static void assert_reads(const char *stored, const struct key_view *names, size_t count, enum provider p,
                         const char *name, const char *body)
{
    struct envelope e;
    if (envelope_read(stored, strlen(stored), names, count, &e, &err) < 0)
        fail_msg("%s: %s", stored, err.text);
    assert_int_equal(e.provider, p);
    assert_int_equal(e.key_name_len, name ? strlen(name) : 0);
    if (name)
        assert_memory_equal(e.key_name, name, e.key_name_len);
    else
        assert_null(e.key_name);
    assert_int_equal(e.body_len, strlen(body));
    assert_memory_equal(e.body, body, e.body_len);
}

static void reads_prefixes(void **state)
{
    (void)state;
    static const struct key_view names[] = {
        {"k", PROVIDER_AESCBC, true, false},
        {"k:1", PROVIDER_AESCBC, false, false},
        {"k:1:2", PROVIDER_SECRETBOX, false, false},
        {"aescbckey-2021-12-10T22:54:38Z", PROVIDER_AESCBC, false, false},
        {"aescbckey", PROVIDER_AESCBC, false, false},
    };
    size_t n = array_len(names);
    assert_reads("k8s:enc:aescbc:v1:k:body", names, n, PROVIDER_AESCBC, "k", "body");
    assert_reads("k8s:enc:aescbc:v1:k:1:body", names, n, PROVIDER_AESCBC, "k:1", "body");
    assert_reads("k8s:enc:aescbc:v1:k:1:2:body", names, n, PROVIDER_AESCBC, "k:1",
                 "2:body"); /* of that provider only */
    assert_reads("k8s:enc:secretbox:v1:k:1:2:body", names, n, PROVIDER_SECRETBOX, "k:1:2", "body");
    assert_reads("k8s:enc:aescbc:v1:k:2:body", names, n, PROVIDER_AESCBC, "k", "2:body");
    assert_reads("k8s:enc:aescbc:v1:k2:body", names, n, PROVIDER_AESCBC, "k2", "body");
    assert_reads("k8s:enc:aescbc:v1:aescbckey-2021-12-10T22:54:38Z:b", names, n, PROVIDER_AESCBC,
                 "aescbckey-2021-12-10T22:54:38Z", "b");
    assert_reads("k8s:enc:aescbc:v1:aescbckey-2021-12-10T22:54:39Z:b", names, n, PROVIDER_AESCBC,
                 "aescbckey-2021-12-10T22", "54:39Z:b");
    assert_reads("k8s:enc:aescbc:v1:aescbckey:b", names, n, PROVIDER_AESCBC, "aescbckey", "b");
    assert_reads("k8s:enc:aescbc:v1:k:1:body", NULL, 0, PROVIDER_AESCBC, "k", "1:body");
    assert_reads("k8s:enc:aesgcm:v1:k:", NULL, 0, PROVIDER_AESGCM, "k", "");
    assert_reads("k8s:enc:kms:v1:vault:body", NULL, 0, PROVIDER_KMS, "vault", "body");
    assert_reads("k8s:enc:kms:v2:vault:body", NULL, 0, PROVIDER_KMS, "vault", "body");
    assert_reads("k8s\001plain", names, n, PROVIDER_IDENTITY, NULL, "k8s\001plain");
    assert_reads("{\"kind\":\"Secret\"}", names, n, PROVIDER_IDENTITY, NULL, "{\"kind\":\"Secret\"}");
    assert_reads("k8s:en", names, n, PROVIDER_IDENTITY, NULL, "k8s:en");
    assert_reads("", names, n, PROVIDER_IDENTITY, NULL, "");
}

static void refuses_bad_prefixes(void **state)
{
    (void)state;
    char long_name[400] = "k8s:enc:aescbc:v1:";
    memset(long_name + 18, 'n', ENCRYPTION_KEY_NAME_MAX + 1);
    memcpy(long_name + 18 + ENCRYPTION_KEY_NAME_MAX + 1, ":", 2);
    const char *texts[] = {"k8s:enc:",
                           "k8s:enc:aescbc",
                           "k8s:enc:aescbc:",
                           "k8s:enc:aescbc:v2:k:b",
                           "k8s:enc:aesxyz:v1:k:b",
                           "k8s:enc:identity:v1:k:b",
                           "k8s:enc:kms:v3:k:b",
                           "k8s:enc:aescbc:v1:",
                           "k8s:enc:aescbc:v1:nocolon",
                           long_name};
    for (size_t i = 0; i < array_len(texts); i++) {
        struct envelope e = {PROVIDER_KMS, NULL, 7, NULL, 7};
        struct error why = ERROR_INIT;
        assert_int_equal(envelope_read(texts[i], strlen(texts[i]), NULL, 0, &e, &why), ERR_INVALID);
        assert_int_equal(e.body_len, 7); /* untouched */
        assert_non_null(strstr(why.text, "the value is encrypted"));
    }
}

static int decrypt(const char *config, const char *resource, const char *etcd_key, const struct buf *stored)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(config);
    struct secret *plain = NULL;
    struct error why = ERROR_INIT;
    int rc = envelope_decrypt(c, resource, etcd_key, stored->data, stored->len, &plain, &why);
    if (rc < 0) {
        assert_null(plain);
        assert_null(strstr(why.text, PLAIN));
        if (rc != ERR_NOT_FOUND || !strstr(why.text, "no entry"))
            assert_non_null(strstr(why.text, etcd_key));
    } else {
        assert_string_equal((char *)plain->data, PLAIN);
    }
    secret_free(plain);
    return rc;
}

static struct buf encrypt(const char *config, const char *resource)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(config);
    struct buf out = BUF_INIT(10000);
    if (envelope_encrypt(c, resource, ETCD_KEY, PLAIN, strlen(PLAIN), &out, &err) < 0)
        fail_msg("%s", err.text);
    return out;
}

static void writes_with_the_first_key_of_the_first_provider(void **state)
{
    (void)state;
    static const struct {
        const char *config, *prefix;
    } cases[] = {
        {ONE(CBC(KEY("b:2", KB) "," KEY("a", KA)) "," GCM(KEY("c", KC))), "k8s:enc:aescbc:v1:b:2:"},
        {ONE(GCM(KEY("c", KC)) "," CBC(KEY("a", KA))), "k8s:enc:aesgcm:v1:c:"},
        {ONE(BOX(KEY("d", KD)) "," IDENTITY), "k8s:enc:secretbox:v1:d:"},
        {ONE(IDENTITY "," CBC(KEY("a", KA))), PLAIN},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(buf_freep) struct buf v = encrypt(cases[i].config, "secrets");
        assert_int_equal(strncmp(v.data, cases[i].prefix, strlen(cases[i].prefix)), 0);
        assert_int_equal(decrypt(cases[i].config, "secrets", ETCD_KEY, &v), 0);
    }
}

static void a_missing_key_is_not_found(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf v = encrypt(ONE(CBC(KEY("k", KA))), "secrets"),
                                    odd = encrypt(ONE(CBC(KEY("aescbckey-2021-12-10T22:54:38Z", KA))),
                                                  "secrets"),
                                    plain = encrypt(ONE(IDENTITY), "secrets");
    assert_int_equal(decrypt(ONE(CBC(KEY("k", KA))), "secrets", ETCD_KEY, &v), 0);
    assert_int_equal(decrypt(ONE(CBC(KEY("j", KA))), "secrets", ETCD_KEY, &v), ERR_NOT_FOUND);
    assert_int_equal(decrypt(ONE(GCM(KEY("k", KA))), "secrets", ETCD_KEY, &v), ERR_NOT_FOUND);
    assert_int_equal(decrypt(ONE(IDENTITY), "secrets", ETCD_KEY, &v), ERR_NOT_FOUND);
    assert_int_equal(decrypt(ONE(CBC(KEY("aescbckey", KA))), "secrets", ETCD_KEY, &odd), ERR_NOT_FOUND);
    assert_int_equal(decrypt(ONE(CBC(KEY("k", KA))), "events", ETCD_KEY, &v), ERR_NOT_FOUND);
    /* a plain value needs an identity provider, as at an API server */
    assert_int_equal(decrypt(ONE(CBC(KEY("k", KA)) "," IDENTITY), "secrets", ETCD_KEY, &plain), 0);
    assert_int_equal(decrypt(ONE(CBC(KEY("k", KA))), "secrets", ETCD_KEY, &plain), ERR_NOT_FOUND);
}

static void what_does_not_open_is_denied(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf box = encrypt(ONE(BOX(KEY("k", KA))), "secrets"),
                                    gcm = encrypt(ONE(GCM(KEY("k", KA))), "secrets"),
                                    cbc = encrypt(ONE(CBC(KEY("k", KA))), "secrets");
    assert_int_equal(decrypt(ONE(BOX(KEY("k", KB))), "secrets", ETCD_KEY, &box), ERR_DENIED);
    assert_int_equal(decrypt(ONE(GCM(KEY("k", KB))), "secrets", ETCD_KEY, &gcm), ERR_DENIED);
    assert_int_equal(decrypt(ONE(GCM(KEY("k", KA))), "secrets", "/registry/secrets/default/copy", &gcm),
                     ERR_DENIED);
    assert_int_equal(decrypt(ONE(GCM(KEY("k", KA))), "secrets", ETCD_KEY, &gcm), 0);
    cbc.len -= 1;
    assert_int_equal(decrypt(ONE(CBC(KEY("k", KA))), "secrets", ETCD_KEY, &cbc), ERR_DENIED);
    box.len = strlen("k8s:enc:secretbox:v1:k:");
    assert_int_equal(decrypt(ONE(BOX(KEY("k", KA))), "secrets", ETCD_KEY, &box), ERR_DENIED);
}

static void kms_is_unsupported(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf v = BUF_INIT(1000), out = BUF_INIT(1000);
    assert_int_equal(buf_adds(&v, "k8s:enc:kms:v1:vault:body", &err), 0);
    assert_int_equal(decrypt(ONE(KMS), "secrets", ETCD_KEY, &v), ERR_UNSUPPORTED);
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(ONE(KMS));
    assert_int_equal(envelope_encrypt(c, "secrets", ETCD_KEY, "x", 1, &out, &err), ERR_UNSUPPORTED);
    assert_int_equal(out.len, 0);
}

static void unknown_versions_are_invalid(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf v = BUF_INIT(1000);
    assert_int_equal(buf_adds(&v, "k8s:enc:aescbc:v2:k:body", &err), 0);
    assert_int_equal(decrypt(ONE(CBC(KEY("k", KA))), "secrets", ETCD_KEY, &v), ERR_INVALID);
}

/* Names of which one is another's beginning: the longest that fits is meant. */
static void names_with_colons(void **state)
{
    (void)state;
    static const char *orders[] = {ONE(BOX(KEY("k", KA) "," KEY("k:1", KB) "," KEY("k:1:2", KC))),
                                   ONE(BOX(KEY("k:1:2", KC) "," KEY("k:1", KB) "," KEY("k", KA)))};
    static const char *names[] = {"k", "k:1", "k:1:2"};
    for (size_t o = 0; o < array_len(orders); o++)
        for (size_t i = 0; i < array_len(names); i++) {
            _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(orders[o]);
            _cleanup_(buf_freep) struct buf v = BUF_INIT(1000);
            assert_int_equal(envelope_encrypt_with(c, "secrets", PROVIDER_SECRETBOX, names[i], ETCD_KEY,
                                                   PLAIN, strlen(PLAIN), &v, &err),
                             0);
            assert_int_equal(decrypt(orders[o], "secrets", ETCD_KEY, &v), 0);
        }
}

static void encrypts_with_a_named_key(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c =
        must_parse(ONE(CBC(KEY("a", KA) "," KEY("b", KB)) "," IDENTITY));
    _cleanup_(buf_freep) struct buf v = BUF_INIT(1000), none = BUF_INIT(1000);
    assert_int_equal(envelope_encrypt_with(c, "secrets", PROVIDER_AESCBC, "b", ETCD_KEY, "x", 1, &v, &err),
                     0);
    assert_memory_equal(v.data, "k8s:enc:aescbc:v1:b:", 20);
    assert_int_equal(envelope_encrypt_with(c, "secrets", PROVIDER_AESCBC, "c", ETCD_KEY, "x", 1, &none, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(envelope_encrypt_with(c, "secrets", PROVIDER_AESGCM, "a", ETCD_KEY, "x", 1, &none, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(envelope_encrypt_with(c, "events", PROVIDER_AESCBC, "a", ETCD_KEY, "x", 1, &none, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(
        envelope_encrypt_with(c, "secrets", PROVIDER_IDENTITY, NULL, ETCD_KEY, "x", 1, &none, &err), 0);
    assert_string_equal(buf_str(&none), "x");
    /* a plain object that would read as an encrypted one */
    assert_int_equal(
        envelope_encrypt_with(c, "secrets", PROVIDER_IDENTITY, NULL, ETCD_KEY, "k8s:enc:x", 9, &none, &err),
        ERR_INVALID);
}

static void entries_apply_as_at_an_api_server(void **state)
{
    (void)state;
    static const char config[] = HEAD ENTRY(SECRETS, CBC(KEY("s", KA))) "," ENTRY(
        "\"*.apps\"", CBC(KEY("g", KB))) "," ENTRY("\"*.*\"", CBC(KEY("w", KC))) TAIL;
    static const struct {
        const char *resource, *name;
    } cases[] = {{"secrets", "s"},
                 {"deployments.apps", "g"},
                 {"configmaps", "w"},
                 {"widgets.example.org", "w"},
                 {"apps", "w"}};
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(buf_freep) struct buf v = encrypt(config, cases[i].resource);
        char prefix[64];
        snprintf(prefix, sizeof(prefix), "k8s:enc:aescbc:v1:%s:", cases[i].name);
        assert_int_equal(strncmp(v.data, prefix, strlen(prefix)), 0);
        assert_int_equal(decrypt(config, cases[i].resource, ETCD_KEY, &v), 0);
    }
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(ONE(CBC(KEY("a", KA))));
    _cleanup_(buf_freep) struct buf v = BUF_INIT(40);
    assert_int_equal(buf_adds(&v, "old", &err), 0);
    assert_int_equal(envelope_encrypt(c, "secrets", ETCD_KEY, PLAIN, strlen(PLAIN), &v, &err), ERR_TOO_LARGE);
    assert_string_equal(buf_str(&v), "old");
}

/* One codec for many values, of every key of the config and some that do not open: each is as by itself. */
static void a_codec_is_as_the_functions_for_one(void **state)
{
    (void)state;
    /* Each size of each cipher's key once as the one that writes. */
    static const char *const orders[] = {
        ONE(CBC(KEY("c", V16) "," KEY("c:2", V24)) "," GCM(KEY("g", V32)) "," BOX(
            KEY("s", NACL)) "," IDENTITY),
        ONE(CBC(KEY("c:2", V24) "," KEY("c", V16)) "," GCM(KEY("g", V32)) "," IDENTITY),
        ONE(CBC(KEY("c:3", V32) "," KEY("c", V16)) "," GCM(KEY("g", V32)) "," IDENTITY),
        ONE(GCM(KEY("g", V32)) "," CBC(KEY("c", V16) "," KEY("c:2", V24)) "," BOX(
            KEY("s", NACL)) "," IDENTITY),
        ONE(GCM(KEY("g:1", V16) "," KEY("g", V32)) "," CBC(KEY("c", V16)) "," IDENTITY),
        ONE(GCM(KEY("g:2", V24) "," KEY("g", V32)) "," CBC(KEY("c", V16)) "," IDENTITY),
        ONE(BOX(KEY("s", NACL)) "," CBC(KEY("c", V16)) "," GCM(KEY("g", V32)) "," IDENTITY),
        ONE(IDENTITY
            "," CBC(KEY("c", V16) "," KEY("c:2", V24)) "," GCM(KEY("g", V32)) "," BOX(KEY("s", NACL))),
    };
    for (size_t i = 0; i < array_len(orders); i++) {
        _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(orders[i]);
        _cleanup_(envelope_codec_freep) struct envelope_codec *k = NULL;
        assert_int_equal(envelope_codec_new(c, "secrets", &k, &err), 0);
        for (int n = 0; n < 40; n++) {
            _cleanup_(buf_freep) struct buf sealed = BUF_INIT(4096);
            _cleanup_(secret_freep) struct secret *one = NULL, *many = NULL, *none = NULL;
            char plain[64], key[64];
            snprintf(plain, sizeof(plain), "{\"n\":%d}%.*s", n, n,
                     "........................................");
            snprintf(key, sizeof(key), ETCD_KEY "%d", n);
            int rc = n % 2 ? envelope_codec_encrypt(k, key, plain, strlen(plain), &sealed, &err)
                           : envelope_encrypt(c, "secrets", key, plain, strlen(plain), &sealed, &err);
            assert_int_equal(rc, 0);
            assert_int_equal(envelope_decrypt(c, "secrets", key, sealed.data, sealed.len, &one, &err), 0);
            assert_int_equal(envelope_codec_decrypt(k, key, sealed.data, sealed.len, &many, &err), 0);
            assert_int_equal(many->len, strlen(plain));
            assert_memory_equal(many->data, plain, many->len);
            assert_memory_equal(one->data, plain, many->len);
            /* What does not open leaves the codec as it was. */
            assert_int_equal(envelope_codec_decrypt(k, key,
                                                    "k8s:enc:aescbc:v1:c:0123456789abcdef0123456789abcde", 51,
                                                    &none, &err),
                             ERR_DENIED); /* no whole blocks */
            assert_int_equal(envelope_codec_decrypt(
                                 k, key, "k8s:enc:aesgcm:v1:g:0123456789abcdef0123456789ab", 48, &none, &err),
                             ERR_DENIED);
            assert_int_equal(envelope_codec_decrypt(k, key, "k8s:enc:aescbc:v1:gone:x", 24, &none, &err),
                             ERR_NOT_FOUND);
        }
    }
}

/* Values of all its keys in turn, the same codec for all: as while a resource is half rewritten. */
static void a_codec_reads_every_key_of_its_config_in_turn(void **state)
{
    (void)state;
    static const struct {
        enum provider provider;
        const char *name;
    } keys[] = {
        {PROVIDER_AESCBC, "16"},    {PROVIDER_AESCBC, "24"},   {PROVIDER_AESCBC, "32"},
        {PROVIDER_AESGCM, "16"},    {PROVIDER_AESGCM, "24"},   {PROVIDER_AESGCM, "32"},
        {PROVIDER_SECRETBOX, "32"}, {PROVIDER_IDENTITY, NULL},
    };
    _cleanup_(encryption_config_freep) struct encryption_config *c =
        must_parse(ONE(CBC(KEY("16", V16) "," KEY("24", V24) "," KEY("32", V32)) "," GCM(
            KEY("16", V16) "," KEY("24", V24) "," KEY("32", V32)) "," BOX(KEY("32", NACL)) "," IDENTITY));
    _cleanup_(envelope_codec_freep) struct envelope_codec *k = NULL;
    assert_int_equal(envelope_codec_new(c, "secrets", &k, &err), 0);
    for (size_t n = 0; n < 8 * array_len(keys); n++) {
        size_t i = n * 3 % array_len(keys);
        _cleanup_(buf_freep) struct buf sealed = BUF_INIT(4096), own = BUF_INIT(4096);
        _cleanup_(secret_freep) struct secret *out = NULL, *again = NULL;
        char plain[64], key[64];
        snprintf(plain, sizeof(plain), "{\"n\":%zu%.*s}", n, (int)(n % 33),
                 "                                 ");
        snprintf(key, sizeof(key), ETCD_KEY "%zu", n);
        assert_int_equal(envelope_encrypt_with(c, "secrets", keys[i].provider, keys[i].name, key, plain,
                                               strlen(plain), &sealed, &err),
                         0);
        assert_int_equal(envelope_codec_decrypt(k, key, sealed.data, sealed.len, &out, &err), 0);
        assert_int_equal(out->len, strlen(plain));
        assert_memory_equal(out->data, plain, out->len);
        assert_int_equal(envelope_codec_encrypt(k, key, out->data, out->len, &own, &err), 0);
        assert_memory_equal(own.data, "k8s:enc:aescbc:v1:16:", 21);
        assert_int_equal(envelope_decrypt(c, "secrets", key, own.data, own.len, &again, &err), 0);
        assert_int_equal(secret_equal(out, again), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_others_sealed),
        cmocka_unit_test(reads_prefixes),
        cmocka_unit_test(refuses_bad_prefixes),
        cmocka_unit_test(writes_with_the_first_key_of_the_first_provider),
        cmocka_unit_test(a_missing_key_is_not_found),
        cmocka_unit_test(what_does_not_open_is_denied),
        cmocka_unit_test(kms_is_unsupported),
        cmocka_unit_test(unknown_versions_are_invalid),
        cmocka_unit_test(names_with_colons),
        cmocka_unit_test(a_codec_is_as_the_functions_for_one),
        cmocka_unit_test(a_codec_reads_every_key_of_its_config_in_turn),
        cmocka_unit_test(encrypts_with_a_named_key),
        cmocka_unit_test(entries_apply_as_at_an_api_server),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
