#include <json/json.h>

#include "ciphers.h"
#include "seal_internal.h"

#define BOX_JSON_MAX   (3u * 1024 * 1024)
#define BOX_PLAIN_MAX  (2u * 1024 * 1024)
#define BOX_MEMORY_MAX (UINT64_C(256) * 1024 * 1024)
#define BOX_WORK_MAX   (16 * SEAL_SCRYPT_N * SEAL_SCRYPT_R * SEAL_SCRYPT_P)

/* How a box's key is made: of version 1 from the token by scrypt, of version 2 from what scrypt made of it.
 */
enum box_version { BOX_SCRYPT = 1, BOX_HKDF = 2 };

static const struct {
    const char *kdf, *label; /* the label's NUL is signed too */
    size_t members;
} versions[] = {
    [BOX_SCRYPT] = {"scrypt", "secrets-encrypt bundle v1", 8},
    [BOX_HKDF] = {"hkdf", "secrets-encrypt bundle v2", 5},
};

struct box {
    enum box_version version;
    struct scrypt_params params; /* of version 1 */
    uint8_t salt[SEAL_SALT_SIZE];
    struct secret *body; /* nonce, ciphertext and tag, as aesgcm has them */
    struct secret *key;  /* of version 2, once asked for */
};

static void box_clear(struct box *b)
{
    secret_free(b->body);
    secret_free(b->key);
}

static int add_number(struct buf *out, uint64_t n, struct error *err)
{
    uint8_t big_endian[8];
    for (int i = 0; i < 8; i++)
        big_endian[i] = (uint8_t)(n >> (56 - 8 * i));
    return buf_add(out, big_endian, sizeof(big_endian), err);
}

/* Everything that the box must not be separated from. Names end in a NUL and numbers have 8 bytes, so that
 * no two sets of parts give the same bytes. */
static int additional_data(const struct seal *s, const char *etcd_key, int64_t generation,
                           const struct box *b, struct buf *out, struct error *err)
{
    const struct bytes names[] = {
        {versions[b->version].label, strlen(versions[b->version].label) + 1},
        {s->cluster, strlen(s->cluster) + 1},
        {etcd_key, strlen(etcd_key) + 1},
    };
    const uint64_t numbers[] = {(uint64_t)generation, b->params.n, b->params.r, b->params.p};
    size_t count = b->version == BOX_SCRYPT ? array_len(numbers) : 1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < array_len(names); i++)
        rc = buf_add(out, names[i].data, names[i].len, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_number(out, numbers[i], err);
    return rc < 0 ? rc : buf_add(out, b->salt, sizeof(b->salt), err);
}

static bool same_params(const struct scrypt_params *a, const struct scrypt_params *b)
{
    return a->n == b->n && a->r == b->r && a->p == b->p;
}

/* The slot that has the box's key, else the one to put it into: a free one, or the one longest unused. */
static struct box_key *find_slot(struct seal *s, const struct box *b)
{
    struct box_key *oldest = &s->cache[0];
    for (size_t i = 0; i < SEAL_CACHE_SLOTS; i++) {
        struct box_key *k = &s->cache[i];
        if (k->key && same_params(&k->params, &b->params) && memcmp(k->salt, b->salt, sizeof(k->salt)) == 0)
            return k;
        if (oldest->key && (!k->key || k->used < oldest->used))
            oldest = k;
    }
    secret_free(take(oldest->key));
    return oldest;
}

/* Borrowed from the cache, until the next call. */
static int scrypt_key(struct seal *s, const struct box *b, const struct secret **ret, struct error *err)
{
    struct box_key *slot = find_slot(s, b);
    if (!slot->key) {
        int rc = crypto_scrypt(s->token, (struct bytes){b->salt, sizeof(b->salt)}, &b->params, SEAL_KEY_SIZE,
                               &slot->key, err);
        if (rc < 0)
            return rc;
        slot->params = b->params;
        memcpy(slot->salt, b->salt, sizeof(slot->salt));
    }
    slot->used = ++s->clock;
    *ret = slot->key;
    return 0;
}

static int hkdf_key(const struct seal *s, struct box *b, struct error *err)
{
    _cleanup_(buf_freep) struct buf info = BUF_INIT(64 * 1024);
    const struct bytes parts[] = {
        {versions[b->version].label, strlen(versions[b->version].label) + 1},
        {s->cluster, strlen(s->cluster) + 1},
        {b->salt, sizeof(b->salt)},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < array_len(parts); i++)
        rc = buf_add(&info, parts[i].data, parts[i].len, err);
    if (rc < 0)
        return rc;
    secret_free(take(b->key));
    return crypto_hkdf_expand(s->box_root, (struct bytes){info.data, info.len}, SEAL_KEY_SIZE, &b->key, err);
}

/* Borrowed, as long as the box is there and no other box's key is asked for. */
static int box_key(struct seal *s, struct box *b, const struct secret **ret, struct error *err)
{
    if (b->version == BOX_SCRYPT)
        return scrypt_key(s, b, ret, err);
    int rc = hkdf_key(s, b, err);
    if (rc == 0)
        *ret = b->key;
    return rc;
}

/* --- the box's JSON --- */

static int set_base64(struct json *obj, const char *key, const void *data, size_t len, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    int rc = crypto_base64_encode(data, len, &text, err);
    return rc < 0 ? rc : json_set_string(obj, key, (const char *)text->data, err);
}

static int box_print(const struct box *b, struct buf *out, struct error *err)
{
    _cleanup_(json_freep) struct json *obj = json_new_object();
    if (!obj)
        return error_no_memory(err);
    int rc = json_set_int(obj, "v", b->version, err);
    if (rc == 0)
        rc = json_set_string(obj, "kdf", versions[b->version].kdf, err);
    if (rc == 0)
        rc = set_base64(obj, "salt", b->salt, sizeof(b->salt), err);
    if (rc == 0)
        rc = set_base64(obj, "nonce", b->body->data, SEAL_NONCE_SIZE, err);
    if (rc == 0)
        rc = set_base64(obj, "box", b->body->data + SEAL_NONCE_SIZE, b->body->len - SEAL_NONCE_SIZE, err);
    return rc < 0 ? rc : json_print(obj, out, err);
}

/* The bytes of a base64 member; exactly `size` of them where size is not 0. Caller frees. */
static int need_base64(const struct json *obj, const char *key, size_t size, struct secret **ret,
                       struct error *err)
{
    const char *text = json_string(json_get(obj, key), NULL);
    if (!text)
        return error_set(err, ERR_INVALID, "member \"%s\" is missing or no string", key);
    _cleanup_(secret_freep) struct secret *data = NULL;
    int rc = crypto_base64_decode(text, strlen(text), &data, err);
    if (rc < 0)
        return error_prefix(err, rc, "member \"%s\"", key);
    if (size && data->len != size)
        return error_set(err, ERR_INVALID, "member \"%s\" has %zu bytes, not %zu", key, data->len, size);
    *ret = take(data);
    return 0;
}

/* Whoever writes the state store chooses these numbers: weaker ones would make the token easy to guess from
 * what we then seal, and huge ones would stop us. */
static int check_params(int64_t n, int64_t r, int64_t p, struct error *err)
{
    const int64_t limit = INT64_C(1) << 31;
    if (n < (int64_t)SEAL_SCRYPT_N || r < SEAL_SCRYPT_R || p < SEAL_SCRYPT_P)
        return error_set(err, ERR_DENIED, "its scrypt parameters are weaker than this program writes");
    if (n >= limit || r >= limit || p >= limit || (n & (n - 1)) != 0)
        return error_set(err, ERR_INVALID, "its scrypt parameters are out of range");
    /* No product overflows: n and r below 2^31 give 128 * n * r below 2^69, so divide instead. */
    uint64_t memory_left = BOX_MEMORY_MAX / 128 / (uint64_t)n;
    uint64_t work_left = BOX_WORK_MAX / (uint64_t)n / (uint64_t)r;
    if ((uint64_t)r > memory_left || (uint64_t)p > work_left)
        return error_set(err, ERR_INVALID, "its scrypt parameters ask for too much memory or time");
    return 0;
}

static int read_version(const struct json *obj, enum box_version *ret, struct error *err)
{
    int64_t v;
    char kdf[16];
    int rc = json_need_int(obj, "v", &v, err);
    if (rc == 0)
        rc = json_need_string(obj, "kdf", kdf, sizeof(kdf), err);
    if (rc < 0)
        return rc;
    if (v < BOX_SCRYPT || v > BOX_HKDF || strcmp(kdf, versions[v].kdf) != 0 ||
        json_count(obj) != versions[v].members)
        return error_set(err, ERR_INVALID,
                         "not a bundle of version 1 or 2; a newer release may have written it");
    *ret = (enum box_version)v;
    return 0;
}

static int read_params(const struct json *obj, struct scrypt_params *ret, struct error *err)
{
    int64_t n, r, p;
    int rc = json_need_int(obj, "n", &n, err);
    if (rc == 0)
        rc = json_need_int(obj, "r", &r, err);
    if (rc == 0)
        rc = json_need_int(obj, "p", &p, err);
    if (rc == 0)
        rc = check_params(n, r, p, err);
    if (rc == 0)
        *ret = (struct scrypt_params){(uint64_t)n, (uint32_t)r, (uint32_t)p};
    return rc;
}

static int read_body(const struct json *obj, struct secret **ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *nonce = NULL, *text = NULL;
    int rc = need_base64(obj, "nonce", SEAL_NONCE_SIZE, &nonce, err);
    if (rc == 0)
        rc = need_base64(obj, "box", 0, &text, err);
    if (rc < 0)
        return rc;
    _cleanup_(secret_freep) struct secret *body = secret_new(nonce->len + text->len);
    if (!body)
        return error_no_memory(err);
    rc = secret_add(body, nonce->data, nonce->len, err);
    if (rc == 0)
        rc = secret_add(body, text->data, text->len, err);
    if (rc < 0)
        return rc;
    *ret = take(body);
    return 0;
}

static int box_parse(const char *json, size_t len, const char *etcd_key, struct box *b, struct error *err)
{
    _cleanup_(json_freep) struct json *obj = NULL;
    _cleanup_(secret_freep) struct secret *salt = NULL;
    int rc = json_parse(json, len, etcd_key, &obj, err);
    if (rc < 0)
        return rc;
    rc = read_version(obj, &b->version, err);
    if (rc == 0 && b->version == BOX_SCRYPT)
        rc = read_params(obj, &b->params, err);
    if (rc == 0)
        rc = need_base64(obj, "salt", SEAL_SALT_SIZE, &salt, err);
    if (rc == 0)
        rc = read_body(obj, &b->body, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", etcd_key);
    memcpy(b->salt, salt->data, sizeof(b->salt));
    return 0;
}

/* --- sealing --- */

static int box_fill(struct seal *s, const char *etcd_key, int64_t generation, const struct secret *plain,
                    struct box *b, struct error *err)
{
    _cleanup_(buf_freep) struct buf aad = BUF_INIT(64 * 1024), body = BUF_INIT(BOX_PLAIN_MAX + 64);
    const struct secret *key = NULL;
    int rc = crypto_random(b->salt, sizeof(b->salt), err);
    if (rc == 0)
        rc = additional_data(s, etcd_key, generation, b, &aad, err);
    if (rc == 0)
        rc = box_key(s, b, &key, err);
    if (rc == 0)
        rc = crypto_encrypt(CIPHER_AESGCM, key, aad.data, aad.len, plain->data, plain->len, &body, err);
    if (rc < 0)
        return rc;
    b->body = secret_copy(body.data, body.len);
    return b->body ? 0 : error_no_memory(err);
}

int seal_box(struct seal *s, const char *etcd_key, int64_t generation, const struct secret *plain,
             struct buf *out, struct error *err)
{
    _cleanup_(box_clear) struct box b = {.version = BOX_HKDF};
    if (plain->len > BOX_PLAIN_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: an encryption config of more than %u bytes", etcd_key,
                         BOX_PLAIN_MAX);
    int rc = box_fill(s, etcd_key, generation, plain, &b, err);
    return rc < 0 ? rc : box_print(&b, out, err);
}

int seal_unbox(struct seal *s, const char *etcd_key, int64_t generation, const char *json, size_t len,
               struct secret **ret, struct error *err)
{
    _cleanup_(box_clear) struct box b = {0};
    _cleanup_(buf_freep) struct buf aad = BUF_INIT(64 * 1024);
    const struct secret *key = NULL;
    if (len > BOX_JSON_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: a bundle of more than %u bytes", etcd_key, BOX_JSON_MAX);
    int rc = box_parse(json, len, etcd_key, &b, err);
    if (rc == 0)
        rc = additional_data(s, etcd_key, generation, &b, &aad, err);
    if (rc == 0)
        rc = box_key(s, &b, &key, err);
    if (rc < 0)
        return rc;
    rc = crypto_decrypt(CIPHER_AESGCM, key, aad.data, aad.len, b.body->data, b.body->len, ret, err);
    if (rc == ERR_DENIED)
        return error_set(
            err, rc,
            "%s: the bundle of generation %lld does not open: it was sealed with another cluster token, "
            "for another cluster, key or generation, or it was changed; check that every server has the "
            "same cluster token",
            etcd_key, (long long)generation);
    return rc;
}
