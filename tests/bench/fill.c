/* Many Secrets at once: an API server takes minutes for what goes straight into the datastore in seconds. */
#include "bench.h"

#define FILL_BATCH 100

static int add(struct bench *b, struct envelope_codec *codec, struct etcd_txn *t, int64_t number,
               struct error *err)
{
    _cleanup_(buf_freep) struct buf plain = BUF_INIT(OBJECT_MAX), value = BUF_INIT(2 * OBJECT_MAX);
    struct object o;
    object_place(number, &o);
    int rc = object_plain(b, number, &plain, err);
    if (rc == 0)
        rc = envelope_codec_encrypt(codec, o.path, plain.data, plain.len, &value, err);
    if (rc == 0)
        etcd_txn_put(t, o.path, value.data, value.len, 0);
    return rc;
}

static int fill(struct bench *b, struct envelope_codec *codec, struct flight *f, struct error *err)
{
    int rc = 0;
    for (int64_t i = b->first; rc == 0 && i < b->first + b->count;) {
        struct etcd_txn *t = etcd_txn_new(b->datastore);
        int64_t n = 0;
        for (; rc == 0 && n < FILL_BATCH && i < b->first + b->count; n++)
            rc = add(b, codec, t, i++, err);
        if (rc == 0)
            rc = bench_flight_send(f, t, n, err);
        else
            etcd_txn_free(t);
    }
    return rc;
}

int bench_fill(struct bench *b, struct error *err)
{
    _cleanup_(envelope_codec_freep) struct envelope_codec *codec = NULL;
    struct flight *f = NULL;
    int64_t begun = mono_us(), done = 0;
    int rc = envelope_codec_new(b->encryption, "secrets", &codec, err);
    if (rc == 0)
        rc = bench_flight_new((size_t)b->window, &f, err);
    if (rc < 0)
        return rc;
    rc = fill(b, codec, f, err);
    int end = bench_flight_end(f, &done, err);
    if (rc < 0 || end < 0)
        return rc < 0 ? rc : end;
    print_rate(done, mono_us() - begun, "");
    return 0;
}
