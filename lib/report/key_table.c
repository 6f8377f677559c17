#include <report/key_table.h>

#include <base/file.h>
#include <base/text.h>
#include <crypto/crypto.h>

/* This machine's encryption config, and its hash; NULL and "" when it has none that it can read. */
static void read_file(const struct config *c, struct secret **ret, char hash[SHA256_HEX_SIZE])
{
    hash[0] = 0;
    if (!*c->encryption_config ||
        file_read_secret(c->encryption_config, ENCRYPTION_CONFIG_MAX, ret, NULL) < 0)
        return;
    if (crypto_sha256_hex((*ret)->data, (*ret)->len, hash, NULL) < 0)
        hash[0] = 0;
}

static int fill(const struct cluster_snapshot *s, const struct secret *text, const char *what,
                struct key_table *ret, struct error *err)
{
    const struct cluster_spec *spec = &s->spec;
    const char *names[CLUSTER_RESOURCES_MAX];
    for (size_t i = 0; i < spec->resources_count; i++)
        names[i] = spec->resources[i];
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL;
    int rc = encryption_config_parse(text->data, text->len, what, &c, err);
    if (rc == 0)
        key_table_fill(c, (struct resource_set){names, spec->resources_count}, ret);
    return rc;
}

void key_table_read(const struct config *config, struct store *store, const struct cluster_snapshot *s,
                    int deadline_ms, struct key_table *ret, int64_t *ret_generation)
{
    _cleanup_(secret_freep) struct secret *file = NULL, *bundle = NULL;
    char hash[SHA256_HEX_SIZE];
    int64_t generation = 0;
    struct error err = ERROR_INIT;
    memset(ret, 0, sizeof(*ret));
    read_file(config, &file, hash);
    int rc = 0;
    switch (key_source_choose(s, hash, &generation, ret->why)) {
    case KEY_SOURCE_BUNDLE:
        rc = store_bundle_open(store, generation, deadline_ms, NULL, &bundle, &err);
        if (rc == 0)
            rc = fill(s, bundle, "the sealed config", ret, &err);
        break;
    case KEY_SOURCE_FILE:
        generation = 0;
        rc = fill(s, file, config->encryption_config, ret, &err);
        break;
    case KEY_SOURCE_NONE:
        generation = 0;
        break;
    }
    if (rc < 0)
        text_copy(ret->why, sizeof(ret->why), err.text);
    if (ret_generation)
        *ret_generation = rc == 0 ? generation : 0;
}
