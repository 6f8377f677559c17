/* Any bytes as the body of a record (the first byte says of which): refused, or decoded into a value that is
 * encoded and decoded again without a change. And as all records of a state store at once. */
#include <string.h>

#include <base/cleanup.h>
#include <cluster/snapshot.h>

#include "fuzz.h"

#define JSON_MAX (16 * 1024 * 1024)

/* Records without owned memory are compared as bytes: decoders begin with zeroes. */
#define HARNESS_FOR(name, same)                                                                              \
    static void as_##name(const char *json, size_t len)                                                      \
    {                                                                                                        \
        static struct fuzz_room rooms[2];                                                                    \
        struct cluster_##name *a = fuzz_zeroes(&rooms[0], sizeof(*a));                                       \
        struct cluster_##name *b = fuzz_zeroes(&rooms[1], sizeof(*b));                                       \
        struct buf out = BUF_INIT(JSON_MAX);                                                                 \
        struct error err = ERROR_INIT;                                                                       \
        int rc = cluster_##name##_decode(json, len, a, &err);                                                \
        MUST(rc == 0 || rc == err.code);                                                                     \
        if (rc == 0) {                                                                                       \
            MUST(cluster_##name##_encode(a, &out, &err) == 0);                                               \
            MUST(cluster_##name##_decode(buf_str(&out), out.len, b, &err) == 0);                             \
            MUST(same);                                                                                      \
        }                                                                                                    \
        buf_free(&out);                                                                                      \
    }
#define HARNESS(name) HARNESS_FOR(name, memcmp(a, b, sizeof(*a)) == 0)

/* Of the four megabytes only as many proofs as there are. */
static bool same_proofs(const struct cluster_proofs *a, const struct cluster_proofs *b)
{
    return a->proofs_count == b->proofs_count && a->proofs_count <= CLUSTER_PROOFS_MAX &&
           memcmp(a, b, offsetof(struct cluster_proofs, proofs) + a->proofs_count * sizeof(a->proofs[0])) ==
               0;
}

HARNESS_FOR(proofs, same_proofs(a, b))
HARNESS(keys)
HARNESS(rotation)
HARNESS(report)
HARNESS(order)
HARNESS(spec)
HARNESS(reencrypt)
HARNESS(request)
HARNESS(checks)
HARNESS(schedule)
HARNESS(drift)
HARNESS(lock)
HARNESS(apis)

/* Those with a box: the boxes are compared as texts. */
#define HARNESS_WITH_BOX(name)                                                                               \
    static void as_##name(const char *json, size_t len)                                                      \
    {                                                                                                        \
        struct cluster_##name a = {0}, b = {0};                                                              \
        struct buf out = BUF_INIT(JSON_MAX);                                                                 \
        struct error err = ERROR_INIT;                                                                       \
        int rc = cluster_##name##_decode(json, len, &a, &err);                                               \
        MUST(rc == 0 ? a.box != NULL : rc == err.code && a.box == NULL);                                     \
        if (rc == 0) {                                                                                       \
            MUST(cluster_##name##_encode(&a, &out, &err) == 0);                                              \
            MUST(cluster_##name##_decode(buf_str(&out), out.len, &b, &err) == 0);                            \
            MUST(a.generation == b.generation && a.box_len == b.box_len);                                    \
            MUST(memcmp(a.box, b.box, a.box_len) == 0);                                                      \
        }                                                                                                    \
        buf_free(&out);                                                                                      \
        cluster_##name##_free(&a);                                                                           \
        cluster_##name##_free(&b);                                                                           \
    }

HARNESS_WITH_BOX(escrow)
HARNESS_WITH_BOX(bundle)

static const struct {
    const char *key;
    void (*run)(const char *json, size_t len);
} records[] = {
    {"/secrets-encrypt/demo/proofs", as_proofs},
    {"/secrets-encrypt/demo/keys", as_keys},
    {"/secrets-encrypt/demo/escrow/aescbc-00", as_escrow},
    {"/secrets-encrypt/demo/rotation", as_rotation},
    {"/secrets-encrypt/demo/servers/s1/report", as_report},
    {"/secrets-encrypt/demo/orders/s1", as_order},
    {"/secrets-encrypt/demo/spec", as_spec},
    {"/secrets-encrypt/demo/reencrypt", as_reencrypt},
    {"/secrets-encrypt/demo/requests/r", as_request},
    {"/secrets-encrypt/demo/bundles/00000000000000000001", as_bundle},
    {"/secrets-encrypt/demo/servers/s1/checks", as_checks},
    {"/secrets-encrypt/demo/schedule", as_schedule},
    {"/secrets-encrypt/demo/drift", as_drift},
    {"/secrets-encrypt/demo/lock", as_lock},
    {"/secrets-encrypt/demo/apis", as_apis},
};

static void as_store(const char *json, size_t len)
{
    struct snapshot_input inputs[array_len(records)];
    static struct fuzz_room room;
    struct cluster_snapshot *s = fuzz_zeroes(&room, sizeof(*s));
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < array_len(records); i++)
        inputs[i] = (struct snapshot_input){.key = records[i].key, .body = json, .len = len};
    int rc = snapshot_build("demo", 1, 1, inputs, array_len(records), s, &err);
    MUST(rc == 0 || (rc == err.code && strncmp(err.text, "/secrets-encrypt/demo/", 22) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *json = (const char *)data + 1;
    size_t which = data[0] - (size_t)'a';
    if (which < array_len(records))
        records[which].run(json, size - 1);
    else
        as_store(json, size - 1);
    return 0;
}
