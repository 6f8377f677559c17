/* Any bytes as a config file. What is taken must come out again as the same config, and every operation on it
 * must keep its word. */
#include <encryption/config.h>
#include <encryption/envelope.h>
#include <string.h>

#include "fuzz.h"

static const char *const names[] = {"secrets", "configmaps"};
static const struct resource_set managed = {names, 2};

static void must_read_back(const struct encryption_config *c)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct encryption_config *again = NULL;
    struct error err = ERROR_INIT;
    char a[65], b[65];
    MUST(encryption_config_emit(c, &text, &err) == 0);
    /* Escapes make text longer: what was taken just below the limit may be just above it afterwards. */
    if (text->len > ENCRYPTION_CONFIG_MAX)
        return;
    MUST(encryption_config_parse(text->data, text->len, "emitted", &again, &err) == 0);
    MUST(encryption_config_id(c, a, &err) == 0 && encryption_config_id(again, b, &err) == 0);
    MUST(strcmp(a, b) == 0);
    encryption_config_free(again);
}

static void must_rotate(const struct encryption_config *c)
{
    struct encryption_config *more = NULL, *first = NULL, *less = NULL;
    struct error err = ERROR_INIT;
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    _cleanup_(secret_freep) struct secret *key = secret_copy("0123456789abcdef0123456789abcdef", 32);
    size_t n = encryption_keys(c, managed, keys, ENCRYPTION_KEYS_MAX);
    MUST(n <= ENCRYPTION_KEYS_MAX);
    if (encryption_append_key(c, managed, PROVIDER_AESGCM, "fuzz-2021-12-10T22:54:38Z", key, &more, &err) < 0)
        return;
    MUST(encryption_can_read(more, managed, PROVIDER_AESGCM, "fuzz-2021-12-10T22:54:38Z"));
    MUST(!encryption_writes_with(more, managed, PROVIDER_AESGCM, "fuzz-2021-12-10T22:54:38Z"));
    MUST(encryption_check_managed(more, managed, &err) == 0);
    for (size_t i = 0; i < n; i++)
        MUST(keys[i].partial || encryption_can_read(more, managed, keys[i].provider, keys[i].name));
    MUST(encryption_promote_key(more, managed, PROVIDER_AESGCM, "fuzz-2021-12-10T22:54:38Z", &first, &err) ==
         0);
    MUST(encryption_writes_with(first, managed, PROVIDER_AESGCM, "fuzz-2021-12-10T22:54:38Z"));
    MUST(encryption_drop_key(first, managed, PROVIDER_AESGCM, "fuzz-2021-12-10T22:54:38Z", &less, &err) ==
         ERR_STATE);
    for (size_t i = 0; i < n; i++) {
        MUST(keys[i].partial || encryption_can_read(first, managed, keys[i].provider, keys[i].name));
        MUST(encryption_drop_key(first, managed, keys[i].provider, keys[i].name, &less, &err) == 0);
        MUST(!encryption_can_read(less, managed, keys[i].provider, keys[i].name));
        encryption_config_free(take(less));
    }
    must_read_back(first);
    encryption_config_free(more);
    encryption_config_free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct encryption_config *c = NULL;
    struct error err = ERROR_INIT;
    int rc = encryption_config_parse(data, size, "fuzz", &c, &err);
    if (rc < 0) {
        MUST(rc == ERR_INVALID || rc == ERR_TOO_LARGE);
        MUST(err.code == rc && strncmp(err.text, "fuzz: ", 6) == 0);
        return 0;
    }
    must_read_back(c);
    if (encryption_check_managed(c, managed, &err) == 0)
        must_rotate(c);
    encryption_config_free(c);
    return 0;
}
