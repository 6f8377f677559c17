/* What orders do to this server. Each function can be repeated; which comes when is decide.c's. */
#include <base/file.h>
#include <base/log.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>
#include <encryption/config.h>

#include "job.h"

#define LOCK_MS 2000

struct version apply_target(const struct agent *a)
{
    const struct cluster_order *o = &a->state.job.order;
    struct version v = {.generation = o->generation, .stage = o->stage};
    (void)text_copy(v.hash, sizeof(v.hash), o->hash);
    return v;
}

/* The text must be the order's, and an encryption config: checked before anything is touched. */
static int check_text(const struct cluster_order *o, const struct secret *text, struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL;
    char hash[SHA256_HEX_SIZE], what[64];
    int rc = crypto_sha256_hex(text->data, text->len, hash, err);
    if (rc < 0)
        return rc;
    if (strcmp(hash, o->hash) != 0)
        return error_set(err, ERR_INVALID, "generation %lld does not have the hash that order %lld names",
                         (long long)o->generation, (long long)o->id);
    snprintf(what, sizeof(what), "generation %lld", (long long)o->generation);
    return encryption_config_parse(text->data, text->len, what, &c, err);
}

int apply_fetch(struct agent *a, struct error *err)
{
    return apply_fetch_order(a, &a->state.job.order, err);
}

int apply_fetch_order(struct agent *a, const struct cluster_order *o, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    int rc = a->ops->fetch(a->ops->ctx, o->generation, &text, err);
    if (rc == 0)
        rc = check_text(o, text, err);
    if (rc < 0)
        return rc;
    secret_free(a->work.text);
    a->work.text = take(text);
    return 0;
}

static struct place place_of(const struct agent *a)
{
    return (struct place){a->config->encryption_config, &a->dir, &a->finder};
}

/* Is the present file worth putting back, should the API server not come up with the new one? What a repair
 * replaces is so only when it was issued, or the API server runs with it: a file that was edited and never
 * loaded must not become the one that it is started with. */
static bool worth_keeping(const struct agent *a, const struct cluster_order *o, const struct version *present)
{
    if (!a->seen.config_id[0])
        return false;
    return o->kind != ORDER_REPAIR || present->generation || strcmp(a->state.loaded.hash, present->hash) == 0;
}

int apply_write_locked(struct agent *a, const struct cluster_order *o, struct error *err)
{
    const struct place place = place_of(a);
    const struct version present = agent_present(a);
    struct version target = {.generation = o->generation, .stage = o->stage};
    (void)text_copy(target.hash, sizeof(target.hash), o->hash);
    if (o->kind == ORDER_REPAIR && !present.generation) {
        int rc = place_keep_copy(&place, &present, err);
        if (rc < 0)
            return rc;
    }
    return place_write(&place, &a->state, &present, worth_keeping(a, o, &present), &target, a->work.text,
                       err);
}

int apply_write(struct agent *a, struct error *err)
{
    const struct version target = apply_target(a);
    int rc = state_lock(&a->dir, LOCK_MS, err);
    if (rc < 0)
        return rc;
    (void)state_refresh(&a->dir, &a->state);
    rc = apply_write_locked(a, &a->state.job.order, err);
    state_unlock(&a->dir);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "file written", LOG_I("order", a->state.job.order.id),
                  LOG_I("generation", target.generation), LOG_S("hash", target.hash));
    return rc;
}

int apply_put_back(struct agent *a, struct error *err)
{
    const struct place place = place_of(a);
    int rc = state_lock(&a->dir, LOCK_MS, err);
    if (rc < 0)
        return rc;
    (void)state_refresh(&a->dir, &a->state);
    rc = place_back(&place, &a->state, err);
    state_unlock(&a->dir);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "previous file put back", LOG_I("order", a->state.job.order.id),
                  LOG_I("generation", a->state.file.written.generation));
    return rc;
}

static const char *wanted_hash(const struct agent *a)
{
    const struct job *j = &a->state.job;
    return j->step == STEP_BACK ? a->state.file.previous.hash : j->order.hash;
}

/* The file that the API server is about to read is the one that the order is about. */
static int check_file(struct agent *a, struct error *err)
{
    const char *want = wanted_hash(a);
    struct file_seen now;
    int rc = place_look(a->config->encryption_config, &now, err);
    if (rc < 0)
        return rc;
    if (want[0] && strcmp(now.hash, want) != 0)
        return error_set(err, ERR_CONFLICT, "%s was changed by somebody else right before the restart",
                         a->config->encryption_config);
    return 0;
}

/* A file that stands there is taken up without a restart. What is to be restarted as such is. */
bool apply_reloads(const struct agent *a)
{
    enum order_kind kind = a->state.job.order.kind;
    return strcmp(a->config->reload, "on") == 0 && kind != ORDER_RESTART && kind != ORDER_FOLLOW &&
           a->seen.process.count == PROCESS_ONE;
}

void apply_reloaded(struct agent *a)
{
    struct loaded *l = &a->state.loaded;
    const char *want = wanted_hash(a);
    if (!want[0] || strcmp(a->seen.file.hash, want) != 0 || !process_same(&l->process, &a->seen.process.id))
        return;
    (void)text_copy(l->hash, sizeof(l->hash), want);
    l->generation = agent_present(a).generation;
}

int apply_restart(struct agent *a, struct error *err)
{
    struct job *j = &a->state.job;
    int rc = j->order.kind == ORDER_FOLLOW ? 0 : check_file(a, err); /* it changes its file while it starts */
    bool reloads = apply_reloads(a);
    if (rc == 0 && reloads)
        rc = driver_reload(a->config, a->output, &a->work.command, err);
    else if (rc == 0)
        rc = driver_restart(a->driver, a->config, a->output, &a->work.command, err);
    if (rc < 0)
        return rc;
    a->state.restarts += !reloads;
    j->child = command_id(a->work.command);
    return 0;
}

static int adopt_check(const struct agent *a, const struct secret *text, char id[CLUSTER_HASH_MAX],
                       struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL;
    const struct resource_set managed = {(const char *const *)a->config->resources,
                                         a->config->resources_count};
    int rc = encryption_config_parse(text->data, text->len, a->config->encryption_config, &c, err);
    if (rc == 0)
        rc = encryption_check_managed(c, managed, err);
    return rc < 0 ? rc : encryption_config_id(c, id, err);
}

/* In the middle of a rotation of its own the server's keys are nobody's to take over. */
static int adopt_stage(const struct agent *a, enum stage *ret, struct error *err)
{
    *ret = STAGE_START;
    if (!a->driver->own)
        return 0;
    struct driver_own own;
    int rc = a->driver->own(a->config, &own, err);
    if (rc < 0)
        return rc;
    *ret = own.stage;
    if (own.stage == STAGE_START || own.stage == STAGE_REENCRYPT_FINISHED)
        return 0;
    return error_set(
        err, ERR_STATE,
        "this server is in the middle of a rotation (%s) that was begun without this program: let it "
        "finish by the way it was begun",
        stage_name(own.stage));
}

int apply_seal_text(struct agent *a, struct cluster_bundle *described, const struct secret *text,
                    struct error *err)
{
    struct cluster_bundle bundle = {0};
    int rc = a->ops->adopt(a->ops->ctx, described, text, &bundle, err);
    if (rc < 0)
        return rc;
    struct version v = {.generation = bundle.generation, .stage = bundle.stage};
    (void)text_copy(v.hash, sizeof(v.hash), described->hash);
    known_add(&a->known, &bundle);
    cluster_bundle_free(&bundle);
    (void)place_note(&a->state.file, &v);
    return 0;
}

int apply_adopt(struct agent *a, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct cluster_bundle described = {.generation = a->state.job.order.generation};
    int rc = adopt_stage(a, &described.stage, err);
    if (rc == 0)
        rc = file_read_secret(a->config->encryption_config, ENCRYPTION_CONFIG_MAX, &text, err);
    if (rc == 0)
        rc = crypto_sha256_hex(text->data, text->len, described.hash, err);
    if (rc == 0)
        rc = adopt_check(a, text, described.config_id, err);
    return rc < 0 ? rc : apply_seal_text(a, &described, text, err);
}

int apply_keep_copy(struct agent *a, struct error *err)
{
    const struct place place = place_of(a);
    const struct version present = agent_present(a);
    int rc = state_lock(&a->dir, LOCK_MS, err);
    if (rc < 0)
        return rc;
    rc = place_keep_copy(&place, &present, err);
    state_unlock(&a->dir);
    return rc;
}

void apply_forget(struct agent *a)
{
    const struct place place = place_of(a);
    place_forget(&place, &a->state);
}
