/* Re-encryption straight in etcd: read, decrypt, encrypt, and put back if it is still what was read.
 *
 * While an API server is attached each value has a transaction, and so a revision, of its own: a client that
 * resumes its watch at a revision would miss the rest of a batch for good. Batches are for the offline mode,
 * in which every API server is stopped, before the first write and the whole time.
 *
 * Pages are read at the present revision: what was changed meanwhile is written under the new key anyway, and
 * guards of a pinned revision would only be refused. Objects made while the pass runs are the API servers'
 * own work. Whether nothing is left under another key is proof 3's to say. */
#include <inttypes.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "../job.h"
#include "../proofs/canary.h"
#include "../proofs/values.h"
#include "../resource_prefix.h"
#include "drive.h"
#include "offline.h"
#include "pace.h"
#include "progress.h"
#include "window.h"

#define PAGE_MS         10000
#define PAGE_TRIES      8
#define PAGE_OFFLINE    2000
#define PAGE_BYTES      (2u << 20)
#define WRITE_MS        5000
#define AGAIN_MS        2000
#define CONFLICTS_MAX   20    /* of one value that others keep changing */
#define PATIENCE_MS     60000 /* with one value, while the trouble is a passing one */
#define OFFLINE_WINDOW  4
#define OFFLINE_LOOK_MS 500
#define PUBLISH_MS      200
#define BACKOFF_MS      20
#define BACKOFF_MAX_MS  2000

struct rewrite {
    struct job *job;
    const struct job_options *o;
    struct progress progress;
    struct drive drive;
    struct pace pace;
    struct window *window;
    struct envelope_codec *codec;
    const char *resource;
    char prefix[VALUES_PREFIX_MAX];
    struct batch *filling;       /* NULL: none */
    struct buf sealed;           /* what is to stand in a value's place; plain, where identity writes */
    char last[ETCD_KEY_MAX + 1]; /* the last key that was looked at */
    int64_t looked;              /* objects up to it, in this run; the probe is nobody's */
    int64_t published_ms, looked_ms;
    int code; /* what ends it */
    struct error err;
};

static size_t batch_values(const struct rewrite *e)
{
    return e->o->offline ? BATCH_VALUES_MAX : 1;
}

/* The first reason to end; returns its code. */
static int end_with(struct rewrite *e, int code, const struct error *err)
{
    if (e->code == 0) {
        e->code = code;
        e->err = *err;
    }
    return e->code;
}

/* ---------- one value by itself ---------- */

static void object_name(const struct rewrite *e, const char *key, char out[CLUSTER_TEXT_MAX / 2])
{
    snprintf(out, CLUSTER_TEXT_MAX / 2, "%.80s/%.170s", e->resource, key + strlen(e->prefix));
}

static void failed(struct rewrite *e, const char *key, const char *why)
{
    char object[CLUSTER_TEXT_MAX / 2];
    object_name(e, key, object);
    progress_failed(&e->progress, object, why);
}

enum verdict_of_one { ONE_DONE, ONE_GONE, ONE_FAILED, ONE_AGAIN, ONE_ENDS };

static enum verdict_of_one judge(int rc)
{
    if (rc == 0)
        return ONE_DONE;
    if (rc == ERR_NOT_FOUND)
        return ONE_GONE;
    if (rc == ERR_CONFLICT || error_is_transient(rc))
        return ONE_AGAIN;
    return rc == ERR_STATE || rc == ERR_NO_MEMORY || rc == ERR_CANCELED ? ONE_ENDS : ONE_FAILED;
}

/* Reads it anew and moves it, if it still has to be. ERR_NOT_FOUND: it is gone. */
static int move_now(struct rewrite *e, const char *key, struct error *err)
{
    struct etcd_range r = {0};
    struct value_key under;
    int rc = etcd_get(e->o->datastore, key, AGAIN_MS, &r, err);
    if (rc < 0)
        return rc;
    value_key(e->o, &r.kvs[0], &under);
    rc = value_kept(e->o, &under) ? 0 : value_move(e->o, e->resource, &r.kvs[0], NULL, err);
    values_wipe(&r);
    if (rc == ERR_CONFLICT) {
        int held = fence_check(e->o->datastore, &e->o->fence, err);
        rc = held < 0 && !error_is_transient(held) ? held : rc;
    }
    /* A key that the config lacks is no reason to take the value for gone. */
    return rc == ERR_NOT_FOUND ? error_set(err, ERR_DENIED, "%s", err->text) : rc;
}

/* A value whose guard was refused, or whose answer was lost: by itself, until it is moved, gone, or refused
 * for good. */
static int move_again(struct rewrite *e, const char *key)
{
    unsigned conflicts = 0;
    int64_t begun_ms = clock_mono_ms(); /* not the last success: that may lie before a pause */
    for (unsigned round = 0;; round++) {
        struct error err = ERROR_INIT;
        int rc = move_now(e, key, &err);
        switch (judge(rc)) {
        case ONE_DONE:
            return 0;
        case ONE_GONE:
            progress_gone(&e->progress);
            return 0;
        case ONE_FAILED:
            failed(e, key, err.text);
            return 0;
        case ONE_ENDS:
            return end_with(e, rc, &err);
        case ONE_AGAIN:
            break;
        }
        if (rc == ERR_CONFLICT && ++conflicts == CONFLICTS_MAX) {
            failed(e, key, "others change it faster than it can be rewritten");
            return 0;
        }
        if (rc != ERR_CONFLICT && clock_mono_ms() - begun_ms > PATIENCE_MS)
            return end_with(e, rc, &err);
        if (job_wait(e->job, backoff_ms(round, BACKOFF_MS, BACKOFF_MAX_MS))) {
            error_set(&err, ERR_CANCELED, "rewriting was stopped");
            return end_with(e, ERR_CANCELED, &err);
        }
    }
}

/* ---------- answers ---------- */

static int settle(struct rewrite *e, struct batch *b)
{
    int rc = 0;
    drive_wrote(&e->drive, b->ms, b->code < 0);
    if (b->code < 0 && judge(b->code) == ONE_ENDS)
        rc = end_with(e, b->code, &b->err);
    for (size_t i = 0; b->code < 0 && rc == 0 && i < b->count; i++)
        rc = move_again(e, batch_key(b, i));
    window_give_back(e->window, b);
    return rc;
}

/* Not once it ends early: a batch that was given back unwritten bounds the cursor no more. */
static void publish(struct rewrite *e, bool now)
{
    int64_t ms = clock_mono_ms();
    if (e->code < 0)
        return;
    if (!now && ms - e->published_ms < PUBLISH_MS)
        return;
    e->published_ms = ms;
    int64_t done = e->looked;
    const char *key = window_settled_to(e->window, e->last, &done);
    progress_cursor(&e->progress, e->resource, key, done);
}

/* Takes the answers that are there; waits for one when `wait_ms` is above 0. */
static int collect(struct rewrite *e, int wait_ms)
{
    struct batch *b;
    int rc = 0;
    for (int ms = wait_ms; rc == 0 && (b = window_answered(e->window, ms)); ms = 0)
        rc = settle(e, b);
    publish(e, false);
    return rc;
}

/* ---------- how fast, and whether at all ---------- */

static int still_offline(struct rewrite *e)
{
    struct error err = ERROR_INIT;
    int64_t now = clock_mono_ms();
    if (!e->o->offline || (e->looked_ms > 0 && now - e->looked_ms < OFFLINE_LOOK_MS))
        return 0;
    int rc = offline_check(e->job, &err);
    e->looked_ms = clock_mono_ms();
    return rc < 0 ? end_with(e, rc, &err) : 0;
}

/* Waits for its turn. */
static int await_turn(struct rewrite *e)
{
    for (;;) {
        struct error err = ERROR_INIT;
        if (job_canceled(e->job)) {
            error_set(&err, ERR_CANCELED, "rewriting was stopped");
            return end_with(e, ERR_CANCELED, &err);
        }
        double rate = drive_rate(&e->drive);
        if (rate != e->pace.rate)
            pace_set(&e->pace, rate, clock_mono_ms());
        int64_t ms = pace_wait_ms(&e->pace, clock_mono_ms());
        if (ms == 0)
            return still_offline(e);
        ms = ms < DRIVE_EVERY_MS ? ms : DRIVE_EVERY_MS;
        int rc = collect(e, 0);
        if (rc < 0)
            return rc;
        (void)job_wait(e->job, ms);
    }
}

/* ---------- the pass ---------- */

static int send_filled(struct rewrite *e)
{
    struct batch *b = e->filling;
    if (!b)
        return 0;
    e->filling = NULL;
    int rc = 0;
    while (rc == 0 && window_full(e->window))
        rc = collect(e, WRITE_MS);
    if (rc == 0)
        rc = await_turn(e);
    if (rc < 0) {
        window_give_back(e->window, b);
        return rc;
    }
    pace_take(&e->pace, (double)b->count);
    window_send(e->window, b);
    return 0;
}

static int need_batch(struct rewrite *e)
{
    while (!e->filling) {
        struct error err = ERROR_INIT;
        e->filling = window_take(e->window, e->last, e->looked);
        if (!e->filling && window_busy(e->window) == 0) /* all are free, and none could be had */
            return end_with(e, error_no_memory(&err), &err);
        int rc = e->filling ? 0 : collect(e, WRITE_MS);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add(struct rewrite *e, const struct etcd_kv *kv, const struct buf *sealed)
{
    struct error err = ERROR_INIT;
    int rc = 0;
    if (e->filling && e->filling->bytes + sealed->len > BATCH_BYTES_MAX)
        rc = send_filled(e);
    if (rc == 0)
        rc = need_batch(e);
    if (rc < 0)
        return rc;
    rc = batch_add(e->filling, kv, sealed->data, sealed->len, &err);
    if (rc < 0)
        return end_with(e, rc, &err);
    return e->filling->count >= batch_values(e) ? send_filled(e) : 0;
}

/* What is to stand in its place. */
static int seal(struct rewrite *e, const struct etcd_kv *kv, struct buf *out, struct error *err)
{
    _cleanup_(secret_freep) struct secret *plain = NULL;
    int rc = value_decode(e->codec, kv, &plain, err);
    return rc < 0 ? rc : envelope_codec_encrypt(e->codec, kv->key, plain->data, plain->len, out, err);
}

static void wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->len);
    buf_reset(b);
}

static int look_at(struct rewrite *e, const struct etcd_kv *kv)
{
    struct error err = ERROR_INIT;
    struct value_key under;
    int rc = 0;
    value_key(e->o, kv, &under);
    if (!value_kept(e->o, &under)) {
        rc = seal(e, kv, &e->sealed, &err);
        if (rc == ERR_NO_MEMORY)
            return end_with(e, rc, &err);
        if (rc < 0)
            failed(e, kv->key, err.text);
        rc = rc < 0 ? 0 : add(e, kv, &e->sealed);
        wipe(&e->sealed);
    }
    const char *slash = strrchr(kv->key, '/');
    e->looked += !slash || !canary_named(slash + 1);
    text_copy(e->last, sizeof(e->last), kv->key);
    return rc;
}

static int look_at_page(struct rewrite *e, const struct etcd_range *page)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < page->count; i++)
        rc = look_at(e, &page->kvs[i]);
    return rc == 0 ? collect(e, 0) : rc;
}

/* Everything that was begun is written and settled. */
static int drain(struct rewrite *e)
{
    int rc = send_filled(e);
    while (rc == 0 && window_busy(e->window) > 0)
        rc = collect(e, WRITE_MS);
    publish(e, true);
    return rc;
}

static int read_pages(struct rewrite *e, struct etcd_pager *pager)
{
    for (;;) {
        struct etcd_range page = {0};
        struct error err = ERROR_INIT;
        int rc = etcd_pager_next(pager, &page, &err);
        if (rc < 0)
            return end_with(e, rc, &err);
        bool last = page.count == 0;
        rc = look_at_page(e, &page);
        values_wipe(&page);
        if (rc < 0 || last)
            return rc < 0 ? rc : drain(e);
    }
}

static int pass_resource(struct rewrite *e, const char *resource, const char *after, struct error *err)
{
    _cleanup_(etcd_pager_freep) struct etcd_pager *pager = NULL;
    e->resource = resource;
    resource_prefix(e->o->config->datastore_prefix, resource, e->prefix, sizeof(e->prefix));
    text_copy(e->last, sizeof(e->last), after);
    struct etcd_pager_options options = {
        .prefix = e->prefix,
        .after = after,
        .page = e->o->offline ? PAGE_OFFLINE : e->o->config->reencrypt_page,
        .page_bytes = PAGE_BYTES,
        .readers = e->o->offline ? 2 : 1,
        .revision = -1,
        .deadline_ms = PAGE_MS,
        .tries = PAGE_TRIES,
        .cancel = job_cancel_flag(e->job),
    };
    int rc = envelope_codec_new(e->o->encryption, resource, &e->codec, err);
    if (rc == 0)
        rc = etcd_pager_new(e->o->datastore, &options, &pager, err);
    if (rc == 0)
        rc = read_pages(e, pager);
    envelope_codec_free(take(e->codec));
    return rc;
}

/* The resource to begin with, and the key in it: where an earlier leader's record says that it came to. */
static size_t begin(struct rewrite *e, char after[CLUSTER_CURSOR_MAX])
{
    const struct cluster_reencrypt *r = &e->o->so_far;
    size_t first = 0;
    bool resume = *r->cursor_resource && strcmp(r->engine, "api") != 0;
    while (resume && first < e->o->spec.resources_count &&
           strcmp(e->o->spec.resources[first], r->cursor_resource) != 0)
        first++;
    resume = resume && first < e->o->spec.resources_count;
    text_copy(after, CLUSTER_CURSOR_MAX, resume ? r->cursor : "");
    progress_begin(&e->progress, e->job, e->o->offline ? "offline" : "datastore", true, resume);
    return resume ? first : 0;
}

static int rewrite_all(struct rewrite *e, size_t first, const char *after, struct error *err)
{
    struct error why = ERROR_INIT;
    int rc = e->o->offline ? offline_check(e->job, &why) : 0; /* before anything is read */
    if (rc < 0)
        return end_with(e, rc, &why);
    rc = drive_begin(&e->drive, e->job, &e->progress, err);
    for (size_t i = first; rc == 0 && i < e->o->spec.resources_count; i++)
        rc = pass_resource(e, e->o->spec.resources[i], i == first ? after : "", err);
    return rc;
}

int reencrypt_datastore_run(struct job *j, struct error *err)
{
    struct rewrite e = {
        .job = j, .o = job_opts(j), .pace = {.rate = -1}, .resource = "", .sealed = BUF_INIT(ETCD_VALUE_MAX)};
    char after[CLUSTER_CURSOR_MAX];
    size_t first = begin(&e, after);
    size_t size = e.o->offline ? OFFLINE_WINDOW : (size_t)e.o->config->reencrypt_in_flight;
    int rc = window_new(e.o->datastore, &e.o->fence, size, WRITE_MS, &e.window, err);
    if (rc == 0)
        rc = rewrite_all(&e, first, after, err);
    window_free(e.window); /* waits for what is in flight */
    wipe(&e.sealed);
    buf_free(&e.sealed);
    drive_end(&e.drive);
    if (e.code < 0) {
        if (err)
            *err = e.err;
        return e.code;
    }
    if (rc == 0)
        progress_end(&e.progress);
    return rc;
}
