/* Which etcd cluster a client talks to. Endpoints of two clusters happen: one copied from elsewhere, or a
 * member that was begun anew on its own, and empty. Calls go to the endpoints in turn, so what is read would
 * be now the one and now the other's, and a proof that nothing stands under an old key would be one about a
 * store that is not ours. Every answer but a lone member's status carries its cluster's id; the first one
 * decides, and any other is refused. */
#include "internal.h"

#include <inttypes.h>

#include <base/clock.h>

#define ASK_MS    300  /* of one endpoint */
#define SURVEY_MS 1000 /* of all */

void identity_init(struct identity *id)
{
    pthread_mutex_init(&id->lock, NULL);
    pthread_cond_init(&id->asked, NULL);
}

void identity_free(struct identity *id)
{
    pthread_cond_destroy(&id->asked);
    pthread_mutex_destroy(&id->lock);
}

/* 0: it says none, as kine does, or is no answer that we know. */
static uint64_t cluster_of(const ProtobufCMessage *reply)
{
    const ProtobufCFieldDescriptor *f =
        reply ? protobuf_c_message_descriptor_get_field(reply->descriptor, 1) : NULL;
    if (!f || f->descriptor != &etcdserverpb__response_header__descriptor)
        return 0;
    const Etcdserverpb__ResponseHeader *header = NULL;
    memcpy(&header, (const char *)reply + f->offset, sizeof(header));
    return header ? header->cluster_id : 0;
}

/* ---------- asking all ---------- */

struct survey {
    size_t answers[2]; /* of each of the two */
    uint64_t clusters[2];
    size_t endpoints[2]; /* the first that said so */
};

static void survey_add(struct survey *s, size_t endpoint, uint64_t cluster)
{
    for (size_t i = 0; cluster && i < 2; i++) {
        if (s->answers[i] && s->clusters[i] != cluster)
            continue;
        if (!s->answers[i])
            s->endpoints[i] = endpoint;
        s->clusters[i] = cluster;
        s->answers[i]++;
        return;
    }
}

static struct survey survey(struct etcd *e, int64_t until)
{
    struct survey s = {.answers = {0}};
    int64_t now = clock_mono_ms(), half = (until - now) / 2; /* the rest is for the call itself */
    int64_t end = now + (half < SURVEY_MS ? half : SURVEY_MS);
    for (size_t i = 0; i < e->count; i++) {
        struct etcd_status st;
        int64_t left = end - clock_mono_ms();
        if (left > 0 && etcd_member_status(e, i, (int)(left < ASK_MS ? left : ASK_MS), &st, NULL) == 0)
            survey_add(&s, i, st.cluster);
    }
    return s;
}

static int say_two(const struct etcd *e, const struct survey *s, struct error *err)
{
    return error_set(err, ERR_UNAVAILABLE,
                     "the endpoints belong to two etcd clusters: %.150s to %" PRIx64 ", %.150s to %" PRIx64
                     "; take those that are not of this cluster out of the configuration",
                     e->endpoints[s->endpoints[0]].url, s->clusters[0], e->endpoints[s->endpoints[1]].url,
                     s->clusters[1]);
}

static int say_another(uint64_t known, uint64_t seen, struct error *err)
{
    return error_set(
        err, ERR_UNAVAILABLE,
        "an answer of etcd cluster %" PRIx64 ", where cluster %" PRIx64
        " answered before; if that was restored from a backup, this ends when most endpoints answer"
        " for the new one",
        seen, known);
}

/* What the answers say of the cluster that is known, 0 for none. One that was restored has another id, and is
 * taken once most of the endpoints have it: a lone stranger does not become ours while the others are down.
 */
static int judge(struct etcd *e, const struct survey *s, struct error *err)
{
    uint64_t known = atomic_load(&e->identity.cluster);
    if (s->answers[1])
        return say_two(e, s, err);
    if (!s->answers[0] || s->clusters[0] == known)
        return 0;
    if (known && s->answers[0] * 2 <= e->count)
        return say_another(known, s->clusters[0], err);
    atomic_store(&e->identity.cluster, s->clusters[0]);
    return 0;
}

/* The lock is let go meanwhile. */
static void ask_locked(struct etcd *e, int64_t until, struct error *ret_found)
{
    struct identity *id = &e->identity;
    id->asking = true;
    pthread_mutex_unlock(&id->lock);
    struct survey s = survey(e, until);
    bool ok = judge(e, &s, ret_found) == 0;
    atomic_store(&id->doubtful, !ok);
    pthread_mutex_lock(&id->lock);
    id->found = *ret_found;
    id->asked_at = clock_mono_ms();
    id->asking = false;
    pthread_cond_broadcast(&id->asked);
}

/* One thread asks; the others wait for what it finds. */
static int ask(struct etcd *e, int64_t until, struct error *err)
{
    struct identity *id = &e->identity;
    struct error found = ERROR_INIT;
    int64_t left;
    pthread_mutex_lock(&id->lock);
    while (id->asking && (left = until - clock_mono_ms()) > 0)
        cond_wait_ms(&id->asked, &id->lock, left);
    if (id->asking)
        error_set(&found, ERR_TIMEOUT, "the endpoints did not say in time which etcd cluster they are");
    else if (!id->asked_at || clock_mono_ms() - id->asked_at >= SURVEY_MS)
        ask_locked(e, until, &found);
    else
        found = id->found;
    pthread_mutex_unlock(&id->lock);
    return found.code < 0 ? pass_on(err, &found) : 0;
}

/* ---------- around each call ---------- */

int identity_before(struct etcd *e, int64_t until, struct error *err)
{
    struct identity *id = &e->identity;
    bool first = e->count > 1 && !atomic_load(&id->cluster);
    return first || atomic_load(&id->doubtful) ? ask(e, until, err) : 0;
}

bool identity_is_other(struct etcd *e, const ProtobufCMessage *reply, struct error *err)
{
    uint64_t none = 0, seen = cluster_of(reply);
    if (!seen || atomic_compare_exchange_strong(&e->identity.cluster, &none, seen) || none == seen)
        return false;
    atomic_store(&e->identity.doubtful, true);
    say_another(none, seen, err);
    return true;
}

int identity_check(struct etcd *e, const ProtobufCMessage *reply, int64_t until, struct error *err)
{
    struct error other = ERROR_INIT;
    if (!identity_is_other(e, reply, &other))
        return 0;
    int rc = ask(e, until, err);
    /* Restored, as most of the endpoints say: what this one has answered is an answer. */
    if (rc < 0 || cluster_of(reply) == atomic_load(&e->identity.cluster))
        return rc;
    return pass_on(err, &other);
}
