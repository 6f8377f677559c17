/* What the datastore takes at most: the guarded transactions of a re-encryption, made ready beforehand and
 * sent in a bare loop, with the same window and the same number of values in each. */
#include "bench.h"

#include <inttypes.h>

#define PAGE_MS 20000

struct ready {
    char *key;
    int64_t mod;
    uint8_t *value;
    size_t len;
};
struct readies {
    struct ready *all;
    size_t count, cap;
};

static void readies_free(struct readies *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->all[i].key);
        free(r->all[i].value);
    }
    free(r->all);
}

static int room_for_one(struct readies *r, struct error *err)
{
    if (r->count < r->cap)
        return 0;
    size_t cap = r->cap ? 2 * r->cap : 4096;
    struct ready *all = realloc(r->all, cap * sizeof(*all));
    if (!all)
        return error_no_memory(err);
    r->all = all;
    r->cap = cap;
    return 0;
}

static int make_ready(struct envelope_codec *codec, const struct etcd_kv *kv, struct readies *r,
                      struct error *err)
{
    _cleanup_(secret_freep) struct secret *plain = NULL;
    struct buf value = BUF_INIT(2 * OBJECT_MAX);
    int rc = envelope_codec_decrypt(codec, kv->key, kv->value, kv->value_len, &plain, err);
    if (rc == 0)
        rc = envelope_codec_encrypt(codec, kv->key, plain->data, plain->len, &value, err);
    if (rc == 0)
        rc = room_for_one(r, err);
    char *key = rc == 0 ? strdup(kv->key) : NULL;
    if (!key) {
        buf_free(&value);
        return rc < 0 ? rc : error_no_memory(err);
    }
    r->all[r->count++] = (struct ready){key, kv->mod_revision, (uint8_t *)value.data, value.len};
    return 0;
}

static int read_all(struct bench *b, struct readies *r, struct error *err)
{
    struct etcd_pager_options options = {
        .prefix = OBJECT_PREFIX "team-", .page = b->page, .deadline_ms = PAGE_MS, .tries = 3};
    _cleanup_(etcd_pager_freep) struct etcd_pager *pager = NULL;
    _cleanup_(envelope_codec_freep) struct envelope_codec *codec = NULL;
    int rc = envelope_codec_new(b->encryption, "secrets", &codec, err);
    if (rc == 0)
        rc = etcd_pager_new(b->datastore, &options, &pager, err);
    size_t n = 1;
    while (rc == 0 && n > 0) {
        struct etcd_range page = {0};
        rc = etcd_pager_next(pager, &page, err);
        n = rc == 0 ? page.count : 0;
        for (size_t i = 0; rc == 0 && i < n; i++)
            rc = make_ready(codec, &page.kvs[i], r, err);
        if (n > 0)
            etcd_range_free(&page);
    }
    return rc;
}

static int send_all(struct bench *b, const struct readies *r, struct flight *f, struct error *err)
{
    size_t batch = b->batch > 0 ? (size_t)b->batch : 1;
    for (size_t i = 0; i < r->count;) {
        struct etcd_txn *t = etcd_txn_new(b->datastore);
        size_t n = 0;
        for (; n < batch && i < r->count; n++, i++) {
            etcd_txn_if_mod(t, r->all[i].key, r->all[i].mod);
            etcd_txn_put(t, r->all[i].key, r->all[i].value, r->all[i].len, 0);
        }
        int rc = bench_flight_send(f, t, (int64_t)n, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int bench_txns(struct bench *b, struct error *err)
{
    struct readies r = {0};
    struct flight *f = NULL;
    int64_t done = 0;
    int rc = read_all(b, &r, err);
    if (rc == 0)
        rc = bench_flight_new((size_t)b->window, &f, err);
    if (rc == 0) {
        int64_t begun = mono_us();
        rc = send_all(b, &r, f, err);
        int end = bench_flight_end(f, &done, err);
        rc = rc < 0 ? rc : end;
        if (rc == 0)
            print_rate(done, mono_us() - begun, "");
    }
    readies_free(&r);
    return rc;
}
