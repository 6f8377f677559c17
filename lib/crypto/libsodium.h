/* libsodium's one-time start. */
#ifndef CRYPTO_LIBSODIUM_H
#define CRYPTO_LIBSODIUM_H

#include <base/error.h>

/* Every function that calls libsodium calls this first. */
int sodium_ready(struct error *err) _must_check_;

#endif
