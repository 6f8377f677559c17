#include <encryption/envelope.h>

#include "model.h"

#define MARK "k8s:enc:"

static const struct prefix {
    enum provider provider;
    const char *text;
} prefixes[] = {
    {PROVIDER_AESCBC, MARK "aescbc:v1:"},
    {PROVIDER_AESGCM, MARK "aesgcm:v1:"},
    {PROVIDER_SECRETBOX, MARK "secretbox:v1:"},
    {PROVIDER_KMS, MARK "kms:v1:"},
    {PROVIDER_KMS, MARK "kms:v2:"},
};

static bool starts_with(const uint8_t *data, size_t len, const char *text)
{
    size_t n = strlen(text);
    return len >= n && memcmp(data, text, n) == 0;
}

/* The provider, and what follows its prefix as the body. */
static int read_prefix(const uint8_t *value, size_t len, struct envelope *e, struct error *err)
{
    if (!starts_with(value, len, MARK)) {
        *e = (struct envelope){PROVIDER_IDENTITY, NULL, 0, value, len};
        return 0;
    }
    for (size_t i = 0; i < array_len(prefixes); i++) {
        size_t n = strlen(prefixes[i].text);
        if (!starts_with(value, len, prefixes[i].text))
            continue;
        *e = (struct envelope){prefixes[i].provider, NULL, 0, value + n, len - n};
        return 0;
    }
    return error_set(err, ERR_INVALID,
                     "the value is encrypted (" MARK "…) by a provider or version that is not known");
}

/* True when the value stands under the name; "k" does not match "k2:…". */
static bool name_fits(const struct envelope *e, const char *name)
{
    size_t n = strlen(name);
    return e->body_len > n && memcmp(e->body, name, n) == 0 && e->body[n] == ':';
}

static void cut_name(struct envelope *e, size_t n)
{
    e->key_name = (const char *)e->body;
    e->key_name_len = n;
    e->body += n + 1;
    e->body_len -= n + 1;
}

/* The name up to the first colon, which must come before a name's length is over. */
static int cut_unknown_name(struct envelope *e, struct error *err)
{
    size_t max = e->body_len < ENCRYPTION_KEY_NAME_MAX + 1 ? e->body_len : ENCRYPTION_KEY_NAME_MAX + 1;
    const uint8_t *colon = max ? memchr(e->body, ':', max) : NULL;
    if (!colon)
        return error_set(err, ERR_INVALID, "the value is encrypted (" MARK "…), but names no key");
    cut_name(e, (size_t)(colon - e->body));
    return 0;
}

int envelope_read(const void *value, size_t len, const struct key_view *names, size_t names_count,
                  struct envelope *ret, struct error *err)
{
    struct envelope e;
    int rc = read_prefix(value, len, &e, err);
    if (rc < 0)
        return rc;
    size_t best = 0;
    for (size_t i = 0; i < names_count; i++)
        if (names[i].provider == e.provider && strlen(names[i].name) > best && name_fits(&e, names[i].name))
            best = strlen(names[i].name);
    if (best > 0)
        cut_name(&e, best);
    else if (e.provider != PROVIDER_IDENTITY)
        rc = cut_unknown_name(&e, err);
    if (rc == 0)
        *ret = e;
    return rc;
}

/* The key of the entry whose name is the longest that fits. */
static const struct key *find_key(const struct entry *entry, const struct envelope *e)
{
    const struct key *best = NULL;
    for (size_t s = 0; s < entry->stage_count; s++)
        for (size_t k = 0; entry->stages[s].kind == e->provider && k < entry->stages[s].key_count; k++) {
            const struct key *key = &entry->stages[s].keys[k];
            if (name_fits(e, key->name) && (!best || strlen(key->name) > strlen(best->name)))
                best = key;
        }
    return best;
}

/* Keys that were used so far, each set up once. */
struct envelope_codec {
    const struct encryption_config *config;
    const struct entry *entry;
    struct keyed {
        const struct key *key;
        struct cipher_context *cipher;
    } keys[ENCRYPTION_KEYS_MAX];
    size_t count;
};

static int need_entry(const struct encryption_config *c, const char *resource, const struct entry **ret,
                      struct error *err)
{
    *ret = entry_of(c, resource);
    return *ret ? 0 : error_set(err, ERR_NOT_FOUND, "%s: no entry is for %s", c->what, resource);
}

static int decrypt_plain(const struct entry *entry, const struct envelope *e, const char *etcd_key,
                         struct secret **ret, struct error *err)
{
    if (find_stage(entry, PROVIDER_IDENTITY, NULL) < 0)
        return error_set(err, ERR_NOT_FOUND, "%s: the value is plain, and no identity provider would read it",
                         etcd_key);
    struct secret *copy = secret_copy(e->body, e->body_len);
    if (!copy)
        return error_no_memory(err);
    *ret = copy;
    return 0;
}

/* The name as the value has it, for an error text: it may be any bytes. */
static int no_key(struct envelope *e, const char *etcd_key, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char name[65] = "(none)";
    if (cut_unknown_name(e, &ignored) == 0) {
        size_t n = e->key_name_len < sizeof(name) - 1 ? e->key_name_len : sizeof(name) - 1;
        for (size_t i = 0; i < n; i++)
            name[i] = e->key_name[i] >= 0x20 && e->key_name[i] < 0x7f ? e->key_name[i] : '?';
        name[n] = 0;
    }
    return error_set(
        err, ERR_NOT_FOUND,
        "%s: the value is encrypted with a %s key whose name begins with %s, which the config lacks",
        etcd_key, provider_name(e->provider), name);
}

/* The key's cipher, set up when it is first asked for. */
static int codec_cipher(struct envelope_codec *k, enum cipher cipher, const struct key *key,
                        struct cipher_context **ret, struct error *err)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->keys[i].key == key) {
            *ret = k->keys[i].cipher;
            return 0;
        }
    if (k->count == ENCRYPTION_KEYS_MAX)
        return error_set(err, ERR_TOO_LARGE, "more than %d keys in one entry", ENCRYPTION_KEYS_MAX);
    struct keyed *made = &k->keys[k->count];
    int rc = cipher_context_new(cipher, key->value, &made->cipher, err);
    if (rc < 0)
        return rc;
    made->key = key;
    k->count++;
    *ret = made->cipher;
    return 0;
}

int envelope_codec_new(const struct encryption_config *c, const char *resource, struct envelope_codec **ret,
                       struct error *err)
{
    const struct entry *entry = NULL;
    int rc = need_entry(c, resource, &entry, err);
    if (rc < 0)
        return rc;
    struct envelope_codec *k = calloc(1, sizeof(*k));
    if (!k)
        return error_no_memory(err);
    k->config = c;
    k->entry = entry;
    *ret = k;
    return 0;
}

void envelope_codec_free(struct envelope_codec *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->count; i++)
        cipher_context_free(k->keys[i].cipher);
    free(k);
}

int envelope_codec_decrypt(struct envelope_codec *k, const char *etcd_key, const void *value, size_t len,
                           struct secret **ret, struct error *err)
{
    struct envelope e;
    int rc = read_prefix(value, len, &e, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", etcd_key);
    if (e.provider == PROVIDER_IDENTITY)
        return decrypt_plain(k->entry, &e, etcd_key, ret, err);
    enum cipher cipher;
    if (!provider_cipher(e.provider, &cipher))
        return error_set(err, ERR_UNSUPPORTED,
                         "%s: the value is encrypted by a kms plugin, which this program does not ask",
                         etcd_key);
    const struct key *key = find_key(k->entry, &e);
    if (!key)
        return no_key(&e, etcd_key, err);
    cut_name(&e, strlen(key->name));
    struct cipher_context *context = NULL;
    rc = codec_cipher(k, cipher, key, &context, err);
    if (rc == 0)
        rc = cipher_context_decrypt(context, etcd_key, strlen(etcd_key), e.body, e.body_len, ret, err);
    return rc < 0 ? error_prefix(err, rc, "%s: under the %s key %s", etcd_key, provider_name(e.provider),
                                 key->name)
                  : 0;
}

int envelope_decrypt(const struct encryption_config *c, const char *resource, const char *etcd_key,
                     const void *value, size_t len, struct secret **ret, struct error *err)
{
    _cleanup_(envelope_codec_freep) struct envelope_codec *k = NULL;
    int rc = envelope_codec_new(c, resource, &k, err);
    return rc < 0 ? rc : envelope_codec_decrypt(k, etcd_key, value, len, ret, err);
}

/* --- encrypt --- */

static int add_plain(const void *plain, size_t len, const char *etcd_key, struct buf *out, struct error *err)
{
    if (starts_with(plain, len, MARK))
        return error_set(err, ERR_INVALID, "%s: a plain object cannot begin with " MARK, etcd_key);
    return buf_add(out, plain, len, err);
}

static const char *prefix_of(enum provider p)
{
    for (size_t i = 0; i < array_len(prefixes); i++)
        if (prefixes[i].provider == p)
            return prefixes[i].text;
    return "";
}

static int add_encrypted(struct envelope_codec *k, enum provider provider, const struct key *key,
                         const char *etcd_key, const void *plain, size_t len, struct buf *out,
                         struct error *err)
{
    enum cipher cipher;
    if (!provider_cipher(provider, &cipher))
        return error_set(err, ERR_UNSUPPORTED, "%s: %s is no provider to encrypt with here", etcd_key,
                         provider_name(provider));
    size_t before = out->len;
    struct cipher_context *context = NULL;
    int rc = codec_cipher(k, cipher, key, &context, err);
    if (rc == 0)
        rc = buf_addf(out, err, "%s%s:", prefix_of(provider), key->name);
    if (rc == 0)
        rc = cipher_context_encrypt(context, etcd_key, strlen(etcd_key), plain, len, out, err);
    if (rc < 0 && out->data) {
        out->len = before;
        out->data[before] = 0;
    }
    return rc < 0 ? error_prefix(err, rc, "%s", etcd_key) : 0;
}

int envelope_codec_encrypt(struct envelope_codec *k, const char *etcd_key, const void *plain,
                           size_t plain_len, struct buf *out, struct error *err)
{
    const struct entry *entry = k->entry;
    if (entry->stages[0].kind == PROVIDER_IDENTITY)
        return add_plain(plain, plain_len, etcd_key, out, err);
    return add_encrypted(k, entry->stages[0].kind, write_key(entry), etcd_key, plain, plain_len, out, err);
}

int envelope_encrypt(const struct encryption_config *c, const char *resource, const char *etcd_key,
                     const void *plain, size_t plain_len, struct buf *out, struct error *err)
{
    _cleanup_(envelope_codec_freep) struct envelope_codec *k = NULL;
    int rc = envelope_codec_new(c, resource, &k, err);
    return rc < 0 ? rc : envelope_codec_encrypt(k, etcd_key, plain, plain_len, out, err);
}

int envelope_encrypt_with(const struct encryption_config *c, const char *resource, enum provider provider,
                          const char *key_name, const char *etcd_key, const void *plain, size_t plain_len,
                          struct buf *out, struct error *err)
{
    _cleanup_(envelope_codec_freep) struct envelope_codec *k = NULL;
    int rc = envelope_codec_new(c, resource, &k, err);
    if (rc < 0)
        return rc;
    int at = find_stage(k->entry, provider, provider == PROVIDER_IDENTITY ? NULL : key_name);
    if (at < 0)
        return error_set(err, ERR_NOT_FOUND, "%s: the entry of %s has no such %s key", c->what, resource,
                         provider_name(provider));
    if (provider == PROVIDER_IDENTITY)
        return add_plain(plain, plain_len, etcd_key, out, err);
    return add_encrypted(k, provider, stage_key(&k->entry->stages[at], key_name), etcd_key, plain, plain_len,
                         out, err);
}
