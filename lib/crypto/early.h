/* Included before everything else: OpenSSL's own headers use names that this project's headers take (rand is
 * poisoned by banned.h, ERR_STATE is one of base's error codes). */
#ifndef CRYPTO_EARLY_H
#define CRYPTO_EARLY_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#endif
