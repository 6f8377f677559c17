/* Any bytes as a stored value, read with and without known names, and decrypted. */
#include <encryption/envelope.h>
#include <string.h>

#include "fuzz.h"

#define KEY_A "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
#define KEY_B "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="

/* Values are written under "w". Under "k" one in 65,536 would read as such under "k:1", since its random
 * first bytes are "1:"; that is why encryption_check_managed refuses such names. */
static const char config[] =
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":[{"
    "\"resources\":[\"secrets\"],\"providers\":["
    "{\"aescbc\":{\"keys\":[{\"name\":\"w\",\"secret\":\"" KEY_A "\"},"
    "{\"name\":\"k\",\"secret\":\"" KEY_A "\"},{\"name\":\"k:1\",\"secret\":\"" KEY_B "\"}]}},"
    "{\"aesgcm\":{\"keys\":[{\"name\":\"g\",\"secret\":\"" KEY_A "\"}]}},"
    "{\"secretbox\":{\"keys\":[{\"name\":\"s\",\"secret\":\"" KEY_A "\"}]}},{\"identity\":{}}]}]}";

static const char *const names[] = {"secrets"};
static const struct resource_set managed = {names, 1};

static void must_lie_inside(const struct envelope *e, const uint8_t *data, size_t size)
{
    MUST(e->body >= data && e->body + e->body_len == data + size);
    if (e->provider == PROVIDER_IDENTITY)
        MUST(!e->key_name && e->body == data);
    else
        MUST((const uint8_t *)e->key_name > data &&
             (const uint8_t *)e->key_name + e->key_name_len + 1 == e->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct encryption_config *c;
    struct key_view views[8];
    struct envelope e;
    struct secret *plain = NULL;
    struct error err = ERROR_INIT;
    if (!c)
        MUST(encryption_config_parse(config, strlen(config), "fuzz", &c, &err) == 0);
    size_t n = encryption_keys(c, managed, views, 8);
    if (envelope_read(data, size, NULL, 0, &e, &err) == 0)
        must_lie_inside(&e, data, size);
    if (envelope_read(data, size, views, n, &e, &err) == 0)
        must_lie_inside(&e, data, size);
    if (envelope_decrypt(c, "secrets", "/registry/secrets/a/b", data, size, &plain, &err) == 0) {
        MUST(plain->len <= size);
        secret_free(plain);
    }
    /* and the bytes as an object: encrypted and decrypted they come back */
    struct buf out = BUF_INIT(1024 * 1024);
    if (envelope_encrypt(c, "secrets", "/registry/secrets/a/b", data, size, &out, &err) == 0) {
        MUST(envelope_decrypt(c, "secrets", "/registry/secrets/a/b", out.data, out.len, &plain, &err) == 0);
        MUST(plain->len == size && memcmp(plain->data, data, size) == 0);
        secret_free(plain);
    }
    buf_free(&out);
    return 0;
}
