/* What makes a snapshot whole: bbolt pages, then 32 bytes, the SHA-256 of everything before them. */
#include "internal.h"

#include <errno.h>
#include <unistd.h>

#include <crypto/crypto.h>

#define PAGE_UNIT   512 /* bbolt's pages are multiples of it; `etcdctl snapshot restore` checks the same */
#define CHUNK_BYTES 65536

_Static_assert(ETCD_SNAPSHOT_SHA == SHA256_SIZE && ETCD_SHA256_HEX == SHA256_HEX_SIZE, "one digest");

int digest_begin(struct snapshot_digest *d, struct error *err)
{
    memset(d, 0, sizeof(*d));
    return sha256_stream_new(&d->content, err);
}

void digest_clear(struct snapshot_digest *d)
{
    sha256_stream_free(d->content);
    memset(d, 0, sizeof(*d));
}

/* The last 32 bytes are held back: only the end tells that they are no content. */
int digest_add(struct snapshot_digest *d, const void *data, size_t len, struct error *err)
{
    const uint8_t *p = data;
    d->size += len;
    size_t all = d->tail_len + len;
    size_t out = all > SHA256_SIZE ? all - SHA256_SIZE : 0;
    size_t of_tail = out < d->tail_len ? out : d->tail_len;
    int rc = sha256_stream_update(d->content, d->tail, of_tail, err);
    if (rc == 0)
        rc = sha256_stream_update(d->content, p, out - of_tail, err);
    if (rc < 0)
        return rc;
    memmove(d->tail, d->tail + of_tail, d->tail_len - of_tail);
    d->tail_len -= of_tail;
    p += out - of_tail;
    len -= out - of_tail;
    memcpy(d->tail + d->tail_len, p, len);
    d->tail_len += len;
    return 0;
}

int digest_end(struct snapshot_digest *d, char hex[ETCD_SHA256_HEX], struct error *err)
{
    if (d->size <= SHA256_SIZE || d->size % PAGE_UNIT != SHA256_SIZE)
        return error_set(err, ERR_INVALID,
                         "%llu bytes are no whole etcd snapshot: the SHA-256 at its end is missing",
                         (unsigned long long)d->size);
    uint8_t sum[SHA256_SIZE];
    int rc = sha256_stream_final(d->content, sum, err);
    if (rc < 0)
        return rc;
    if (memcmp(sum, d->tail, sizeof(sum)) != 0)
        return error_set(err, ERR_INVALID,
                         "the SHA-256 at the end of these %llu bytes is not theirs: the snapshot is damaged",
                         (unsigned long long)d->size);
    rc = sha256_stream_update(d->content, d->tail, sizeof(d->tail), err);
    return rc < 0 ? rc : sha256_stream_final_hex(d->content, hex, err);
}

int intake_begin(struct snapshot_intake *in, struct error *err)
{
    memset(in, 0, sizeof(*in));
    return digest_begin(&in->digest, err);
}

void intake_clear(struct snapshot_intake *in)
{
    digest_clear(&in->digest);
    memset(in, 0, sizeof(*in));
}

static bool fits(const struct snapshot_intake *in, uint64_t remaining, size_t len)
{
    uint64_t size = in->digest.size + len;
    if (in->content_done)
        return remaining == 0 && size <= in->content + SHA256_SIZE;
    return size <= in->content && remaining == in->content - size;
}

int intake_add(struct snapshot_intake *in, uint64_t remaining, const void *data, size_t len,
               struct error *err)
{
    if (!in->begun) {
        if (remaining > INT64_MAX || !len)
            return error_set(err, ERR_INVALID, "it begins with a piece of %zu bytes, %llu to come", len,
                             (unsigned long long)remaining);
        in->begun = true;
        in->content = remaining + len;
    }
    if (!fits(in, remaining, len))
        return error_set(err, ERR_INVALID, "%llu bytes to come after %llu + %zu of %llu do not add up",
                         (unsigned long long)remaining, (unsigned long long)in->digest.size, len,
                         (unsigned long long)in->content);
    int rc = digest_add(&in->digest, data, len, err);
    if (rc < 0)
        return rc;
    in->remaining = remaining;
    in->content_done = remaining == 0;
    return 0;
}

bool intake_complete(const struct snapshot_intake *in)
{
    return in->content_done && in->digest.size == in->content + SHA256_SIZE;
}

static int read_all(int fd, const char *name, const atomic_bool *cancel, struct snapshot_digest *d,
                    struct error *err)
{
    uint8_t chunk[CHUNK_BYTES];
    for (;;) {
        if (cancel && atomic_load(cancel))
            return error_set(err, ERR_CANCELED, "%s: checking it was stopped", name);
        ssize_t n = pread(fd, chunk, sizeof(chunk), (off_t)d->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "reading %s", name);
        if (n == 0)
            return 0;
        int rc = digest_add(d, chunk, (size_t)n, err);
        if (rc < 0)
            return rc;
    }
}

int etcd_snapshot_verify(int fd, const char *name, const atomic_bool *cancel, struct etcd_snapshot_file *ret,
                         struct error *err)
{
    struct snapshot_digest d;
    struct etcd_snapshot_file file = {.size = 0};
    int rc = digest_begin(&d, err);
    if (rc < 0)
        return rc;
    rc = read_all(fd, name, cancel, &d, err);
    if (rc == 0) {
        file.size = d.size;
        rc = digest_end(&d, file.sha256, err);
        if (rc < 0)
            rc = error_prefix(err, rc, "%s", name);
    }
    digest_clear(&d);
    if (rc == 0)
        *ret = file;
    return rc;
}
