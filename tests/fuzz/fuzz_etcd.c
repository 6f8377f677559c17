/* Any bytes as what etcd answers: replies one after another, each behind its length (two bytes; with the
 * highest bit set it is an error instead). They stand in for gRPC underneath the client, so that all of
 * lib/etcd runs: what is read and copied has its NULs, what was refused says why, and a watch loses nothing
 * without saying so. */
#include "../../lib/etcd/internal.h"

#include <semaphore.h>

#include <etcd/lease.h>

#include "fake_message.h"
#include "fake_rpc.h"
#include "fuzz.h"

#define DEADLINE_MS 10000
#define KEYS_MAX    64

/* ---------- etcd ---------- */

static struct {
    pthread_mutex_t lock;
    const uint8_t *at;
    size_t left;
    sem_t told; /* a stream has told all */
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* False: there is none any more. */
static bool take_reply(const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret, int *ret_code,
                       struct error *err)
{
    static const int codes[] = {ERR_TOO_LARGE, ERR_COMPACTED, ERR_TIMEOUT, ERR_UNAVAILABLE};
    pthread_mutex_lock(&store.lock);
    bool is = store.left >= 2;
    size_t len = is ? (size_t)(store.at[0] << 8 | store.at[1]) : 0;
    store.at += is ? 2 : 0;
    store.left -= is ? 2 : 0;
    *ret_code = !is ? ERR_UNAVAILABLE : len & 0x8000 ? codes[len & 3] : 0;
    if (*ret_code == 0) {
        len = len < store.left ? len : store.left;
        struct error why = ERROR_INIT;
        *ret_code = fake_rpc_unpack(type, store.at, len, ret, &why);
        MUST(*ret_code == 0 ? *ret != NULL : why.code == *ret_code && *why.text);
        store.at += len;
        store.left -= len;
    }
    pthread_mutex_unlock(&store.lock);
    if (*ret_code < 0)
        error_set(err, *ret_code, "from the store");
    return is;
}

int fake_answer(struct rpc_channel *c, int which, const struct rpc_method *method,
                const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret, struct error *err)
{
    int code;
    (void)c, (void)which, (void)deadline_ms;
    MUST(protobuf_c_message_get_packed_size(request) < ETCD_VALUE_MAX);
    take_reply(method->reply, ret, &code, err);
    return code;
}

/* All replies are its, up to the first that is an error. */
int fake_stream_opened(struct rpc_stream *s, struct error *err)
{
    struct error why = ERROR_INIT;
    ProtobufCMessage *reply = NULL;
    int code;
    (void)err;
    while (take_reply(fake_stream_method(s)->reply, &reply, &code, &why)) {
        if (code < 0) {
            fake_stream_end(s, code, why.text);
            break;
        }
        fake_stream_push(s, reply);
    }
    return 0;
}

void fake_stream_sent(struct rpc_stream *s, const ProtobufCMessage *message)
{
    (void)s, (void)message;
}

void fake_stream_idle(struct rpc_stream *s)
{
    (void)s;
    sem_post(&store.told);
}

void fake_stream_closed(struct rpc_stream *s)
{
    (void)s;
}

/* Nobody waits between two tries here (the linker puts it in the place of lib/base's). */
int64_t __wrap_backoff_ms(unsigned attempt, int64_t first_ms, int64_t max_ms);
int64_t __wrap_backoff_ms(unsigned attempt, int64_t first_ms, int64_t max_ms)
{
    (void)attempt, (void)first_ms, (void)max_ms;
    return 0;
}

/* ---------- what is asked of it ---------- */

static struct etcd *client(void)
{
    static char name[] = "fuzz";
    static struct etcd e = {.name = name, .count = 1};
    return &e;
}

static void must_fail(int rc, const struct error *err)
{
    MUST(err->code == rc && strstr(err->text, "fuzz"));
}

static void must_be_whole(const struct etcd_kv *kv)
{
    MUST(kv->key && kv->value && kv->key[kv->key_len] == 0 && kv->value[kv->value_len] == 0);
}

static void must_be_a_range(const struct etcd_range *r)
{
    for (size_t i = 0; i < r->count; i++)
        must_be_whole(&r->kvs[i]);
    MUST(r->count == 0 || (r->kvs && r->memory));
}

static void get(void)
{
    struct etcd_range r = {0};
    struct error err = ERROR_INIT;
    int rc = etcd_get(client(), "/p/a", DEADLINE_MS, &r, &err);
    MUST(rc < 0 || r.count > 0);
    if (rc < 0)
        must_fail(rc, &err);
    else
        must_be_a_range(&r);
    etcd_range_free(&r);
}

static void list(void)
{
    const struct etcd_range_options o = {.prefix = "/p/", .limit = KEYS_MAX};
    struct etcd_range r = {0};
    struct error err = ERROR_INIT;
    int rc = etcd_list(client(), &o, DEADLINE_MS, &r, &err);
    if (rc < 0)
        must_fail(rc, &err);
    else
        must_be_a_range(&r);
    etcd_range_free(&r);
}

static void snapshot(void)
{
    struct etcd_range r = {0};
    struct error err = ERROR_INIT;
    int rc = etcd_snapshot(client(), "/p/", KEYS_MAX, DEADLINE_MS, &r, &err);
    if (rc < 0) {
        MUST(!r.kvs && !r.memory);
        must_fail(rc, &err);
        return;
    }
    MUST(r.count <= KEYS_MAX && r.revision > 0 && !r.more);
    must_be_a_range(&r);
    etcd_range_free(&r);
}

static void pages(unsigned readers)
{
    const struct etcd_pager_options o = {.prefix = "/p/",
                                         .page = 4,
                                         .page_bytes = 4096,
                                         .readers = readers,
                                         .tries = 2,
                                         .deadline_ms = DEADLINE_MS};
    struct etcd_pager *p = NULL;
    struct error err = ERROR_INIT;
    MUST(etcd_pager_new(client(), &o, &p, &err) == 0);
    for (bool more = true; more;) {
        struct etcd_range r = {0};
        int rc = etcd_pager_next(p, &r, &err);
        if (rc < 0)
            MUST(err.code == rc && *err.text);
        else
            must_be_a_range(&r);
        more = rc == 0 && r.count > 0;
        etcd_range_free(&r);
    }
    etcd_pager_free(p);
}

static void done(void *arg, int code, int64_t revision, const struct error *why)
{
    (void)revision;
    MUST(code == 0 ? !why : why && why->code == code);
    ++*(int *)arg;
}

static void transaction(void)
{
    struct error err = ERROR_INIT;
    int64_t revision = -1;
    int calls = 0;
    struct etcd_txn *t = etcd_txn_new(client()), *u = etcd_txn_new(client());
    etcd_txn_if_mod(t, "/p/a", 7);
    etcd_txn_put(t, "/p/a", "x", 1, 0);
    etcd_txn_delete(t, "/p/b");
    int rc = etcd_txn_commit(t, DEADLINE_MS, &revision, &err);
    if (rc < 0)
        must_fail(rc, &err);
    etcd_txn_if_create(u, "/p/a", 0);
    etcd_txn_put(u, "/p/a", "x", 1, 3);
    MUST(etcd_txn_start(u, DEADLINE_MS, done, &calls, &err) == 0 && calls == 1);
    etcd_txn_free(t);
    etcd_txn_free(u);
}

static void health(void)
{
    struct etcd_members m;
    struct etcd_status s;
    struct etcd_alarm_list a;
    struct error err = ERROR_INIT;
    if (etcd_member_list(client(), DEADLINE_MS, &m, &err) == 0) {
        MUST(m.count <= ETCD_ENDPOINT_MAX);
        for (size_t i = 0; i < m.count; i++)
            MUST(memchr(m.members[i].name, 0, sizeof(m.members[i].name)) &&
                 memchr(m.members[i].client_url, 0, sizeof(m.members[i].client_url)));
    }
    if (etcd_member_status(client(), 0, DEADLINE_MS, &s, &err) == 0)
        MUST(memchr(s.version, 0, sizeof(s.version)));
    if (etcd_alarms(client(), DEADLINE_MS, &a, &err) == 0) {
        MUST(a.count <= ETCD_ALARMS_MAX);
        for (size_t i = 0; i < a.count; i++)
            MUST(*etcd_alarm_name(a.alarms[i].type));
    }
}

/* Events before `start` are none of ours, nor such as a RESYNC covers. */
static void watch(int64_t start)
{
    struct etcd_watch *w = NULL;
    struct error err = ERROR_INIT;
    struct etcd_event ev;
    int64_t covered = start - 1;
    sem_init(&store.told, 0, 0);
    MUST(etcd_watch_new(client(), "/p/", start, &w, &err) == 0);
    while (sem_wait(&store.told) < 0)
        ;
    while (etcd_watch_next(w, 0, &ev, &err) == 0) {
        if (ev.type == ETCD_EVENT_RESYNC) {
            MUST(!ev.kv.key && !ev.kv.value);
            covered = ev.revision;
        } else {
            must_be_whole(&ev.kv);
            MUST(ev.revision == ev.kv.mod_revision && ev.revision > covered);
        }
        etcd_event_free(&ev);
    }
    MUST(err.code == ERR_TIMEOUT && etcd_watch_progress(w) >= 0);
    etcd_watch_free(w);
    sem_destroy(&store.told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    store.at = data + 1;
    store.left = size - 1;
    switch (data[0]) {
    case 'g':
        get();
        break;
    case 'l':
        list();
        break;
    case 's':
        snapshot();
        break;
    case 'p':
    case 'q':
        pages(data[0] == 'p' ? 1 : 2);
        break;
    case 't':
        transaction();
        break;
    case 'h':
        health();
        break;
    case 'w':
        watch(0);
        break;
    default:
        watch(data[0] % 16);
    }
    return 0;
}
