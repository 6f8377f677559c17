/* What seal.c (records) and seal_box.c (bundles) share. */
#ifndef CRYPTO_SEAL_INTERNAL_H
#define CRYPTO_SEAL_INTERNAL_H

#include <crypto/seal.h>

#include "primitives.h"

#define SEAL_SCRYPT_N    (UINT64_C(1) << 15)
#define SEAL_SCRYPT_R    8
#define SEAL_SCRYPT_P    3
#define SEAL_SALT_SIZE   16
#define SEAL_NONCE_SIZE  12
#define SEAL_KEY_SIZE    32
#define SEAL_CACHE_SLOTS 8

/* A key that scrypt took its time for. */
struct box_key {
    struct secret *key; /* NULL: the slot is free */
    uint8_t salt[SEAL_SALT_SIZE];
    struct scrypt_params params;
    uint64_t used; /* value of seal.clock at the last use */
};

struct seal {
    struct secret *token;
    struct secret *mac_key;
    struct secret *box_root; /* boxes of version 2 have keys derived from it */
    char *cluster;
    struct box_key cache[SEAL_CACHE_SLOTS]; /* for boxes of version 1 */
    uint64_t clock;
};

#endif
