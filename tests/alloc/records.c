/* The shared state while memory runs out: signatures, sealed boxes, codecs, the snapshot, records on the
 * wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <api/records.h>
#include <base/text.h>
#include <cluster/snapshot.h>
#include <crypto/seal.h>
#include <store/audit.h>

#include "fail.h"
#include "internal.h"   /* lib/store: a store without an etcd */
#include "primitives.h" /* lib/crypto */

#define TOKEN "K10cafe::server:0123456789abcdef"
#define ROOT  "/secrets-encrypt/demo/"
#define BODY  "{\"a\":1}"
#define PLAIN "{\"kind\":\"EncryptionConfiguration\"}"

/* What stands in a state store while a rotation runs. */
static const struct snapshot_input inputs[] = {
#define IN(k, b)                                                                                             \
    {                                                                                                        \
        .key = ROOT k, .body = b, .len = sizeof(b) - 1, .create_revision = 5, .mod_revision = 7              \
    }
    IN("bundles/00000000000000000001",
       "{\"generation\":1,\"stage\":\"start\",\"vector\":\"azhz\",\"box\":{\"v\":2}}"),
    IN("escrow/aescbc-00", "{\"provider\":\"aescbc\",\"name\":\"a/"
                           "b\",\"generation\":4,\"retired_ms\":1,\"until_ms\":2,\"box\":{\"v\":2}}"),
    IN("keys", "{\"keys\":[{\"provider\":\"aescbc\",\"name\":\"k\",\"state\":\"active\",\"generation\":1}]}"),
    IN("leader/candidates/s2", "s2"),
    IN("leader/holder", "s1"),
    IN("lock", "{\"by\":\"root@s1\",\"why\":\"an upgrade\",\"at_ms\":5}"),
    IN("orders/s1", "{\"id\":3,\"kind\":\"apply\",\"generation\":1,\"operation\":\"o-1\"}"),
    IN("proofs",
       "{\"operation\":\"o-1\",\"proofs\":[{\"phase\":\"readable\",\"step\":3,\"state\":\"made\",\"method\":"
       "\"canary\",\"revision\":77,\"servers\":[{\"server\":\"s1\",\"state\":\"unmade\",\"time_ms\":5,"
       "\"why\":\"away\"}]}]}"),
    IN("reencrypt", "{\"operation\":\"o-1\",\"step\":3,\"state\":\"running\",\"done\":5,\"total\":9}"),
    IN("requests/r1", "{\"id\":\"r1\",\"operation\":\"rotate-keys\",\"by\":\"root@s1\"}"),
    IN("rotation",
       "{\"stage\":\"rotate\",\"generation\":1,\"base\":1,\"promoted\":true,\"op\":{\"id\":\"o-1\",\"kind\":"
       "\"abort\",\"state\":\"paused\",\"phase\":\"bring_back\",\"step\":12}}"),
    IN("schedule", "{\"next_ms\":1700000000123,\"when\":\"2027-02-26 02:13 UTC\",\"why\":\"every 90 days\"}"),
    IN("servers/s1/checks",
       "{\"time_ms\":5,\"checks\":[{\"name\":\"disk\",\"state\":\"ok\",\"text\":\"x\"}]}"),
    IN("servers/s1/hash", "start-00"),
    IN("servers/s1/report",
       "{\"server\":\"s1\",\"stage\":\"start\",\"order_state\":\"done\",\"hash\":\"00\"}"),
    IN("servers/s1/stage", "start"),
    IN("spec",
       "{\"servers\":[{\"name\":\"s1\",\"api\":\"https://a\"},{\"name\":\"s2\",\"api\":\"https://b\"}],"
       "\"resources\":[\"secrets\"]}"),
};

/* As many allocations, and less of the work that slows an attacker down. */
int __real_crypto_scrypt(const struct secret *password, struct bytes salt, const struct scrypt_params *params,
                         size_t len, struct secret **ret, struct error *err);
int __wrap_crypto_scrypt(const struct secret *password, struct bytes salt, const struct scrypt_params *params,
                         size_t len, struct secret **ret, struct error *err);

int __wrap_crypto_scrypt(const struct secret *password, struct bytes salt, const struct scrypt_params *params,
                         size_t len, struct secret **ret, struct error *err)
{
    struct scrypt_params cheap = *params;
    cheap.n = 16;
    return __real_crypto_scrypt(password, salt, &cheap, len, ret, err);
}

static struct secret *token, *plain;
static struct store store = {.cluster = "demo", .seal_lock = PTHREAD_MUTEX_INITIALIZER};
static struct buf signed_body = BUF_INIT(65536), box = BUF_INIT(65536);
static struct cluster_snapshot *snapshot;

static int seal_made(struct error *err)
{
    _cleanup_(seal_freep) struct seal *s = NULL;
    int rc = seal_new(token, "demo", &s, err);
    assert_true((rc == 0) == (s != NULL));
    return rc;
}

static int sign(struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    int rc = seal_sign(store.seal, ROOT "spec", BODY, strlen(BODY), &out, err);
    assert_string_equal(buf_str(&out), rc == 0 ? buf_str(&signed_body) : "");
    return rc;
}

static int verify(struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    int rc = seal_verify(store.seal, ROOT "spec", signed_body.data, signed_body.len, &out, err);
    assert_string_equal(buf_str(&out), rc == 0 ? BODY : "");
    return rc;
}

static int boxed(struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    int rc = seal_box(store.seal, ROOT "bundles/7", 7, plain, &out, err);
    assert_true(rc == 0 || out.len == 0);
    return rc;
}

static int unboxed(struct error *err)
{
    _cleanup_(secret_freep) struct secret *s = NULL;
    int rc = seal_unbox(store.seal, ROOT "bundles/7", 7, box.data, box.len, &s, err);
    assert_true(rc == 0 ? secret_equal(s, plain) : s == NULL);
    return rc;
}

/* Memory that is out must never look as though somebody had forged a record. */
static int never_denied(int rc)
{
    assert_int_not_equal(rc, ERR_DENIED);
    assert_int_not_equal(rc, ERR_INVALID);
    return rc;
}

static int verify_is_no_verdict(struct error *err)
{
    return never_denied(verify(err));
}

static int unbox_is_no_verdict(struct error *err)
{
    return never_denied(unboxed(err));
}

static int codec_report(struct error *err)
{
    static struct cluster_report r;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    const char *json = "{\"server\":\"s1\",\"stage\":\"start\",\"order_state\":\"done\",\"hash\":\"00\"}";
    int rc = cluster_report_decode(json, strlen(json), &r, err);
    return rc < 0 ? rc : cluster_report_encode(&r, &out, err);
}

static int codec_bundle(struct error *err)
{
    struct cluster_bundle b = {0};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    int rc = cluster_bundle_decode(inputs[0].body, inputs[0].len, &b, err);
    assert_true((rc == 0) == (b.box != NULL));
    if (rc == 0)
        rc = cluster_bundle_encode(&b, &out, err);
    cluster_bundle_free(&b);
    return rc;
}

static int codec_escrow(struct error *err)
{
    struct cluster_escrow e = {0};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    int rc = cluster_escrow_decode(inputs[1].body, inputs[1].len, &e, err);
    if (rc == 0)
        rc = cluster_escrow_encode(&e, &out, err);
    cluster_escrow_free(&e);
    return rc;
}

/* A record for which there was no memory is not taken for one that is bad or not there. */
static int build(struct error *err)
{
    int rc = snapshot_build("demo", 9, 1000, inputs, array_len(inputs), snapshot, err);
    assert_true(rc == 0
                    ? snapshot->servers[0].reports && snapshot->servers[0].has_order &&
                          snapshot->requests_count == 1 && snapshot->has_lock && snapshot->escrow_count == 1
                    : snapshot->servers_count == 0);
    return rc;
}

static int bundle_sealed(struct error *err)
{
    struct cluster_bundle b = {0};
    int rc = store_bundle_seal(&store, 7, STAGE_ROTATE, plain, "id", &b, err);
    assert_true((rc == 0) == (b.box != NULL));
    cluster_bundle_free(&b);
    return rc;
}

static int escrow_sealed(struct error *err)
{
    struct cluster_escrow e = {.generation = 7, .until_ms = 5};
    text_copy(e.provider, sizeof(e.provider), "aescbc");
    text_copy(e.name, sizeof(e.name), "k");
    int rc = store_escrow_seal(&store, plain, &e, err);
    cluster_escrow_free(&e);
    return rc;
}

static int record_put(struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(1024);
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store.etcd);
    int rc = buf_adds(&body, BODY, err);
    if (rc == 0)
        rc = store_txn_put(&store, txn, CLUSTER_KEY_SPEC, NULL, &body, 0, err);
    return rc;
}

static int travelling(struct error *err)
{
    struct records r = {0}, same = {0};
    struct record *one = NULL;
    Secretsencrypt__V1__Record **messages = NULL;
    int rc = record_new(&inputs[array_len(inputs) - 1], &one, err);
    if (rc == 0)
        rc = records_to_messages(&one, 1, "demo", &messages, err);
    if (rc == 0)
        rc = records_apply(&r, "demo", true, messages, 1, NULL, 0, err);
    assert_int_equal(r.count, rc == 0);
    if (rc == 0)
        rc = records_copy(&r, &same, err);
    if (rc == 0)
        rc = records_snapshot(&same, "demo", 9, 1000, snapshot, err);
    free(messages);
    record_unref(one);
    records_free(&r);
    records_free(&same);
    return rc;
}

static int make(void)
{
    struct error err = ERROR_INIT;
    token = secret_copy(TOKEN, strlen(TOKEN));
    plain = secret_copy(PLAIN, strlen(PLAIN));
    snapshot = calloc(1, sizeof(*snapshot));
    int rc = token && plain && snapshot ? seal_new(token, "demo", &store.seal, &err) : ERR_NO_MEMORY;
    if (rc == 0)
        rc = seal_sign(store.seal, ROOT "spec", BODY, strlen(BODY), &signed_body, &err);
    if (rc == 0)
        rc = seal_box(store.seal, ROOT "bundles/7", 7, plain, &box, &err);
    if (rc == 0)
        rc = build(&err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    return rc;
}

int main(void)
{
    static const struct alloc_case cases[] = {
        {"seal_new", seal_made, true},
        {"seal_sign", sign, true},
        {"seal_verify", verify_is_no_verdict, true},
        {"seal_box", boxed, true},
        {"seal_unbox", unbox_is_no_verdict, true},
        {"a report's codec", codec_report, false},
        {"a bundle's codec", codec_bundle, false},
        {"the codec of a key in escrow", codec_escrow, false},
        {"snapshot_build", build, false},
        {"store_bundle_seal", bundle_sealed, true},
        {"store_escrow_seal", escrow_sealed, true},
        {"store_txn_put", record_put, true},
        {"records on the wire", travelling, false},
    };
    alloc_install();
    int rc = make();
    if (rc == 0)
        rc = alloc_cases_main(cases, array_len(cases));
    seal_free(store.seal);
    secret_free(token);
    secret_free(plain);
    buf_free(&signed_body);
    buf_free(&box);
    free(snapshot);
    return rc != 0;
}
