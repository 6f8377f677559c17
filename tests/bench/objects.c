/* Secrets as deploy/lab/kube.py makes them, in the form in which API servers store them. */
#include "bench.h"

#include <inttypes.h>

#include <base/text.h>

#define PASSWORD_BYTES 24 /* before base64 */
#define PASSWORD_TEXT  32
#define CREATED        1700000000 /* seconds since 1970 */

static const char *const namespaces[] = {"team-a", "team-b", "team-c"};

void object_place(int64_t number, struct object *ret)
{
    snprintf(ret->namespace, sizeof(ret->namespace), "%s", namespaces[number % 3]);
    snprintf(ret->name, sizeof(ret->name), "secret-%06" PRId64, number);
    snprintf(ret->path, sizeof(ret->path), OBJECT_PREFIX "%s/%s", ret->namespace, ret->name);
}

int64_t object_number(const char *path)
{
    int64_t number = -1;
    struct object o;
    const char *at = strstr(path, "/secret-");
    if (!at || text_int(at + 8, 0, INT64_MAX, &number, NULL) < 0)
        return -1;
    object_place(number, &o);
    return strcmp(o.path, path) == 0 ? number : -1;
}

/* kube.content: SHAKE-256 of "<seed>/<number>": 24 bytes in base64, and the first bytes of the same. */
static int content(const struct bench *b, int64_t number, char password[PASSWORD_TEXT + 1], uint8_t *blob,
                   size_t len)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "%s/%" PRId64, b->seed, number);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    int ok = c && EVP_DigestInit_ex(c, EVP_shake256(), NULL) == 1 &&
             EVP_DigestUpdate(c, text, (size_t)n) == 1 && EVP_DigestFinalXOF(c, blob, len) == 1;
    EVP_MD_CTX_free(c);
    if (ok)
        EVP_EncodeBlock((unsigned char *)password, blob, PASSWORD_BYTES);
    return ok ? 0 : ERR_INTERNAL;
}

static size_t blob_len(const struct bench *b)
{
    return b->size > 64 + PASSWORD_BYTES ? (size_t)b->size - 64 : PASSWORD_BYTES;
}

/* ---------- protobuf, as much as a Secret takes ---------- */

static int add_number(struct buf *out, uint64_t v, struct error *err)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; v > 127; v >>= 7)
        bytes[n++] = (uint8_t)(v | 128);
    bytes[n++] = (uint8_t)v;
    return buf_add(out, bytes, n, err);
}

static int add_bytes(struct buf *out, unsigned field, const void *data, size_t len, struct error *err)
{
    int rc = add_number(out, field << 3 | 2, err);
    if (rc == 0)
        rc = add_number(out, len, err);
    return rc == 0 ? buf_add(out, data, len, err) : rc;
}

static int add_text(struct buf *out, unsigned field, const char *text, struct error *err)
{
    return add_bytes(out, field, text, strlen(text), err);
}

static int add_varint(struct buf *out, unsigned field, uint64_t v, struct error *err)
{
    int rc = add_number(out, field << 3, err);
    return rc == 0 ? add_number(out, v, err) : rc;
}

static int add_metadata(struct buf *out, int64_t number, struct error *err)
{
    _cleanup_(buf_freep) struct buf m = BUF_INIT(OBJECT_MAX), created = BUF_INIT(64);
    struct object o;
    char uid[40];
    object_place(number, &o);
    snprintf(uid, sizeof(uid), "00000000-0000-4000-8000-%012" PRId64, number);
    int rc = add_text(&m, 1, o.name, err);
    rc = rc ? rc : add_text(&m, 2, "", err); /* generateName */
    rc = rc ? rc : add_text(&m, 3, o.namespace, err);
    rc = rc ? rc : add_text(&m, 4, "", err); /* selfLink */
    rc = rc ? rc : add_text(&m, 5, uid, err);
    rc = rc ? rc : add_text(&m, 6, "", err);  /* resourceVersion */
    rc = rc ? rc : add_varint(&m, 7, 0, err); /* generation */
    rc = rc ? rc : add_varint(&created, 1, CREATED, err);
    rc = rc ? rc : add_varint(&created, 2, 0, err);
    rc = rc ? rc : add_bytes(&m, 8, buf_str(&created), created.len, err);
    rc = rc ? rc : add_text(&m, 15, "", err); /* clusterName */
    return rc ? rc : add_bytes(out, 1, m.data, m.len, err);
}

static int add_data(struct buf *out, const char *key, const void *value, size_t len, struct error *err)
{
    _cleanup_(buf_freep) struct buf entry = BUF_INIT(OBJECT_MAX);
    int rc = add_text(&entry, 1, key, err);
    rc = rc ? rc : add_bytes(&entry, 2, value, len, err);
    return rc ? rc : add_bytes(out, 2, entry.data, entry.len, err);
}

int object_plain(const struct bench *b, int64_t number, struct buf *out, struct error *err)
{
    static const char type_meta[] = "k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret";
    _cleanup_(buf_freep) struct buf raw = BUF_INIT(OBJECT_MAX);
    _cleanup_free_ uint8_t *blob = malloc(blob_len(b));
    char password[PASSWORD_TEXT + 1];
    if (!blob)
        return error_no_memory(err);
    int rc = content(b, number, password, blob, blob_len(b));
    if (rc < 0)
        return error_set(err, rc, "SHAKE-256 failed");
    rc = add_metadata(&raw, number, err);
    rc = rc ? rc : add_data(&raw, "blob", blob, blob_len(b), err);
    rc = rc ? rc : add_data(&raw, "password", password, PASSWORD_TEXT, err);
    rc = rc ? rc : add_text(&raw, 3, "Opaque", err);
    rc = rc ? rc : buf_add(out, type_meta, sizeof(type_meta) - 1, err);
    rc = rc ? rc : add_bytes(out, 2, raw.data, raw.len, err);
    rc = rc ? rc : add_text(out, 3, "", err); /* contentEncoding */
    return rc ? rc : add_text(out, 4, "", err);
}

bool object_holds(const struct bench *b, int64_t number, const void *plain, size_t len)
{
    _cleanup_free_ uint8_t *blob = malloc(blob_len(b));
    char password[PASSWORD_TEXT + 1];
    struct object o;
    object_place(number, &o);
    return blob && content(b, number, password, blob, blob_len(b)) == 0 &&
           memmem(plain, len, blob, blob_len(b)) && memmem(plain, len, password, PASSWORD_TEXT) &&
           memmem(plain, len, o.name, strlen(o.name));
}
