/* Any bytes from the state store as a record and as a bundle; and as a body that is signed, and then must not
 * verify when one byte of the record is another. */
#include <crypto/seal.h>
#include <json/json.h>
#include <string.h>

#include "fuzz.h"

#define KEY "/secrets-encrypt/prod/orders/s1"

static struct seal *sealer(void)
{
    static struct seal *s;
    struct error err = ERROR_INIT;
    if (!s) {
        struct secret *token = secret_copy("K10cafe::server:0123456789abcdef", 32);
        MUST(seal_new(token, "prod", &s, &err) == 0);
        secret_free(token);
    }
    return s;
}

/* The only record that verifies without being ours would be a forgery. */
static void as_record(const uint8_t *data, size_t size)
{
    static const char golden[] =
        "{\"mac\":\"5819b1ad4a094fb0280c42a283b8a15a1e30dafb10ba4b315034da33d25356f7\",\"body\":{\"a\":1}}";
    struct buf body = BUF_INIT(1024 * 1024);
    struct error err = ERROR_INIT;
    int rc = seal_verify(sealer(), KEY, data, size, &body, &err);
    bool ours = size == strlen(golden) && memcmp(data, golden, size) == 0;
    MUST(rc == (ours ? 0 : ERR_DENIED));
    buf_free(&body);
}

static void as_body(const uint8_t *data, size_t size)
{
    struct buf record = BUF_INIT(1024 * 1024), body = BUF_INIT(1024 * 1024);
    struct error err = ERROR_INIT;
    if (seal_sign(sealer(), KEY, (const char *)data, size, &record, &err) == 0) {
        MUST(seal_verify(sealer(), KEY, record.data, record.len, &body, &err) == 0);
        MUST(body.len == size && memcmp(body.data, data, size) == 0);
        record.data[size * 31 % record.len] ^= 1;
        MUST(seal_verify(sealer(), KEY, record.data, record.len, &body, &err) == ERR_DENIED);
    }
    buf_free(&record);
    buf_free(&body);
}

/* Bundles whose parameters are good cost a third of a second each, so only others are tried: they must be
 * refused before any work. */
static void as_bundle(const uint8_t *data, size_t size)
{
    struct secret *plain = NULL;
    struct json *j = NULL;
    struct error err = ERROR_INIT;
    if (json_parse((const char *)data, size, "fuzz", &j, NULL) == 0 && json_count(j) == 8 &&
        json_string(json_get(j, "salt"), NULL) && json_int(json_get(j, "p"), 0) >= 3) {
        json_free(j);
        return;
    }
    json_free(j);
    int rc = seal_unbox(sealer(), KEY, 7, (const char *)data, size, &plain, &err);
    MUST(rc == ERR_DENIED || rc == ERR_INVALID);
    MUST(strncmp(err.text, KEY, strlen(KEY)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_record(data, size);
    as_body(data, size);
    as_bundle(data, size);
    return 0;
}
