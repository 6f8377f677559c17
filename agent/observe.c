/* What is seen of this server: the file, the process, readiness. */
#include <agent/agent.h>
#include <agent/k3s.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/log.h>
#include <base/text.h>
#include <encryption/config.h>
#include <encryption/layout.h>

#include "job.h"

#define BUSY_MS         250
#define READY_IDLE_MS   2000
#define PROCESS_IDLE_MS 2000
#define LOCK_MS         2000

_Static_assert((int)CLUSTER_LAYOUT_MAX == (int)LAYOUT_TEXT_MAX, "what is written fits into a report");

static void no_layout(struct observation *o)
{
    o->layout[0] = o->layout_why[0] = 0;
}

/* What other servers' files are compared with. Nothing waits for it. */
static void describe(const struct agent *a, const struct encryption_config *c, struct observation *o)
{
    struct error err = ERROR_INIT;
    if (a->ops->fingerprint_key && layout_write(c, a->ops->fingerprint_key, o->layout, &err) < 0)
        snprintf(o->layout_why, sizeof(o->layout_why), "its layout %.200s", err.text);
}

/* Parses the text for what it says. */
static int identify(const struct agent *a, const struct secret *text, struct observation *o,
                    struct error *err)
{
    const char *path = a->config->encryption_config;
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL;
    int rc = encryption_config_parse(text->data, text->len, path, &c, err);
    if (rc == 0)
        rc = encryption_config_id(c, o->config_id, err);
    o->file_plain = rc == 0 && encryption_is_plain(c);
    if (rc == 0)
        describe(a, c, o);
    return rc;
}

static void file_parse(struct agent *a)
{
    struct observation *o = &a->seen;
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct error err = ERROR_INIT;
    no_layout(o);
    o->config_id[0] = 0;
    o->file_error[0] = 0;
    o->file_plain = false;
    int rc = file_read_secret(a->config->encryption_config, ENCRYPTION_CONFIG_MAX, &text, &err);
    if (rc == 0)
        rc = identify(a, text, o, &err);
    if (rc < 0) {
        o->config_id[0] = 0;
        agent_note(o->file_error, "%s", err.text);
    }
}

void agent_look_file(struct agent *a)
{
    struct error err = ERROR_INIT;
    if (place_look(a->config->encryption_config, &a->seen.file, &err) == 0)
        file_parse(a);
    else
        agent_note(a->seen.file_error, "%s", err.text);
}

/* Another file, or the same one touched: from here on, processes are told apart from those that run now. */
static void sight(struct agent *a)
{
    struct sighting *s = &a->state.seen;
    const struct file_seen *f = &a->seen.file;
    struct process_found found;
    bool same = strcmp(s->hash, f->hash) == 0;
    if (same && s->ctime_us == f->ctime_us)
        return;
    if (!same)
        s->since_ms = clock_wall_ms();
    if (f->shared)
        log_event(LOG_LEVEL_WARNING, "encryption config is open to others",
                  LOG_S("why", "its group, or everybody, may read or change the keys: chmod 600"),
                  LOG_S("file", a->config->encryption_config));
    (void)text_copy(s->hash, sizeof(s->hash), f->hash);
    s->ctime_us = f->ctime_us;
    process_find(&a->finder, &found);
    mark_take(&s->mark, &found, a->boot, clock_mono_ms());
    a->seen.sighted = true;
    if (!same)
        log_event(LOG_LEVEL_INFO, "encryption config seen", LOG_S("hash", f->hash),
                  LOG_I("generation", agent_present(a).generation), LOG_S("why", a->seen.file_error));
    (void)!agent_save(a, NULL); /* logged there */
}

/* The file has changed: by `sync`, whose record is taken over, or by somebody else. */
static void file_changed(struct agent *a)
{
    const struct place place = {a->config->encryption_config, &a->dir, &a->finder};
    struct error err = ERROR_INIT;
    if (state_lock(&a->dir, LOCK_MS, &err) == 0) {
        (void)state_refresh(&a->dir, &a->state);
        if (place_settle(&place, &a->state.file))
            (void)!state_save(&a->dir, &a->state, NULL); /* settled again at the next start */
        /* Looked at again under the lock: sync may have been in the middle of it. */
        (void)!place_look(a->config->encryption_config, &a->seen.file, NULL);
        state_unlock(&a->dir);
    }
    file_parse(a);
    sight(a);
}

static void observe_file(struct agent *a, bool force)
{
    struct file_seen now;
    struct error err = ERROR_INIT;
    if (place_look(a->config->encryption_config, &now, &err) < 0) {
        if (strcmp(a->seen.file_error, err.text) != 0)
            log_event(LOG_LEVEL_ERROR, "encryption config cannot be read", LOG_S("why", err.text));
        memset(&a->seen.file, 0, sizeof(a->seen.file));
        a->seen.config_id[0] = 0;
        no_layout(&a->seen);
        agent_note(a->seen.file_error, "%s", err.text);
        return;
    }
    bool same = strcmp(now.hash, a->seen.file.hash) == 0 && now.ctime_us == a->seen.file.ctime_us;
    bool read = a->seen.config_id[0] || a->seen.file_error[0];
    if (same && read && !force)
        return;
    a->seen.file = now;
    if (!same || !read)
        file_changed(a);
}

/* Returns true when the process is another than before. */
static bool observe_process(struct agent *a, int64_t now_ms, bool force)
{
    struct observation *o = &a->seen;
    bool gone = o->process.count == PROCESS_ONE && !process_alive(a->finder.proc, &o->process.id);
    if (!force && !gone && now_ms < o->process_next_ms)
        return false;
    struct process_id before = o->process.id;
    process_find(&a->finder, &o->process);
    bool settled = o->process.count == PROCESS_ONE && !agent_busy(a);
    o->process_next_ms = now_ms + (settled ? PROCESS_IDLE_MS : BUSY_MS);
    return !process_same(&before, &o->process.id);
}

/* The process was found before a mark of this very look was taken, and may have ended in between: it would
 * seem to have come later, and so to have read the file. The next look may go by that mark. */
static bool update_proof(struct agent *a)
{
    const struct early *early = a->finder.program ? &a->early : NULL;
    struct mark *m = &a->state.seen.mark;
    enum mark_kind kind = m->kind;
    if (a->seen.sighted)
        m->kind = MARK_NEVER;
    struct file_seen file = a->seen.file;
    file.plain = a->seen.config_id[0] && a->seen.file_plain;
    bool changed = proof_update(&a->state, &a->seen.process, &file, early);
    m->kind = kind;
    return changed;
}

static void observe_loaded(struct agent *a)
{
    if (!update_proof(a))
        return;
    a->state.loaded.generation = agent_present(a).generation;
    if (!a->state.loaded.hash[0])
        a->state.loaded.generation = 0;
    log_event(LOG_LEVEL_INFO, "API server process", LOG_I("pid", a->state.loaded.process.pid),
              LOG_S("loaded", a->state.loaded.hash[0] ? a->state.loaded.hash : "unknown"),
              LOG_I("generation", a->state.loaded.generation));
    (void)!agent_save(a, NULL); /* logged there */
}

/* When K3s switches encryption on or off it leaves its record as it was: with the config of before, which was
 * sealed, as was the present one. */
static bool lags(const struct agent *a)
{
    return known_by_hash(&a->known, a->seen.own.hash) && known_by_hash(&a->known, a->seen.file.hash);
}

/* A server that owns its config writes the file and what it says of it one after the other: only what lasts
 * is a difference. */
static void observe_own(struct agent *a, int64_t now_ms)
{
    struct observation *o = &a->seen;
    struct error err = ERROR_INIT;
    if (!a->driver->own)
        return;
    memset(&o->own, 0, sizeof(o->own));
    int rc = a->driver->own(a->config, &o->own, &err);
    agent_note(o->own_why, "%s", rc < 0 ? err.text : "");
    bool same = rc == 0 && (strcmp(o->own.hash, o->file.hash) == 0 || lags(a));
    if (same)
        o->own_differs_ms = 0;
    else if (!o->own_differs_ms)
        o->own_differs_ms = now_ms;
    if (rc == 0 && !same)
        agent_note(o->own_why,
                   "the server's own record means another encryption config than the one in %.200s",
                   a->config->encryption_config);
}

/* Not seen ready before. */
static bool first_ready(const struct agent *a)
{
    const struct observation *o = &a->seen;
    bool known = process_same(&a->early.process, &o->process.id) && !a->early.open;
    return o->ready && o->process.count == PROCESS_ONE && !known;
}

/* Where there is no API server nothing loads the file: what counts is the one that stands there when the
 * server is first seen ready, however long it has been so. The answer took its time, and the server may have
 * ended its start meanwhile and brought another file than was looked at before it was asked. */
static void look_early(struct agent *a, int64_t now_ms)
{
    const struct observation *o = &a->seen;
    bool etcd_only = k3s_etcd_only(a->config);
    int64_t young_ms = etcd_only ? INT64_MAX : a->config->ready_timeout_s * 1000;
    if (etcd_only && first_ready(a)) {
        observe_file(a, false);
        observe_own(a, now_ms);
    }
    if (etcd_only)
        early_look(&a->early, &o->process, &o->file, false, young_ms, now_ms);
    early_look(&a->early, &o->process, &o->file, o->ready, young_ms, now_ms);
}

static void observe_ready(struct agent *a, int64_t now_ms, bool force)
{
    struct observation *o = &a->seen;
    if (!force && now_ms < o->ready_next_ms)
        return;
    struct error err = ERROR_INIT;
    bool before = o->ready;
    o->ready = a->ops->ready(a->ops->ctx, &err) == 0;
    agent_note(o->ready_why, "%s", o->ready ? "" : err.text);
    look_early(a, clock_mono_ms());
    o->ready_next_ms = clock_mono_ms() + (agent_busy(a) ? BUSY_MS : READY_IDLE_MS);
    if (before != o->ready)
        log_event(LOG_LEVEL_INFO, o->ready ? "API server ready" : "API server not ready",
                  LOG_S("why", o->ready_why));
}

/* A server that writes its file itself, at its start: that it was not ready yet when the file stood there
 * proves what it loads. At the next turn it may be ready, and then nobody would ever know. */
static bool wants_early_look(const struct agent *a, const struct file_seen *before)
{
    const struct file_seen *now = &a->seen.file;
    bool written = strcmp(before->hash, now->hash) != 0 || before->ctime_us != now->ctime_us;
    return a->finder.program && !a->seen.ready && written;
}

/* In this order: whoever was found before the file was looked at cannot have read a later one; and a server
 * is ready only if it was so after its process was found. */
void agent_observe(struct agent *a, int64_t now_ms, bool force)
{
    a->seen.sighted = false;
    bool other = observe_process(a, now_ms, force);
    struct file_seen before = a->seen.file;
    observe_file(a, force);
    observe_own(a, now_ms);
    agent_check_vector(a);
    observe_ready(a, now_ms, force || other || wants_early_look(a, &before));
    observe_loaded(a);
}
