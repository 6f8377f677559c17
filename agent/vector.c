/* Proof 1a: the keys that stand in the file are the ones that the generation is about. */
#include <agent/agent.h>

#include <inttypes.h>

#include <base/file.h>
#include <base/log.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>
#include <encryption/config.h>
#include <encryption/envelope.h>

#include "job.h"

static int open_vector(const struct agent *a, const struct encryption_config *c, const struct known_bundle *b,
                       struct error *err)
{
    _cleanup_(secret_freep) struct secret *stored = NULL;
    _cleanup_(secret_freep) struct secret *plain = NULL;
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_bundle_path(path, a->config->cluster, b->version.generation);
    int rc = crypto_base64_decode(b->vector, strlen(b->vector), &stored, err);
    if (rc == 0)
        rc = envelope_decrypt(c, a->config->resources[0], path, stored->data, stored->len, &plain, err);
    if (rc < 0)
        return rc;
    if (plain->len != strlen(CLUSTER_VECTOR_TEXT) ||
        memcmp(plain->data, CLUSTER_VECTOR_TEXT, plain->len) != 0)
        return error_set(err, ERR_DENIED, "it holds another text than the one that was agreed");
    return 0;
}

/* ERR_CONFLICT: the file is another one by now. */
static int read_config(const struct agent *a, struct encryption_config **ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    char hash[SHA256_HEX_SIZE];
    int rc = file_read_secret(a->config->encryption_config, ENCRYPTION_CONFIG_MAX, &text, err);
    if (rc == 0)
        rc = crypto_sha256_hex(text->data, text->len, hash, err);
    if (rc < 0)
        return rc;
    if (strcmp(hash, a->seen.file.hash) != 0)
        return error_set(err, ERR_CONFLICT, "%s has just changed", a->config->encryption_config);
    return encryption_config_parse(text->data, text->len, a->config->encryption_config, ret, err);
}

static void conclude(struct agent *a, const struct known_bundle *b, int rc, const struct error *err)
{
    (void)text_copy(a->vector.hash, sizeof(a->vector.hash), b->version.hash);
    a->vector.generation = b->version.generation;
    a->vector.opened = rc == 0;
    a->vector.why[0] = 0;
    if (rc == 0)
        return;
    agent_note(a->vector.why,
               "the keys in %.150s do not open the test vector of generation %" PRId64 ": %.200s",
               a->config->encryption_config, b->version.generation, err->text);
    log_event(LOG_LEVEL_ERROR, "test vector not opened", LOG_S("why", a->vector.why));
}

void agent_check_vector(struct agent *a)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL;
    struct error err = ERROR_INIT;
    const struct known_bundle *b = known_get(&a->known, agent_present(a).generation);
    if (!a->seen.file.hash[0] || !b || !b->vector[0] || strcmp(b->version.hash, a->seen.file.hash) != 0)
        return;
    if (a->vector.generation == b->version.generation && strcmp(a->vector.hash, b->version.hash) == 0)
        return;
    int rc = read_config(a, &c, &err);
    if (rc == ERR_CONFLICT || error_is_transient(rc))
        return; /* seen anew by the next look */
    if (rc == 0)
        rc = open_vector(a, c, b, &err);
    conclude(a, b, rc, &err);
}
