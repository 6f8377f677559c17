#include "internal.h"

#include <base/clock.h>
#include <base/text.h>

#define MESSAGE_BYTES    (8u << 20) /* etcd sends 32 KiB at a time */
#define CHOOSE_MS        10000
#define ASK_MS           2000 /* for one question, while choosing */
#define IDLE_MS          30000
#define CANCEL_MS        200 /* how often the flag is looked at */
#define BACKOFF_MS_BASE  50
#define BACKOFF_MS_LIMIT 500
#define MIB(bytes)       ((unsigned long long)((bytes) >> 20))

struct snapshot {
    struct etcd *etcd;
    const struct etcd_snapshot_options *options;
    size_t endpoint;
    struct etcd_status status;
    int64_t needed; /* the revision that the member has to have reached */
    struct snapshot_intake intake;
};

static bool canceled(const struct snapshot *s)
{
    return s->options->cancel && atomic_load(s->options->cancel);
}

static int say_canceled(struct error *err)
{
    return error_set(err, ERR_CANCELED, "the snapshot was stopped");
}

/* --- which member --- */

/* The revision of now, agreed by the quorum. The range is empty on purpose. */
static int current_revision(struct etcd *e, int deadline_ms, int64_t *ret, struct error *err)
{
    struct etcd_range_options o = {.prefix = "/secrets-encrypt/.now", .count_only = true};
    _cleanup_(etcd_range_free) struct etcd_range r = {0};
    int rc = etcd_list(e, &o, deadline_ms, &r, err);
    if (rc == 0)
        *ret = r.revision;
    return rc;
}

static bool serves(const struct snapshot *s, const struct etcd_status *st)
{
    uint64_t known = atomic_load(&s->etcd->identity.cluster);
    return !st->learner && st->leader && st->revision >= s->needed && (!known || st->cluster == known);
}

/* Asks all in turn, from `start` on; a follower is taken at once, the leader when there is no other. */
static int ask_members(struct snapshot *s, size_t start, int64_t until, struct error *err)
{
    struct error last = ERROR_INIT;
    bool found = false;
    for (size_t k = 0; k < s->etcd->count; k++) {
        size_t i = (start + k) % s->etcd->count;
        int64_t left = until - clock_mono_ms();
        struct etcd_status st;
        if (canceled(s))
            return say_canceled(err);
        if (left <= 0)
            break;
        int rc = etcd_member_status(s->etcd, i, (int)(left < ASK_MS ? left : ASK_MS), &st, &last);
        if (rc < 0 || !serves(s, &st))
            continue;
        bool leader = st.leader == st.member;
        if (found && leader)
            continue;
        found = true;
        s->endpoint = i;
        s->status = st;
        if (!leader)
            break;
    }
    if (found)
        return 0;
    return error_set(err, ERR_UNAVAILABLE,
                     "etcd %.300s: no voting member answers that has all writes up to revision %lld%s%s",
                     s->etcd->name, (long long)s->needed, last.code ? "; " : "", last.text);
}

static int pause_until(const struct snapshot *s, int64_t ms, int64_t until, struct error *err)
{
    int64_t end = clock_mono_ms() + ms;
    for (int64_t now; (now = clock_mono_ms()) < end && now < until;) {
        if (canceled(s))
            return say_canceled(err);
        clock_nap_ms(end - now < CANCEL_MS ? end - now : CANCEL_MS);
    }
    return 0;
}

static int try_members(struct snapshot *s, size_t start, int64_t until, struct error *err)
{
    int64_t left = until - clock_mono_ms();
    if (canceled(s))
        return say_canceled(err);
    if (!s->needed) {
        int rc = current_revision(s->etcd, (int)(left < ASK_MS ? left : ASK_MS), &s->needed, err);
        if (rc < 0)
            return rc;
    }
    return ask_members(s, start, until, err);
}

/* A follower may be a moment behind the revision that was read: asked again until the deadline. */
static int choose_member(struct snapshot *s, struct error *err)
{
    int64_t until = clock_mono_ms() + (s->options->choose_ms > 0 ? s->options->choose_ms : CHOOSE_MS);
    size_t start = atomic_fetch_add(&s->etcd->snapshot_next, 1);
    struct error failed = ERROR_INIT;
    for (unsigned attempt = 0;; attempt++) {
        int rc = try_members(s, start, until, &failed);
        if (rc == 0)
            return 0;
        if (!error_is_transient(rc) || clock_mono_ms() >= until)
            return pass_on(err, &failed);
        rc = pause_until(s, backoff_ms(attempt, BACKOFF_MS_BASE, BACKOFF_MS_LIMIT), until, err);
        if (rc < 0)
            return rc;
        if (clock_mono_ms() >= until)
            return pass_on(err, &failed);
    }
}

/* --- the stream --- */

/* Waits in slices, so that the flag is seen. A stream that ended says so at once, even by ERR_TIMEOUT. */
static int receive(const struct snapshot *s, struct rpc_stream *stream, Etcdserverpb__SnapshotResponse **ret,
                   struct error *err)
{
    int idle_ms = s->options->idle_ms > 0 ? s->options->idle_ms : IDLE_MS;
    int64_t until = clock_mono_ms() + idle_ms;
    for (;;) {
        int64_t now = clock_mono_ms(), left = until - now;
        if (canceled(s))
            return say_canceled(err);
        if (left <= 0) {
            rpc_stream_distrust(stream);
            return error_set(err, ERR_TIMEOUT, "nothing came for %d ms", idle_ms);
        }
        int slice = (int)(left < CANCEL_MS ? left : CANCEL_MS);
        struct error failed = ERROR_INIT;
        int rc = rpc_stream_receive(stream, slice, (ProtobufCMessage **)ret, &failed);
        if (rc == 0)
            return 0;
        if (rc != ERR_TIMEOUT || clock_mono_ms() < now + slice)
            return pass_on(err, &failed);
    }
}

/* The stream is over, or stands still, before all has come. */
static int on_break(const struct snapshot *s, const struct error *ended, struct error *err)
{
    if (ended->code == ERR_CANCELED && canceled(s))
        return pass_on(err, ended);
    if (ended->code == ERR_UNSUPPORTED)
        return error_set(
            err, ended->code,
            "%.400s. Without etcd (K3s on an SQL database) back the database up by its own means",
            ended->text);
    if (!s->intake.begun)
        return pass_on(err, ended);
    return error_set(
        err, ended->code,
        "the snapshot broke off after %llu of %llu MiB: %.400s; take it again, another member is "
        "asked then",
        MIB(s->intake.digest.size), MIB(s->intake.content), ended->text);
}

static int on_piece(struct snapshot *s, const Etcdserverpb__SnapshotResponse *r, struct error *err)
{
    int rc = intake_add(&s->intake, r->remaining_bytes, r->blob.data, r->blob.len, err);
    if (rc < 0)
        return error_prefix(err, rc, "what came is no etcd snapshot");
    return 0;
}

static int hand_on(struct snapshot *s, const Etcdserverpb__SnapshotResponse *r, struct error *err)
{
    const struct etcd_snapshot_options *o = s->options;
    int rc = r->blob.len ? o->write(o->arg, r->blob.data, r->blob.len, err) : 0;
    if (rc == 0 && o->progress)
        o->progress(o->arg, s->intake.digest.size, s->intake.remaining);
    return rc;
}

/* *ret_ours: the error is of our side (the owner's `write`), not the member's. */
static int run(struct snapshot *s, struct rpc_stream *stream, char sha256[ETCD_SHA256_HEX], bool *ret_ours,
               struct error *err)
{
    Etcdserverpb__SnapshotRequest q = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    int rc = rpc_stream_send(stream, &q.base, err);
    if (rc == 0)
        rpc_stream_close_send(stream);
    while (rc == 0 && !intake_complete(&s->intake)) {
        _reply_ Etcdserverpb__SnapshotResponse *r = NULL;
        struct error ended = ERROR_INIT;
        if (receive(s, stream, &r, &ended) < 0)
            return on_break(s, &ended, err);
        rc = on_piece(s, r, err);
        if (rc < 0)
            break;
        rc = hand_on(s, r, err);
        *ret_ours = rc < 0;
    }
    return rc == 0 ? digest_end(&s->intake.digest, sha256, err) : rc;
}

/* A connection of its own: the copy may be of gigabytes, and the calls of others should not queue behind. */
static int stream_from(struct snapshot *s, struct etcd_snapshot_result *result, bool *ret_ours,
                       struct error *err)
{
    _cleanup_(etcd_closep) struct etcd *one = NULL;
    _cleanup_(rpc_stream_freep) struct rpc_stream *stream = NULL;
    int rc = client_open_one(s->etcd, s->endpoint, MESSAGE_BYTES, &one, err);
    if (rc == 0)
        rc = rpc_stream_open(one->channel, method_rpc(METHOD_SNAPSHOT), NULL, &stream, err);
    if (rc == 0)
        rc = run(s, stream, result->sha256, ret_ours, err);
    return rc;
}

static int take_snapshot(struct snapshot *s, struct etcd_snapshot_result *ret, struct error *err)
{
    struct etcd_snapshot_result result = {.size = 0};
    bool ours = false;
    int rc = choose_member(s, err);
    if (rc < 0)
        return rc;
    const char *url = s->etcd->endpoints[s->endpoint].url;
    rc = stream_from(s, &result, &ours, err);
    if (rc < 0)
        return ours ? rc : etcd_fail(url, rc, err, "snapshot", NULL);
    result.size = s->intake.digest.size;
    result.revision = s->status.revision;
    result.member = s->status.member;
    text_copy(result.url, sizeof(result.url), url);
    *ret = result;
    return 0;
}

int etcd_datastore_snapshot(struct etcd *e, const struct etcd_snapshot_options *options,
                            struct etcd_snapshot_result *ret, struct error *err)
{
    struct snapshot s = {.etcd = e, .options = options};
    int rc = intake_begin(&s.intake, err);
    if (rc == 0)
        rc = take_snapshot(&s, ret, err);
    intake_clear(&s.intake);
    return rc;
}
