#include "service.h"

#include <base/arena.h>
#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>

#include "ask.h"

#define REPLY_ROOM 2048

/* ---------- answers ---------- */

struct reply *reply_new(void)
{
    struct arena *memory = arena_new(REPLY_ROOM);
    struct reply *r = memory ? arena_alloc(memory, sizeof(*r)) : NULL;
    if (!r) {
        arena_free(memory);
        return NULL;
    }
    memset(r, 0, sizeof(*r));
    r->memory = memory;
    return r;
}

char *reply_text(struct reply *r, const char *text)
{
    return arena_copy(r->memory, text, strlen(text));
}

void reply_free(ProtobufCMessage *message)
{
    struct reply *r = (struct reply *)(void *)message; /* the message is its first member */
    if (!r)
        return;
    feed_state_unref(r->state);
    free(r->messages);
    arena_free(r->memory);
}

/* ---------- a call ---------- */

void service_tell_refusal(struct service *s, const struct who *w, const char *call, const char *what,
                          const char *text, uint64_t more)
{
    char why[CLUSTER_TEXT_MAX];
    bool keep = limits_keep(s->limits, w->identity, clock_mono_ms(), more, &more);
    text_copy(why, sizeof(why), text);
    if (more > 0)
        snprintf(why, sizeof(why), "%.400s (and %llu more like it)", text, (unsigned long long)more);
    if (keep)
        trail_add(s->trail, w, call, what, "refused", why);
    else
        trail_log(w, call, what, "refused", why);
}

static void tell_refusal(struct service *s, const struct who *w, const char *call, const char *what,
                         const struct error *err)
{
    int64_t now = clock_mono_ms();
    unsigned more = 0;
    if (limits_tell(s->limits, w->identity, now, &more))
        service_tell_refusal(s, w, call, what, err->text, more);
}

/* A connection may outlive its certificate. */
static int check_certificate(const struct who *w, struct error *err)
{
    return w->until_ms == 0 || clock_wall_ms() < w->until_ms
               ? 0
               : error_set(err, ERR_DENIED, "the client certificate has expired: connect with a new one");
}

static int admit(const struct who *w, const struct api_deed *deed, struct error *err)
{
    int rc = check_certificate(w, err);
    return rc == 0 ? api_role_check(w->role, deed, err) : rc;
}

static int write_call(struct service *s, const struct rpc_incoming *c, enum api_call call,
                      const Secretsencrypt__V1__WriteRequest *m, ProtobufCMessage **ret, struct error *err)
{
    const struct who *w = c->peer;
    char what[CLUSTER_TEXT_MAX] = "?";
    struct api_deed deed = {.call = call, .kind = -1, .force = m->force, .skip = m->skip, .now = m->now};
    _cleanup_free_ struct cluster_request *r = calloc(1, sizeof(*r));
    struct error own = ERROR_INIT;
    if (!r)
        return error_no_memory(err);
    bool withdraw = call == API_WITHDRAW;
    int rc = withdraw ? 0 : ask_request(call, m, r, &own);
    if (withdraw)
        snprintf(what, sizeof(what), "withdraw %.64s", m->idempotency_key);
    else if (rc == 0)
        ask_text(call, r, what, sizeof(what));
    deed.kind = rc == 0 && !withdraw ? (int)r->kind : -1;
    int allowed =
        admit(w, &deed, &own); /* nobody without the right learns whether the request was a good one */
    rc = allowed < 0 ? allowed : rc;
    if (rc == 0)
        rc = limits_take(s->limits, w->identity, clock_mono_ms(), &own);
    if (rc < 0) {
        tell_refusal(s, w, api_call_name(call), what, &own);
        return error_set(err, rc, "%s", own.text);
    }
    return withdraw ? service_withdraw(s, c, m, ret, err) : service_write(s, c, call, m, r, ret, err);
}

static int read_call(struct service *s, const struct rpc_incoming *c, enum api_call call,
                     const ProtobufCMessage *request, ProtobufCMessage **ret, struct error *err)
{
    switch (call) {
    case API_STATUS:
        return service_status(s, c, ret, err);
    case API_WATCH:
        return service_watch(s, c, (const Secretsencrypt__V1__WatchRequest *)request, err);
    case API_AUDIT:
        return service_audit(s, (const Secretsencrypt__V1__AuditRequest *)request, ret, err);
    default:
        return service_json(s, c, call, ret, err);
    }
}

static int admit_and_read(struct service *s, const struct rpc_incoming *c, enum api_call call,
                          const ProtobufCMessage *request, ProtobufCMessage **ret, struct error *err)
{
    const struct who *w = c->peer;
    const struct api_deed deed = {.call = call, .kind = -1};
    struct error own = ERROR_INIT;
    int rc = admit(w, &deed, &own);
    if (rc < 0) {
        tell_refusal(s, w, api_call_name(call), "", &own);
        return error_set(err, rc, "%s", own.text);
    }
    rc = read_call(s, c, call, request, ret, err);
    log_event(LOG_LEVEL_INFO, "api", LOG_S("call", api_call_name(call)), LOG_S("who", w->identity),
              LOG_S("from", w->from), LOG_S("result", rc < 0 ? error_code_name(rc) : "answered"));
    return rc;
}

/* Every method comes through here. */
static int handle(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                  ProtobufCMessage **ret, struct error *err)
{
    int call = api_call_parse(c->method);
    if (call < 0)
        return error_set(err, ERR_UNSUPPORTED, "no such call");
    bool writes = api_call_request((enum api_call)call) == &secretsencrypt__v1__write_request__descriptor;
    return writes ? write_call(arg, c, (enum api_call)call, (const Secretsencrypt__V1__WriteRequest *)request,
                               ret, err)
                  : admit_and_read(arg, c, (enum api_call)call, request, ret, err);
}

const struct rpc_server_method *service_methods(size_t *ret_count)
{
    static struct rpc_server_method methods[API_CALLS];
    for (int i = 0; i < API_CALLS; i++) /* the same each time: by the one thread that opens servers */
        methods[i] = (struct rpc_server_method){.path = api_call_path((enum api_call)i),
                                                .request = api_call_request((enum api_call)i),
                                                .streams = i == API_WATCH,
                                                .handle = handle,
                                                .free_reply = reply_free};
    *ret_count = API_CALLS;
    return methods;
}

/* ---------- the service ---------- */

int service_new(const struct config *config, struct store *store, struct etcd *datastore, struct feed *feed,
                struct service **ret, struct error *err)
{
    struct service *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    pthread_mutex_init(&s->lock, NULL);
    s->config = config;
    s->store = store;
    s->datastore = datastore;
    s->feed = feed;
    int rc = limits_new(API_WRITES_A_MINUTE, &s->limits, err);
    if (rc == 0)
        rc = trail_new(store, config->server, &s->trail, err);
    if (rc < 0)
        service_free(s);
    else
        *ret = s;
    return rc;
}

void service_stop(struct service *s)
{
    feed_stop(s->feed);
}

void service_free(struct service *s)
{
    if (!s)
        return;
    trail_free(s->trail);
    limits_free(s->limits);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
