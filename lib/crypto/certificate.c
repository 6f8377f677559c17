#include <crypto/certificate.h>

#include <base/cleanup.h>
#include <base/text.h>

#include "openssl.h"
#include "x509.h"

#define BUNDLE_MAX 1000 /* certificates of one file that are looked at */

static BIO *open_text(const void *pem, size_t len)
{
    return len <= CERTIFICATE_FILE_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
}

int pem_no_pass_phrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return 0;
}

int64_t x509_time_ms(const ASN1_TIME *t)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

bool x509_subject(const X509 *x, char out[CERTIFICATE_NAME_MAX])
{
    _cleanup_(BIO_free_allp) BIO *b = BIO_new(BIO_s_mem());
    char *data = NULL;
    out[0] = 0;
    if (!b || X509_NAME_print_ex(b, X509_get_subject_name(x), 0,
                                 XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ & ~ASN1_STRFLGS_ESC_MSB) < 0)
        return false;
    long len = BIO_get_mem_data(b, &data);
    return len <= 0 || snprintf(out, CERTIFICATE_NAME_MAX, "%.*s", (int)len, data) < CERTIFICATE_NAME_MAX;
}

static void fill(X509 *x, struct certificate *ret)
{
    memset(ret, 0, sizeof(*ret));
    (void)x509_subject(x, ret->subject); /* for people: may be cut */
    ret->from_ms = x509_time_ms(X509_get0_notBefore(x));
    ret->until_ms = x509_time_ms(X509_get0_notAfter(x));
    ret->is_ca = X509_check_ca(x) != 0;
    openssl_forget();
}

static int none(const char *what, struct error *err)
{
    openssl_forget();
    return error_set(err, ERR_INVALID, "%s: holds no certificate in PEM form", what);
}

int certificate_read(const void *pem, size_t len, const char *what, struct certificate *ret,
                     struct error *err)
{
    _cleanup_(BIO_free_allp) BIO *b = open_text(pem, len);
    _cleanup_(X509_freep) X509 *x = b ? PEM_read_bio_X509(b, NULL, pem_no_pass_phrase, NULL) : NULL;
    if (!x)
        return none(what, err);
    fill(x, ret);
    return 0;
}

int certificate_read_first_to_end(const void *pem, size_t len, const char *what, struct certificate *ret,
                                  struct error *err)
{
    _cleanup_(BIO_free_allp) BIO *b = open_text(pem, len);
    int count = 0;
    for (; b && count < BUNDLE_MAX; count++) {
        struct certificate c;
        _cleanup_(X509_freep) X509 *x = PEM_read_bio_X509(b, NULL, pem_no_pass_phrase, NULL);
        if (!x)
            break;
        fill(x, &c);
        if (count == 0 || c.until_ms < ret->until_ms)
            *ret = c;
    }
    openssl_forget();
    return count > 0 ? 0 : none(what, err);
}

int certificate_check_key(const void *pem, size_t len, const struct secret *key, const char *what,
                          struct error *err)
{
    _cleanup_(BIO_free_allp) BIO *b = open_text(pem, len);
    _cleanup_(BIO_free_allp) BIO *k = open_text(key->data, key->len);
    _cleanup_(X509_freep) X509 *x = b ? PEM_read_bio_X509(b, NULL, pem_no_pass_phrase, NULL) : NULL;
    if (!x)
        return none(what, err);
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *p =
        k ? PEM_read_bio_PrivateKey(k, NULL, pem_no_pass_phrase, NULL) : NULL;
    bool fits = p && X509_check_private_key(x, p) == 1;
    openssl_forget();
    if (!p)
        return error_set(err, ERR_INVALID,
                         "%s: its private key cannot be read (damaged, or with a pass phrase)", what);
    return fits ? 0 : error_set(err, ERR_DENIED, "%s: the private key belongs to another certificate", what);
}
