/* Included before everything else: OpenSSL's own headers use names that this project's headers take. */
#ifndef TESTS_BENCH_EARLY_H
#define TESTS_BENCH_EARLY_H

#include <openssl/evp.h>

#endif
