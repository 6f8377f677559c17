#include "internal.h"

#include <grpc/grpc_security.h>

#include <base/clock.h>

#define TARGET_MAX        1024
#define ARGS_MAX          20
#define KEEPALIVE_MS      7000 /* etcd refuses pings more often than every 5 s */
#define KEEPALIVE_WAIT_MS 2000
#define CONNECT_MS        2000  /* one attempt, TLS and all; the connection is made in the background */
#define CONNECT_WAIT_MS   1000  /* how long a call waits for a connection before it takes what there is */
#define DISTRUST_MS       10000 /* longer than the keep-alive needs to find a dead connection */

#ifndef SECRETS_ENCRYPT_VERSION
#define SECRETS_ENCRYPT_VERSION "0"
#endif

struct args {
    grpc_arg list[ARGS_MAX];
    size_t count;
};

static void arg_int(struct args *a, const char *key, int value)
{
    grpc_arg *arg = &a->list[a->count++];
    arg->type = GRPC_ARG_INTEGER;
    arg->key = (char *)key;
    arg->value.integer = value;
}

static void arg_string(struct args *a, const char *key, const char *value)
{
    grpc_arg *arg = &a->list[a->count++];
    arg->type = GRPC_ARG_STRING;
    arg->key = (char *)key;
    arg->value.string = (char *)value;
}

static const struct {
    const char *key;
    int value;
} fixed_args[] = {
    {GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS},
    {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_WAIT_MS},
    {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
    {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100},
    {GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000},
    {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_MS}, /* in truth: how long one connect may take */
    {GRPC_ARG_ENABLE_HTTP_PROXY, 0},
    {GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1},
    {GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000},
    {GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, 5000},
    {GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS, INT32_MAX}, /* stay connected: the next call may be urgent */
    {GRPC_ARG_ENABLE_CHANNELZ, 0},
    /* Retries are ours to decide; and gRPC 1.51's retry filter aborts the process on a reply without a
     * status, which etcd sends over TLS when it goes down (grpc/grpc issue 34683). */
    {GRPC_ARG_ENABLE_RETRIES, 0},
};

static const char *name_or(const char *name, const char *fallback)
{
    return name ? name : fallback;
}

static int check_pems(const struct rpc_channel_options *o, struct error *err)
{
    if (!o->tls)
        return 0;
    if (!o->cert_pem != !o->key_pem)
        return error_set(err, ERR_INVALID, "a client certificate and its key go together; one is missing");
    int rc = o->ca_pem ? pem_check(o->ca_pem, "CERTIFICATE", name_or(o->ca_name, "the CA"), err) : 0;
    if (rc == 0 && o->cert_pem)
        rc = pem_check(o->cert_pem, "CERTIFICATE", name_or(o->cert_name, "the client certificate"), err);
    if (rc == 0 && o->key_pem)
        rc = pem_check(o->key_pem, "PRIVATE KEY", name_or(o->key_name, "the client key"), err);
    return rc;
}

static grpc_channel_credentials *make_credentials(const struct rpc_channel_options *o)
{
    if (!o->tls)
        return grpc_insecure_credentials_create();
    grpc_ssl_pem_key_cert_pair pair = {.private_key = o->key_pem, .cert_chain = o->cert_pem};
    return grpc_ssl_credentials_create(o->ca_pem, o->key_pem ? &pair : NULL, NULL, NULL);
}

static grpc_channel *make_channel(const struct rpc_channel_options *o, const char *target, const char *name)
{
    struct args a = {.count = 0};
    for (size_t i = 0; i < array_len(fixed_args); i++)
        arg_int(&a, fixed_args[i].key, fixed_args[i].value);
    arg_int(&a, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)o->max_message);
    /* Of one address (or of a name's): this policy connects again by itself. */
    arg_string(&a, GRPC_ARG_LB_POLICY_NAME, "round_robin");
    arg_string(&a, GRPC_ARG_PRIMARY_USER_AGENT_STRING, "secrets-encrypt/" SECRETS_ENCRYPT_VERSION);
    /* Unless own_names says otherwise the same name for all: the certificates of a cluster's members need
     * have only one in common. */
    if (o->tls)
        arg_string(&a, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, name);
    grpc_channel_credentials *creds = make_credentials(o);
    if (!creds)
        return NULL;
    grpc_channel_args args = {.num_args = a.count, .args = a.list};
    grpc_channel *channel = grpc_channel_create(target, creds, &args);
    grpc_channel_credentials_release(creds);
    return channel;
}

static void watch_locked(struct address *a)
{
    a->owner->watches++;
    grpc_channel_watch_connectivity_state(a->channel, a->state, gpr_inf_future(GPR_CLOCK_MONOTONIC),
                                          runtime_queue(), &a->watch);
}

/* Destroying the channel is a change of its state, too, and ends the watch. */
static void on_state(struct tag *t, bool ok)
{
    (void)ok;
    struct address *a = t->owner;
    struct rpc_channel *c = a->owner;
    pthread_mutex_lock(&c->lock);
    c->watches--;
    if (!c->closing) {
        a->state = grpc_channel_check_connectivity_state(a->channel, 1);
        watch_locked(a);
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static int open_address(const struct rpc_channel_options *o, struct rpc_channel *c, size_t i,
                        struct error *err)
{
    struct address *a = &c->addresses[i];
    _cleanup_(buf_freep) struct buf target = BUF_INIT(TARGET_MAX);
    char host[256] = "localhost", port[8];
    const char *named = o->own_names ? o->addresses[i] : o->addresses[0];
    bool local = o->local && target_is_local(o->addresses[i]);
    int rc =
        local ? target_make_local(o->addresses[i], &target, err) : target_make(o->addresses[i], &target, err);
    if (rc == 0 && !(o->local && target_is_local(named)))
        rc = target_split(named, host, sizeof(host), port, sizeof(port), err);
    if (rc < 0)
        return rc;
    a->owner = c;
    a->watch = (struct tag){on_state, a};
    a->channel = make_channel(o, buf_str(&target), o->server_name ? o->server_name : host);
    if (!a->channel)
        return error_set(err, ERR_INVALID, "gRPC does not accept the TLS files");
    c->count++;
    pthread_mutex_lock(&c->lock);
    a->state = grpc_channel_check_connectivity_state(a->channel, 1);
    watch_locked(a);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

int rpc_channel_open(const struct rpc_channel_options *options, struct rpc_channel **ret, struct error *err)
{
    if (!options->addresses_count || !options->max_message || options->max_message > INT32_MAX)
        return error_set(err, ERR_INVALID, "a channel needs an address and a message limit");
    int rc = check_pems(options, err);
    if (rc < 0)
        return rc;
    struct rpc_channel *c = calloc(1, sizeof(*c) + options->addresses_count * sizeof(c->addresses[0]));
    if (!c)
        return error_no_memory(err);
    rc = runtime_acquire(err);
    if (rc < 0) {
        free(c);
        return rc;
    }
    c->max_message = options->max_message;
    c->tls = options->tls;
    c->has_certificate = options->cert_pem != NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    for (size_t i = 0; i < options->addresses_count && rc == 0; i++)
        rc = open_address(options, c, i, err);
    if (rc < 0)
        rpc_channel_close(c);
    else
        *ret = c;
    return rc;
}

void rpc_channel_close(struct rpc_channel *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    for (struct flight *f = c->flights; f; f = f->next)
        if (f->call)
            grpc_call_cancel(f->call, NULL);
    while (c->flights)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < c->count; i++)
        grpc_channel_destroy(c->addresses[i].channel);
    pthread_mutex_lock(&c->lock);
    while (c->watches)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
    runtime_release();
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* --- which address --- */

enum rank { CONNECTED, CONNECTING, CONNECTED_DISTRUSTED, CONNECTING_DISTRUSTED, FAILED };

static enum rank rank_of(const struct address *a, int64_t now)
{
    bool distrusted = now < a->distrusted_until;
    switch (a->state) {
    case GRPC_CHANNEL_READY:
        return distrusted ? CONNECTED_DISTRUSTED : CONNECTED;
    case GRPC_CHANNEL_IDLE:
    case GRPC_CHANNEL_CONNECTING:
        return distrusted ? CONNECTING_DISTRUSTED : CONNECTING;
    default:
        return FAILED;
    }
}

static struct address *best_locked(struct rpc_channel *c, enum rank *ret_rank)
{
    int64_t now = clock_mono_ms();
    struct address *best = NULL;
    for (size_t k = 0; k < c->count; k++) {
        struct address *a = &c->addresses[(c->next + k) % c->count];
        enum rank rank = rank_of(a, now);
        if (!best || rank < *ret_rank) {
            best = a;
            *ret_rank = rank;
        }
    }
    return best;
}

struct address *address_pick(struct rpc_channel *c, int which)
{
    if (which >= 0 && (size_t)which < c->count)
        return &c->addresses[which];
    pthread_mutex_lock(&c->lock);
    enum rank rank = FAILED;
    struct address *a = best_locked(c, &rank);
    c->next = (size_t)(a - c->addresses) + 1;
    pthread_mutex_unlock(&c->lock);
    return a;
}

void address_wait(struct rpc_channel *c, int64_t ms)
{
    if (c->count == 1)
        return; /* gRPC lets the call wait by itself */
    struct timespec until = wait_until(ms < CONNECT_WAIT_MS ? ms : CONNECT_WAIT_MS);
    enum rank rank = FAILED;
    pthread_mutex_lock(&c->lock);
    while (best_locked(c, &rank) && (rank == CONNECTING || rank == CONNECTING_DISTRUSTED))
        if (pthread_cond_clockwait(&c->changed, &c->lock, CLOCK_MONOTONIC, &until) != 0)
            break;
    pthread_mutex_unlock(&c->lock);
}

void address_note(struct address *a, int code)
{
    if (code == ERR_CANCELED)
        return; /* our own doing */
    bool failed = code == ERR_UNAVAILABLE || code == ERR_TIMEOUT;
    pthread_mutex_lock(&a->owner->lock);
    a->distrusted_until = failed ? clock_mono_ms() + DISTRUST_MS : 0;
    pthread_mutex_unlock(&a->owner->lock);
}

int flight_begin(struct rpc_channel *c, struct flight *f, struct error *err)
{
    pthread_mutex_lock(&c->lock);
    bool closing = c->closing;
    if (!closing) {
        f->prev = NULL;
        f->next = c->flights;
        if (f->next)
            f->next->prev = f;
        c->flights = f;
    }
    pthread_mutex_unlock(&c->lock);
    return closing ? error_set(err, ERR_CANCELED, "the connection is being closed") : 0;
}

void flight_set_call(struct rpc_channel *c, struct flight *f, grpc_call *call)
{
    pthread_mutex_lock(&c->lock);
    f->call = call;
    if (call && c->closing)
        grpc_call_cancel(call, NULL);
    pthread_mutex_unlock(&c->lock);
}

void flight_end(struct rpc_channel *c, struct flight *f)
{
    pthread_mutex_lock(&c->lock);
    if (f->prev)
        f->prev->next = f->next;
    else
        c->flights = f->next;
    if (f->next)
        f->next->prev = f->prev;
    if (!c->flights)
        pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}
