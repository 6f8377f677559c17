/* etcd_fixture.h without etcd and without gRPC: its members are a store in memory, reached through
 * fake_rpc.h. They can be killed, begun again, wiped and paused as real ones; what one wrote the others have
 * at once. One at a time. */
#include "fake_etcd.h"
#include "etcd_fixture.h"
#include "fake_message.h"
#include "fake_rpc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/clock.h>
#include <base/text.h>

#define PORT 20001 /* the first member's name for it; nobody listens there */

/* What a stream of a client's is about. */
struct talk {
    struct talk *next;
    struct rpc_stream *stream;
    size_t member;
    bool asked, watches; /* for a watch; it is set up */
    char *key, *end;
    size_t key_len, end_len;
    int64_t from; /* the first revision that was not told yet */
};

struct etcd_fixture {
    size_t members;
    char endpoints[FIXTURE_MEMBERS_MAX][64];
    const char *names[FIXTURE_MEMBERS_MAX];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a member went or came */
    struct fake_store store;
    struct etcd_fixture *fixture;
    bool down[FIXTURE_MEMBERS_MAX], paused[FIXTURE_MEMBERS_MAX];
    struct talk *talks;
} etcd = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool works(size_t member)
{
    return !etcd.down[member] && !etcd.paused[member];
}

/* Of the addresses of a channel: one that works, else one that hangs, else -1. All under lock. */
static int choose(const struct rpc_channel *c, int which)
{
    int hangs = -1;
    for (size_t i = 0; i < c->count; i++) {
        const char *port = strrchr(c->addresses[i], ':');
        size_t member = port ? (size_t)strtoul(port + 1, NULL, 10) - PORT : FIXTURE_MEMBERS_MAX;
        if ((which >= 0 && (size_t)which != i) || member >= FIXTURE_MEMBERS_MAX || !etcd.fixture ||
            member >= etcd.fixture->members)
            continue;
        if (works(member))
            return (int)member;
        hangs = etcd.paused[member] && !etcd.down[member] ? (int)member : hangs;
    }
    return hangs;
}

/* ---------- watches ---------- */

static void push(struct talk *t, const ProtobufCMessage *m)
{
    ProtobufCMessage *copy = NULL;
    if (fake_rpc_copy(m, &copy, NULL) < 0)
        abort();
    fake_stream_push(t->stream, copy);
}

static Etcdserverpb__ResponseHeader header_of(size_t member)
{
    Etcdserverpb__ResponseHeader h = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    h.cluster_id = 7;
    h.member_id = member + 1;
    h.revision = etcd.store.revision;
    h.raft_term = 2;
    return h;
}

/* All that is new to it, in one answer. */
static void tell(struct talk *t)
{
    const struct fake_store *s = &etcd.store;
    const ProtobufCBinaryData key = {t->key_len, (uint8_t *)t->key}, end = {t->end_len, (uint8_t *)t->end};
    size_t first = s->count, count = 0;
    if (!t->watches || !works(t->member) || t->from > s->revision)
        return;
    while (first > 0 && s->log[first - 1].mod >= t->from)
        first--;
    Mvccpb__Event *events = calloc(s->count - first + 1, sizeof(*events)), **ptrs = NULL;
    Mvccpb__KeyValue *kvs = calloc(s->count - first + 1, sizeof(*kvs));
    ptrs = calloc(s->count - first + 1, sizeof(*ptrs));
    if (!events || !kvs || !ptrs)
        abort();
    for (size_t i = first; i < s->count; i++) {
        const struct fake_version *v = &s->log[i];
        if (!fake_in_range(&key, &end, v))
            continue;
        fake_kv(v, &kvs[count]);
        mvccpb__event__init(&events[count]);
        events[count].type = v->deleted ? MVCCPB__EVENT__EVENT_TYPE__DELETE : MVCCPB__EVENT__EVENT_TYPE__PUT;
        events[count].kv = &kvs[count];
        ptrs[count] = &events[count];
        count++;
    }
    Etcdserverpb__ResponseHeader header = header_of(t->member);
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.header = &header;
    r.n_events = count;
    r.events = ptrs;
    if (count > 0)
        push(t, &r.base);
    t->from = s->revision + 1;
    free(events);
    free(kvs);
    free(ptrs);
}

/* Sets up what was asked for, unless the member hangs. */
static void begin_watch(struct talk *t)
{
    Etcdserverpb__ResponseHeader header = header_of(t->member);
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.header = &header;
    if (!t->asked || t->watches || !works(t->member))
        return;
    r.created = true;
    push(t, &r.base);
    if (t->from > 0 && t->from < etcd.store.compacted) {
        t->asked = false;
        r.created = false;
        r.canceled = true;
        r.compact_revision = etcd.store.compacted;
        push(t, &r.base);
        return;
    }
    t->from = t->from > 0 ? t->from : etcd.store.revision + 1;
    t->watches = true;
}

static void tell_all(void)
{
    for (struct talk *t = etcd.talks; t; t = t->next) {
        begin_watch(t);
        tell(t);
    }
}

/* ---------- streams ---------- */

static struct talk *talk_of(const struct rpc_stream *s)
{
    struct talk *t = etcd.talks;
    while (t && t->stream != s)
        t = t->next;
    return t;
}

static char *copy_of(const ProtobufCBinaryData *d)
{
    char *p = calloc(1, d->len + 1);
    if (!p)
        abort();
    if (d->len > 0)
        memcpy(p, d->data, d->len);
    return p;
}

int fake_stream_opened(struct rpc_stream *s, struct error *err)
{
    struct talk *t = calloc(1, sizeof(*t));
    (void)err;
    if (!t)
        abort();
    pthread_mutex_lock(&etcd.lock);
    int member = choose(fake_stream_channel(s), RPC_ANY);
    if (member < 0) {
        free(t);
        fake_stream_end(s, ERR_UNAVAILABLE, "failed to connect to all addresses");
    } else {
        *t = (struct talk){.next = etcd.talks, .stream = s, .member = (size_t)member};
        etcd.talks = t;
    }
    pthread_mutex_unlock(&etcd.lock);
    return 0;
}

static void keep_alive(struct talk *t, const Etcdserverpb__LeaseKeepAliveRequest *q)
{
    Etcdserverpb__ResponseHeader header = header_of(t->member);
    Etcdserverpb__LeaseKeepAliveResponse r = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    if (!works(t->member))
        return;
    r.header = &header;
    r.id = q->id;
    r.ttl = fake_store_keep(&etcd.store, q->id);
    push(t, &r.base);
}

static void watch_request(struct talk *t, const Etcdserverpb__WatchRequest *q)
{
    Etcdserverpb__ResponseHeader header = header_of(t->member);
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    switch (q->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        if (t->key)
            abort(); /* one watch a stream */
        t->key = copy_of(&q->create_request->key);
        t->end = copy_of(&q->create_request->range_end);
        t->key_len = q->create_request->key.len;
        t->end_len = q->create_request->range_end.len;
        t->from = q->create_request->start_revision;
        t->asked = true;
        begin_watch(t);
        tell(t);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        r.header = &header;
        r.watch_id = -1;
        if (works(t->member))
            push(t, &r.base);
        break;
    default:
        abort();
    }
}

void fake_stream_sent(struct rpc_stream *s, const ProtobufCMessage *message)
{
    pthread_mutex_lock(&etcd.lock);
    struct talk *t = talk_of(s);
    fake_store_expire(&etcd.store);
    if (t && message->descriptor == &etcdserverpb__watch_request__descriptor)
        watch_request(t, (const Etcdserverpb__WatchRequest *)message);
    else if (t && message->descriptor == &etcdserverpb__lease_keep_alive_request__descriptor)
        keep_alive(t, (const Etcdserverpb__LeaseKeepAliveRequest *)message);
    else if (t)
        fake_stream_end(s, ERR_UNSUPPORTED, "no such stream here");
    pthread_mutex_unlock(&etcd.lock);
}

void fake_stream_idle(struct rpc_stream *s)
{
    (void)s;
}

void fake_stream_closed(struct rpc_stream *s)
{
    pthread_mutex_lock(&etcd.lock);
    struct talk **at = &etcd.talks;
    while (*at && (*at)->stream != s)
        at = &(*at)->next;
    struct talk *t = *at;
    if (t) {
        *at = t->next;
        free(t->key);
        free(t->end);
        free(t);
    }
    pthread_mutex_unlock(&etcd.lock);
}

/* ---------- calls ---------- */

static int members(struct etcd_fixture *f, ProtobufCMessage **ret, struct error *err)
{
    Etcdserverpb__Member list[FIXTURE_MEMBERS_MAX], *ptrs[FIXTURE_MEMBERS_MAX];
    char names[FIXTURE_MEMBERS_MAX][8], *urls[FIXTURE_MEMBERS_MAX];
    Etcdserverpb__ResponseHeader header = header_of(0);
    Etcdserverpb__MemberListResponse r = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    for (size_t i = 0; i < f->members; i++) {
        snprintf(names[i], sizeof(names[i]), "m%zu", i);
        urls[i] = f->endpoints[i];
        etcdserverpb__member__init(&list[i]);
        list[i].id = i + 1;
        list[i].name = names[i];
        list[i].n_clienturls = 1;
        list[i].clienturls = &urls[i];
        ptrs[i] = &list[i];
    }
    r.header = &header;
    r.n_members = f->members;
    r.members = ptrs;
    return fake_rpc_copy(&r.base, ret, err);
}

static int status(size_t member, ProtobufCMessage **ret, struct error *err)
{
    static char version[] = "3.4.99";
    Etcdserverpb__ResponseHeader header = header_of(member);
    Etcdserverpb__StatusResponse r = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    r.header = &header;
    r.version = version;
    r.dbsize = r.dbsizeinuse = 4096;
    r.leader = member + 1;
    r.raftindex = r.raftappliedindex = (uint64_t)etcd.store.revision;
    r.raftterm = header.raft_term;
    return fake_rpc_copy(&r.base, ret, err);
}

static int alarms(ProtobufCMessage **ret, struct error *err)
{
    Etcdserverpb__AlarmResponse r = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    return fake_rpc_copy(&r.base, ret, err);
}

static int dispatch(size_t member, const ProtobufCMessage *q, ProtobufCMessage **ret, struct error *err)
{
    struct fake_store *s = &etcd.store;
    const ProtobufCMessageDescriptor *d = q->descriptor;
    if (d == &etcdserverpb__range_request__descriptor)
        return fake_store_range(s, (const Etcdserverpb__RangeRequest *)q, ret, err);
    if (d == &etcdserverpb__put_request__descriptor)
        return fake_store_put(s, (const Etcdserverpb__PutRequest *)q, ret, err);
    if (d == &etcdserverpb__delete_range_request__descriptor)
        return fake_store_delete(s, (const Etcdserverpb__DeleteRangeRequest *)q, ret, err);
    if (d == &etcdserverpb__txn_request__descriptor)
        return fake_store_txn(s, (const Etcdserverpb__TxnRequest *)q, ret, err);
    if (d == &etcdserverpb__compaction_request__descriptor)
        return fake_store_compact(s, (const Etcdserverpb__CompactionRequest *)q, ret, err);
    if (d == &etcdserverpb__lease_grant_request__descriptor)
        return fake_store_grant(s, (const Etcdserverpb__LeaseGrantRequest *)q, ret, err);
    if (d == &etcdserverpb__lease_revoke_request__descriptor)
        return fake_store_revoke(s, (const Etcdserverpb__LeaseRevokeRequest *)q, ret, err);
    if (d == &etcdserverpb__member_list_request__descriptor)
        return members(etcd.fixture, ret, err);
    if (d == &etcdserverpb__status_request__descriptor)
        return status(member, ret, err);
    if (d == &etcdserverpb__alarm_request__descriptor)
        return alarms(ret, err);
    return error_set(err, ERR_UNSUPPORTED, "no such call here: %s", d->name);
}

/* Waits while all that could answer hang. */
static int await_member(struct rpc_channel *c, int which, int deadline_ms)
{
    int64_t until = clock_mono_ms() + deadline_ms;
    int member = choose(c, which);
    while (member >= 0 && !works((size_t)member) && clock_mono_ms() < until) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_nsec += 10 * 1000000;
        if (at.tv_nsec >= 1000000000) {
            at.tv_sec++;
            at.tv_nsec -= 1000000000;
        }
        (void)pthread_cond_clockwait(&etcd.changed, &etcd.lock, CLOCK_MONOTONIC, &at);
        member = choose(c, which);
    }
    return member;
}

/* An answer takes its time, as over a wire, so that whoever asks again and again does not keep the others
 * out. */
static void travel(void)
{
    const struct timespec time = {.tv_nsec = 200000};
    (void)nanosleep(&time, NULL);
}

int fake_answer(struct rpc_channel *c, int which, const struct rpc_method *method,
                const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret, struct error *err)
{
    (void)method;
    pthread_mutex_lock(&etcd.lock);
    int rc = 0, member = await_member(c, which, deadline_ms);
    if (member < 0) {
        rc = error_set(err, ERR_UNAVAILABLE, "failed to connect to all addresses");
    } else if (!works((size_t)member)) {
        rc = error_set(err, ERR_TIMEOUT, "no answer within %d ms", deadline_ms);
    } else {
        fake_store_expire(&etcd.store);
        etcd.store.answer_max = c->max_message;
        rc = dispatch((size_t)member, request, ret, err);
        tell_all();
    }
    pthread_mutex_unlock(&etcd.lock);
    travel();
    return rc;
}

/* ---------- the fixture ---------- */

int etcd_fixture_start(const struct etcd_fixture_options *options, struct etcd_fixture **ret)
{
    struct etcd_fixture *f = calloc(1, sizeof(*f));
    if (!f || options->tls || options->members > FIXTURE_MEMBERS_MAX || etcd.fixture) {
        fprintf(stderr, "a fake etcd has no TLS, and there is one at a time\n");
        free(f);
        return -1;
    }
    f->members = options->members;
    for (size_t i = 0; i < f->members; i++) {
        snprintf(f->endpoints[i], sizeof(f->endpoints[i]), "http://127.0.0.1:%zu", PORT + i);
        f->names[i] = f->endpoints[i];
    }
    pthread_mutex_lock(&etcd.lock);
    memset(etcd.down, 0, sizeof(etcd.down));
    memset(etcd.paused, 0, sizeof(etcd.paused));
    fake_store_begin(&etcd.store);
    etcd.fixture = f;
    pthread_mutex_unlock(&etcd.lock);
    *ret = f;
    return 0;
}

void etcd_fixture_free(struct etcd_fixture *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&etcd.lock);
    fake_store_wipe(&etcd.store);
    etcd.fixture = NULL;
    pthread_mutex_unlock(&etcd.lock);
    free(f);
}

size_t etcd_fixture_members(const struct etcd_fixture *f)
{
    return f->members;
}

const char *etcd_fixture_endpoint(const struct etcd_fixture *f, size_t member)
{
    return f->endpoints[member];
}

struct etcd_options etcd_fixture_options(const struct etcd_fixture *f)
{
    return (struct etcd_options){.endpoints = f->names, .endpoints_count = f->members};
}

struct etcd_options etcd_fixture_options_one(const struct etcd_fixture *f, size_t member)
{
    return (struct etcd_options){.endpoints = &f->names[member], .endpoints_count = 1};
}

struct etcd *etcd_fixture_client(const struct etcd_fixture *f)
{
    struct etcd_options o = etcd_fixture_options(f);
    struct error err = ERROR_INIT;
    struct etcd *e = NULL;
    if (etcd_open(&o, &e, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    return e;
}

static void change(size_t member, bool down, bool paused)
{
    pthread_mutex_lock(&etcd.lock);
    etcd.down[member] = down;
    etcd.paused[member] = paused;
    struct talk **at = &etcd.talks;
    while (down && *at) {
        struct talk *t = *at;
        if (t->member != member) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        fake_stream_end(t->stream, ERR_UNAVAILABLE, "Socket closed");
        free(t->key);
        free(t->end);
        free(t);
    }
    tell_all();
    pthread_cond_broadcast(&etcd.changed);
    pthread_mutex_unlock(&etcd.lock);
}

const char *etcd_fixture_path(struct etcd_fixture *f, const char *name)
{
    (void)f;
    fprintf(stderr, "a fake etcd has no folder for %s\n", name);
    abort();
}

void etcd_fixture_kill(struct etcd_fixture *f, size_t member)
{
    (void)f;
    change(member, true, false);
}

int etcd_fixture_restart(struct etcd_fixture *f, size_t member)
{
    (void)f;
    change(member, false, false);
    return 0;
}

void etcd_fixture_pause(struct etcd_fixture *f, size_t member)
{
    (void)f;
    change(member, false, true);
}

void etcd_fixture_resume(struct etcd_fixture *f, size_t member)
{
    (void)f;
    change(member, false, false);
}

/* With others about, these have the data and give it back. */
void etcd_fixture_wipe(struct etcd_fixture *f, size_t member)
{
    (void)member;
    pthread_mutex_lock(&etcd.lock);
    if (f->members == 1)
        fake_store_wipe(&etcd.store);
    pthread_mutex_unlock(&etcd.lock);
}

int etcd_fixture_leader(struct etcd_fixture *f, int timeout_ms)
{
    int leader = -1;
    (void)timeout_ms;
    pthread_mutex_lock(&etcd.lock);
    for (size_t i = f->members; i-- > 0;)
        leader = works(i) ? (int)i : leader;
    pthread_mutex_unlock(&etcd.lock);
    return leader;
}
