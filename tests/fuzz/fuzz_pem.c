/* Any bytes as a PEM file: a certificate, a bundle of CAs, a private key. Nothing of the file stands in what
 * is said about it, and a bundle's first certificate to end is none that ends after its first one. */
#include <string.h>

#include <crypto/certificate.h>

#include "fuzz.h"
#include "internal.h"

static void must_refuse(int rc, const struct error *err)
{
    MUST(rc == ERR_INVALID && err->code == rc && strncmp(err->text, "the file", 8) == 0);
    MUST(!strchr(err->text, '\n'));
}

static void must_be_whole(const struct certificate *c)
{
    MUST(memchr(c->subject, 0, sizeof(c->subject)));
    for (const char *s = c->subject; *s; s++)
        MUST((unsigned char)*s >= ' ' && *s != 0x7f);
}

static void as_certificates(const char *pem, size_t len)
{
    struct certificate one, first;
    struct error err = ERROR_INIT, err2 = ERROR_INIT;
    int rc = certificate_read(pem, len, "the file", &one, &err);
    int rc2 = certificate_read_first_to_end(pem, len, "the file", &first, &err2);
    MUST(rc == rc2);
    if (rc < 0) {
        must_refuse(rc, &err);
        must_refuse(rc2, &err2);
        return;
    }
    must_be_whole(&one);
    must_be_whole(&first);
    MUST(first.until_ms <= one.until_ms);
}

/* The key of any file against its own first certificate. */
static void as_key(const char *pem, size_t len)
{
    struct error err = ERROR_INIT;
    _cleanup_(secret_freep) struct secret *key = secret_copy(pem, len);
    if (!key)
        return;
    int rc = certificate_check_key(pem, len, key, "the file", &err);
    MUST(rc == 0 || rc == ERR_DENIED || rc == ERR_INVALID);
    MUST(rc == 0 || (err.code == rc && strncmp(err.text, "the file", 8) == 0 && !strchr(err.text, '\n')));
}

static void as_blocks(const char *pem)
{
    static const char *const labels[] = {"CERTIFICATE", "PRIVATE KEY"};
    for (size_t i = 0; i < array_len(labels); i++) {
        struct error err = ERROR_INIT;
        char begin[32];
        int rc = pem_check(pem, labels[i], "the file", &err);
        if (rc < 0)
            must_refuse(rc, &err);
        snprintf(begin, sizeof(begin), "%s-----", labels[i]);
        const char *at = strstr(pem, begin);
        MUST(rc < 0 || (at && strstr(at + 1, begin))); /* a beginning and an end */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *pem = calloc(size + 1, 1);
    MUST(pem);
    if (size > 0)
        memcpy(pem, data, size);
    as_certificates(pem, size);
    as_key(pem, size);
    as_blocks(pem);
    free(pem);
    return 0;
}
