#include <etcd/lease.h>

#include "internal.h"

#include <errno.h>
#include <sys/eventfd.h>

#include <base/clock.h>

#define TTL_MIN_S      5
#define TTL_MAX_S      3600
#define GRANT_MAX_S    (7 * 24 * 3600) /* of one that nobody keeps alive */
#define ATTEMPT_MIN_MS 500
#define ATTEMPT_MAX_MS 2000
#define BACKOFF_MS     50
#define BACKOFF_MAX_MS 500
#define REVOKE_MS      1000

struct etcd_lease {
    struct etcd *etcd;
    int64_t id;
    int64_t ttl_ms;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    bool lost;
    int64_t valid_until;       /* clock_mono_ms; counted from the sending of the last answered keep-alive */
    struct rpc_stream *stream; /* the thread's; here so that free can cancel it */
};

int etcd_lease_grant(struct etcd *e, int64_t ttl_s, int deadline_ms, int64_t *ret_id, struct error *err)
{
    if (ttl_s < 1 || ttl_s > GRANT_MAX_S)
        return error_set(err, ERR_INVALID, "a lease of %lld s; 1 to %d are possible", (long long)ttl_s,
                         GRANT_MAX_S);
    Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    q.ttl = ttl_s;
    _reply_ Etcdserverpb__LeaseGrantResponse *reply = NULL;
    int rc = etcd_call(e, METHOD_LEASE_GRANT, &q, deadline_ms, "lease grant", NULL, &reply, err);
    if (rc < 0)
        return rc;
    if (!reply->id || *reply->error)
        return error_set(err, ERR_UNAVAILABLE, "etcd %.300s grants no lease: %.200s", e->name, reply->error);
    *ret_id = reply->id;
    return 0;
}

int etcd_lease_revoke(struct etcd *e, int64_t id, int deadline_ms, struct error *err)
{
    Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    q.id = id;
    _reply_ Etcdserverpb__LeaseRevokeResponse *reply = NULL;
    return etcd_call(e, METHOD_LEASE_REVOKE, &q, deadline_ms, "lease revoke", NULL, &reply, err);
}

static void lose_locked(struct etcd_lease *l)
{
    if (l->lost)
        return;
    l->lost = true;
    eventfd_write(l->fd, 1);
    pthread_cond_broadcast(&l->wake);
}

/* Milliseconds left; past the end the lease is lost for good, whatever etcd may answer later. */
static int64_t remaining_locked(struct etcd_lease *l)
{
    int64_t left = l->lost ? 0 : l->valid_until - clock_mono_ms();
    if (left > 0)
        return left;
    lose_locked(l);
    return 0;
}

static bool ended_locked(struct etcd_lease *l)
{
    return l->stop || remaining_locked(l) == 0;
}

/* Publishes the stream for cancelling; false when the lease is over. */
static bool set_stream(struct etcd_lease *l, struct rpc_stream *stream)
{
    pthread_mutex_lock(&l->lock);
    struct rpc_stream *old = l->stream;
    l->stream = stream;
    bool go_on = !ended_locked(l);
    pthread_mutex_unlock(&l->lock);
    rpc_stream_free(old);
    return go_on;
}

static int attempt_ms(struct etcd_lease *l)
{
    int64_t ms = l->ttl_ms / 5;
    ms = ms < ATTEMPT_MIN_MS ? ATTEMPT_MIN_MS : ms > ATTEMPT_MAX_MS ? ATTEMPT_MAX_MS : ms;
    pthread_mutex_lock(&l->lock);
    int64_t left = remaining_locked(l);
    pthread_mutex_unlock(&l->lock);
    return (int)(left < ms ? left : ms);
}

static int exchange(struct etcd_lease *l, int64_t *ret_ttl_s)
{
    Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    q.id = l->id;
    int rc = rpc_stream_send(l->stream, &q.base, NULL);
    if (rc < 0)
        return rc;
    _reply_ Etcdserverpb__LeaseKeepAliveResponse *reply = NULL;
    rc = rpc_stream_receive(l->stream, attempt_ms(l), (ProtobufCMessage **)&reply, NULL);
    if (rc == ERR_TIMEOUT)
        rpc_stream_distrust(l->stream);
    if (rc < 0)
        return rc;
    if (identity_is_other(l->etcd, &reply->base, NULL)) {
        rpc_stream_distrust(l->stream);
        return ERR_UNAVAILABLE;
    }
    if (reply->id != l->id)
        return ERR_INVALID;
    *ret_ttl_s = reply->ttl;
    return 0;
}

/* One keep-alive. A stream that fails, or does not answer in time (a hung member), is given up: the next one
 * goes to another member, and an answer that comes too late cannot be taken for a later one's. */
static int keep_alive(struct etcd_lease *l)
{
    if (!l->stream) {
        struct rpc_stream *stream;
        int rc = rpc_stream_open(l->etcd->channel, method_rpc(METHOD_LEASE_KEEP_ALIVE), NULL, &stream, NULL);
        if (rc < 0)
            return rc;
        if (!set_stream(l, stream))
            return ERR_CANCELED;
    }
    int64_t sent = clock_mono_ms(), ttl_s = 0;
    int rc = exchange(l, &ttl_s);
    if (rc < 0) {
        set_stream(l, NULL);
        if (rc != ERR_NOT_FOUND)
            return rc;
    }
    pthread_mutex_lock(&l->lock);
    int64_t ttl_ms = ttl_s < l->ttl_ms / 1000 ? ttl_s * 1000 : l->ttl_ms;
    if (ttl_s <= 0)
        lose_locked(l); /* etcd's way to say that there is no such lease */
    else if (remaining_locked(l) > 0)
        l->valid_until = sent + ttl_ms;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

static void *run(void *arg)
{
    struct etcd_lease *l = arg;
    int64_t wait = l->ttl_ms / 3;
    unsigned failures = 0;
    pthread_mutex_lock(&l->lock);
    while (!ended_locked(l)) {
        int64_t left = remaining_locked(l), now = clock_mono_ms();
        int64_t until = now + (wait < left ? wait : left);
        while (!ended_locked(l) && (now = clock_mono_ms()) < until)
            cond_wait_ms(&l->wake, &l->lock, until - now);
        if (ended_locked(l))
            break;
        pthread_mutex_unlock(&l->lock);
        int rc = keep_alive(l);
        wait = rc == 0 ? l->ttl_ms / 3 : backoff_ms(failures, BACKOFF_MS, BACKOFF_MAX_MS);
        failures = rc == 0 ? 0 : failures + 1;
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    set_stream(l, NULL);
    return NULL;
}

static void lease_destroy(struct etcd_lease *l)
{
    if (l->fd >= 0)
        close(l->fd);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static int start(struct etcd_lease *l, int64_t ttl_s, int deadline_ms, struct error *err)
{
    if (l->fd < 0)
        return error_errno(err, errno, "eventfd");
    int64_t sent = clock_mono_ms();
    int rc = etcd_lease_grant(l->etcd, ttl_s, deadline_ms, &l->id, err);
    if (rc < 0)
        return rc;
    l->valid_until = sent + l->ttl_ms;
    rc = etcd_thread_start(&l->thread, run, l, err);
    if (rc < 0 && etcd_lease_revoke(l->etcd, l->id, REVOKE_MS, NULL) < 0)
        return rc; /* it runs out by itself */
    return rc;
}

int etcd_lease_new(struct etcd *e, int64_t ttl_s, int deadline_ms, struct etcd_lease **ret, struct error *err)
{
    if (ttl_s < TTL_MIN_S || ttl_s > TTL_MAX_S)
        return error_set(err, ERR_INVALID, "a lease of %lld s; %d to %d are possible", (long long)ttl_s,
                         TTL_MIN_S, TTL_MAX_S);
    struct etcd_lease *l = calloc(1, sizeof(*l));
    if (!l)
        return error_no_memory(err);
    l->etcd = e;
    l->ttl_ms = ttl_s * 1000;
    l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    int rc = start(l, ttl_s, deadline_ms, err);
    if (rc < 0)
        lease_destroy(l);
    else
        *ret = l;
    return rc;
}

int64_t etcd_lease_id(const struct etcd_lease *l)
{
    return l->id;
}

int64_t etcd_lease_remaining_ms(struct etcd_lease *l)
{
    pthread_mutex_lock(&l->lock);
    int64_t left = remaining_locked(l);
    pthread_mutex_unlock(&l->lock);
    return left;
}

bool etcd_lease_alive(struct etcd_lease *l)
{
    return etcd_lease_remaining_ms(l) > 0;
}

int etcd_lease_fd(const struct etcd_lease *l)
{
    return l->fd;
}

void etcd_lease_free(struct etcd_lease *l, bool revoke)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    if (l->stream)
        rpc_stream_cancel(l->stream);
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    if (revoke && etcd_lease_revoke(l->etcd, l->id, REVOKE_MS, NULL) < 0)
        l->lost = true; /* best effort: it runs out by itself */
    lease_destroy(l);
}
