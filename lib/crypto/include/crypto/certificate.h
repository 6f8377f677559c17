/* Certificates in PEM, as far as somebody who logs in with one has to know them beforehand. */
#ifndef CRYPTO_CERTIFICATE_H
#define CRYPTO_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/error.h>
#include <base/secret.h>

#define CERTIFICATE_NAME_MAX 256
#define CERTIFICATE_FILE_MAX (1024 * 1024)

struct certificate {
    char subject[CERTIFICATE_NAME_MAX]; /* "O=system:masters, CN=admin", printable */
    int64_t from_ms, until_ms;          /* wall clock: valid between these */
    bool is_ca;
};

/* Reads the first certificate of a PEM text; `what` names it in errors. ERR_INVALID: there is none, or it is
 * damaged. */
int certificate_read(const void *pem, size_t len, const char *what, struct certificate *ret,
                     struct error *err) _must_check_;

/* The same for every certificate in a bundle of CAs: *ret is the one that ends first. ERR_INVALID when there
 * is none. */
int certificate_read_first_to_end(const void *pem, size_t len, const char *what, struct certificate *ret,
                                  struct error *err) _must_check_;

/* Does the private key (PEM, without a pass phrase) belong to the text's first certificate? ERR_DENIED when
 * not; ERR_INVALID when the key cannot be read. */
int certificate_check_key(const void *pem, size_t len, const struct secret *key, const char *what,
                          struct error *err) _must_check_;

#endif
