#include "session.h"

#include <errno.h>

#include <base/file.h>
#include <base/text.h>
#include <crypto/crypto.h>

#include "console.h"

#define TOKEN_FILE_MAX (SEAL_TOKEN_MAX + 64)

/* Names where the token came from, in the texts of the rooms below. */
static int name_token(struct config *c, const char *source, struct error *err)
{
    char *copy = strdup(source);
    if (!copy)
        return error_no_memory(err);
    free(c->token_file);
    c->token_file = copy;
    return 0;
}

/* K3s's place, where --data-dir names its folder and the file is there. */
static int use_data_dir(const struct args *args, struct config *c, struct error *err)
{
    char path[4096];
    if (!args->data_dir)
        return 0;
    if ((size_t)snprintf(path, sizeof(path), "%s/server/token", args->data_dir) >= sizeof(path))
        return error_set(err, ERR_INVALID, "--data-dir: longer than %zu bytes", sizeof(path));
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    return name_token(c, path, err);
}

static int open_store(const struct args *args, struct session *s, struct error *err)
{
    if (!args->token) {
        int rc = use_data_dir(args, s->config, err);
        return rc < 0 ? rc : store_open(s->config, &s->store, err);
    }
    say("warning: a token on the command line can be seen by others on this machine for a moment; token_file "
        "in %s "
        "is safer",
        s->config->path);
    int rc = name_token(s->config, "(--token)", err);
    return rc < 0 ? rc : store_open_with_token(s->config, args->token, &s->store, err);
}

int session_open(const struct args *args, struct session *ret, struct error *err)
{
    memset(ret, 0, sizeof(*ret));
    int rc = config_load(config_path(args->config), CONFIG_FOR_CLI, &ret->config, err);
    if (rc < 0)
        return rc;
    ret->snapshot = calloc(1, sizeof(*ret->snapshot));
    if (!ret->snapshot)
        return error_no_memory(err);
    rc = open_store(args, ret, err);
    if (rc == 0)
        rc = store_snapshot(ret->store, CONNECT_MS, ret->snapshot, err);
    if (rc == 0)
        status_use_config(ret->snapshot, ret->config);
    return rc;
}

void session_close(struct session *s)
{
    store_free(s->store);
    config_free(s->config);
    free(s->snapshot);
    memset(s, 0, sizeof(*s));
}

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

static int fill_keys(struct session *s, const struct secret *text, const char *what, struct key_table *ret,
                     struct error *err)
{
    const struct cluster_spec *spec = &s->snapshot->spec;
    const char *names[CLUSTER_RESOURCES_MAX];
    for (size_t i = 0; i < spec->resources_count; i++)
        names[i] = spec->resources[i];
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL;
    int rc = encryption_config_parse(text->data, text->len, what, &c, err);
    if (rc == 0)
        key_table_fill(c, (struct resource_set){names, spec->resources_count}, ret);
    return rc;
}

void session_keys(struct session *s, struct key_table *ret)
{
    _cleanup_(secret_freep) struct secret *file = NULL, *bundle = NULL;
    char hash[SHA256_HEX_SIZE];
    int64_t generation = 0;
    struct error err = ERROR_INIT;
    memset(ret, 0, sizeof(*ret));
    read_file(s->config, &file, hash);
    int rc = 0;
    switch (key_source_choose(s->snapshot, hash, &generation, ret->why)) {
    case KEY_SOURCE_BUNDLE:
        rc = store_bundle_open(s->store, generation, CONNECT_MS, NULL, &bundle, &err);
        if (rc == 0)
            rc = fill_keys(s, bundle, "the sealed config", ret, &err);
        break;
    case KEY_SOURCE_FILE:
        rc = fill_keys(s, file, s->config->encryption_config, ret, &err);
        break;
    case KEY_SOURCE_NONE:
        break;
    }
    if (rc < 0)
        text_copy(ret->why, sizeof(ret->why), err.text);
}

int session_show(const struct args *args,
                 int (*show)(struct session *s, enum output output, struct error *err))
{
    struct session s;
    struct error err = ERROR_INIT;
    int rc = session_open(args, &s, &err);
    if (rc == 0)
        rc = show(&s, args->output, &err);
    session_close(&s);
    if (rc < 0 && err.code)
        return fail(&err);
    return rc < 0 ? EXIT_ERROR : EXIT_DONE;
}
