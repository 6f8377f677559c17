#include "model.h"

static const struct row {
    const char *name;
    const char *display;
    bool has_keys;
    bool short_keys; /* 16 and 24 bytes besides 32 */
    enum cipher cipher;
} rows[] = {
    [PROVIDER_IDENTITY] = {"identity", "", false, false, 0},
    [PROVIDER_AESCBC] = {"aescbc", "AES-CBC", true, true, CIPHER_AESCBC},
    [PROVIDER_AESGCM] = {"aesgcm", "AES-GCM", true, true, CIPHER_AESGCM},
    [PROVIDER_SECRETBOX] = {"secretbox", "XSalsa20-POLY1305", true, false, CIPHER_SECRETBOX},
    [PROVIDER_KMS] = {"kms", "KMS", false, false, 0},
};

const char *provider_name(enum provider p)
{
    return rows[p].name;
}

const char *provider_display(enum provider p)
{
    return rows[p].display;
}

int provider_parse(const char *name, enum provider *ret, struct error *err)
{
    for (size_t i = 0; i < array_len(rows); i++)
        if (strcmp(name, rows[i].name) == 0) {
            *ret = (enum provider)i;
            return 0;
        }
    return error_set(err, ERR_INVALID,
                     "unknown provider; known are identity, aescbc, aesgcm, secretbox and kms");
}

bool provider_cipher(enum provider p, enum cipher *ret)
{
    if (rows[p].has_keys)
        *ret = rows[p].cipher;
    return rows[p].has_keys;
}

bool provider_takes(enum provider p, size_t key_len)
{
    return rows[p].has_keys && (key_len == 32 || (rows[p].short_keys && (key_len == 16 || key_len == 24)));
}

const char *provider_key_sizes(enum provider p)
{
    return rows[p].short_keys ? "16, 24 or 32" : "32";
}
