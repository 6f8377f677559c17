/* What this room's readers of certificates share. */
#ifndef CRYPTO_X509_H
#define CRYPTO_X509_H

#include <stdbool.h>
#include <stdint.h>

#include <base/cleanup.h>
#include <crypto/certificate.h>
#include <crypto/tls.h>

DEFINE_CLEANUP(BIO *, BIO_free_all);
DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

/* For OpenSSL, which asks at the terminal for a pass phrase where it is given no answer. */
int pem_no_pass_phrase(char *buffer, int size, int writing, void *arg);

/* Milliseconds since 1970; 0 for a time that cannot be read. */
int64_t x509_time_ms(const ASN1_TIME *t);

/* The subject, printable. False: it is longer than that, and was cut. */
bool x509_subject(const X509 *x, char out[CERTIFICATE_NAME_MAX]);

/* Who a certificate is for. ERR_DENIED, with the reason, for one whose names cannot be told apart safely. */
int x509_peer(X509 *x, struct tls_peer *ret, struct error *err) _must_check_;

#endif
