#include "probes.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <base/clock.h>
#include <base/text.h>
#include <kube/kube.h>

#include "../api_login.h"
#include "../proofs/values.h"

#define ANNOTATION  "secrets-encrypt/probe"
#define NAME_END    "-probe"
#define DEADLINE_MS 3000
#define WATCH_S     (6 * 3600) /* API servers keep one open for an hour at most unless they are asked */
#define IDLE_ROUNDS 11         /* the first one makes the connections, and does not count */
#define IDLE_EVERY  200
#define REMOVE_MS   5000
#define REMAKE_MS   10000
#define REOPEN_MS   500
#define REOPEN_MAX  5000

static double now_fine(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t servers_count(const struct probes *p)
{
    return job_opts(p->job)->spec.servers_count;
}

/* ---------- the object ---------- */

/* Every resource has a cache of its own in each API server, fed by an etcd watch of its own: what the rewrite
 * does to watchers of Secrets is felt on a Secret alone. */
static const struct canary_kind *choose_kind(const struct job_options *o)
{
    for (size_t i = 0; i < o->spec.resources_count; i++) {
        const struct canary_kind *kind = canary_kind(o->spec.resources[i]);
        if (kind)
            return kind;
    }
    return canary_kind("configmaps");
}

/* A canary's name, so that canary_sweep finds one that a crash left behind. */
static int name_object(struct probes *p, struct error *err)
{
    const struct job_options *o = job_opts(p->job);
    struct canary *c = &p->object;
    char prefix[VALUES_PREFIX_MAX];
    int rc = canary_make(o, choose_kind(o), -1, c, err);
    if (rc < 0)
        return rc;
    size_t id_end = strlen(CANARY_NAME) + 8;
    snprintf(c->name + id_end, sizeof(c->name) - id_end, NAME_END);
    values_prefix(o, c->kind->resource, prefix);
    snprintf(c->etcd_key, sizeof(c->etcd_key), "%s%s/%s", prefix, c->namespace, c->name);
    snprintf(c->path, sizeof(c->path), "%s/%s", c->collection, c->name);
    return 0;
}

/* Those of earlier runs, also where the kind is not among the managed ones. */
static int sweep(const struct probes *p, struct error *err)
{
    _cleanup_free_ struct job_options *o = malloc(sizeof(*o));
    if (!o)
        return error_no_memory(err);
    *o = *job_opts(p->job);
    o->spec.resources_count = 1;
    text_copy(o->spec.resources[0], sizeof(o->spec.resources[0]), p->object.kind->resource);
    return canary_sweep(o, err);
}

static int make_through(struct probes *p, size_t server, struct error *err)
{
    struct kube_options options = api_login(job_opts(p->job), server);
    _cleanup_(kube_closep) struct kube *k = NULL;
    _cleanup_(buf_freep) struct buf body = BUF_INIT(2048), reply = BUF_INIT(64 * 1024);
    const struct canary *c = &p->object;
    long status = 0;
    int rc = kube_open(&options, &k, err);
    if (rc == 0)
        rc = buf_addf(&body, err,
                      "{\"apiVersion\":\"v1\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
                      "\"%s\",\"annotations\":{\"" ANNOTATION "\":\"%" PRId64 "\"}}%s}",
                      c->kind->kind, c->name, c->namespace, p->number,
                      c->kind->type ? ",\"type\":\"Opaque\"" : "");
    if (rc < 0)
        return rc;
    p->made = true; /* an answer may be lost */
    rc = kube_request(k, "POST", c->collection, "application/json", "application/json", body.data, body.len,
                      DEADLINE_MS, &status, &reply, err);
    if (rc < 0 || (status >= 200 && status < 300) || status == 409) /* 409: it is there */
        return rc;
    return error_set(err, status == 403 || status == 401 ? ERR_DENIED : ERR_UNAVAILABLE,
                     "%s: creating %s answered %ld", options.server, c->path, status);
}

static int make_object(struct probes *p, struct error *err)
{
    struct error last = ERROR_INIT;
    int rc = error_set(&last, ERR_UNAVAILABLE, "no API server can be asked");
    p->made_ms = clock_mono_ms();
    for (size_t i = 0; i < servers_count(p) && rc < 0 && !job_canceled(p->job); i++)
        if (job_usable(p->job, i))
            rc = make_through(p, i, &last);
    p->missing = rc < 0;
    return rc < 0 ? error_set(err, rc, "%s", last.text) : 0;
}

/* ---------- what comes back ---------- */

static void not_measured(struct probes *p, size_t server, const char *why)
{
    text_copy(p->feel.servers[server].why, sizeof(p->feel.servers[server].why), why);
}

/* What says that the server is in trouble; the rest (403, 404) says that we are. */
static bool is_trouble(long status)
{
    return status == 0 || status == 429 || status >= 500;
}

static void take_status(struct probes *p, size_t server, long status, const char *why)
{
    if (is_trouble(status))
        p->feel.servers[server].errors++;
    else if (status != 404 || !p->missing) /* why it could not be made says more */
        not_measured(p, server, why);
    if (status == 404)
        p->missing = true;
}

static const enum feel_kind feels[KUBE_PROBES] = {[KUBE_PROBE_GET] = FEEL_GET, [KUBE_PROBE_LIST] = FEEL_LIST};

static void on_answer(void *arg, size_t server, enum kube_probe kind, long status, double ms, int64_t number,
                      const char *why)
{
    struct probes *p = arg;
    if (status != 200) {
        if (kind == KUBE_PROBE_PATCH && status == 409) /* the rewrite was quicker */
            return;
        if (kind != KUBE_PROBE_PATCH && !is_trouble(status))
            feel_unknown(&p->feel, server, feels[kind]);
        take_status(p, server, status, why);
        return;
    }
    if (kind == KUBE_PROBE_PATCH) {
        feel_touched(&p->feel, number, now_fine());
        return;
    }
    if (p->idle)
        feel_idle(&p->feel, server, feels[kind], ms);
    else
        feel_answer(&p->feel, server, feels[kind], ms);
}

static void on_event(void *arg, size_t server, int64_t number, bool first)
{
    struct probes *p = arg;
    feel_seen(&p->feel, server, number, first, now_fine());
    p->servers[server].lost = 0;
}

static void on_watch_end(void *arg, size_t server, bool stood, long status, const char *why)
{
    struct probes *p = arg;
    int64_t now = clock_mono_ms();
    bool in_time = now - p->servers[server].opened_ms >= (int64_t)WATCH_S * 1000 - DEADLINE_MS;
    feel_watch_lost(&p->feel, server);
    p->servers[server].opened_ms = 0;
    p->servers[server].open_ms = now + backoff_ms(p->servers[server].lost++, REOPEN_MS, REOPEN_MAX);
    if (stood && in_time) /* it was asked for no longer */
        return;
    if (stood)
        p->feel.servers[server].closed++;
    else
        take_status(p, server, status, why);
}

/* ---------- asking ---------- */

static int make_prober(struct probes *p, struct error *err)
{
    _cleanup_free_ struct kube_options *logins = calloc(servers_count(p) + 1, sizeof(*logins));
    const struct canary *c = &p->object;
    if (!logins)
        return error_no_memory(err);
    struct kube_prober_options o = {
        .servers = logins,
        .servers_count = servers_count(p),
        .object = {.resource = {.api_path = "/api/v1", .namespaced = true}, .annotation = ANNOTATION},
        .calls = {on_answer, on_event, on_watch_end, p},
        .deadline_ms = DEADLINE_MS,
        .watch_s = WATCH_S,
    };
    for (size_t i = 0; i < o.servers_count; i++)
        logins[i] = api_login(job_opts(p->job), i);
    text_copy(o.object.resource.name, sizeof(o.object.resource.name), c->kind->resource);
    text_copy(o.object.resource.plural, sizeof(o.object.resource.plural), c->kind->resource);
    text_copy(o.object.name.namespace, sizeof(o.object.name.namespace), c->namespace);
    text_copy(o.object.name.name, sizeof(o.object.name.name), c->name);
    return kube_prober_new(&o, &p->prober, err);
}

/* One that is asked already when the next one is due counts as an answer of its age: else a server that hangs
 * would look fine. */
static void ask(struct probes *p, size_t server, enum kube_probe kind)
{
    double age = kube_prober_age(p->prober, server, kind);
    struct error why = ERROR_INIT;
    if (age < 0 && kube_prober_ask(p->prober, server, kind, 0, &why) < 0)
        not_measured(p, server, why.text);
    else if (age >= 0 && !p->idle)
        feel_answer(&p->feel, server, feels[kind], age);
}

static bool use(struct probes *p, size_t i)
{
    bool usable = job_usable(p->job, i);
    if (p->servers[i].used && !usable) {
        kube_prober_drop(p->prober, i);
        feel_forget(&p->feel, i);
        p->servers[i].open_ms = p->servers[i].opened_ms = 0;
        p->servers[i].lost = 0;
    }
    p->servers[i].used = usable;
    return usable;
}

static void ask_server(struct probes *p, size_t i)
{
    struct error why = ERROR_INIT;
    int64_t now = clock_mono_ms();
    if (!use(p, i))
        return;
    ask(p, i, KUBE_PROBE_GET);
    ask(p, i, KUBE_PROBE_LIST);
    if (p->servers[i].opened_ms != 0 || now < p->servers[i].open_ms)
        return;
    if (kube_prober_watch(p->prober, i, &why) < 0)
        not_measured(p, i, why.text);
    else
        p->servers[i].opened_ms = now;
}

/* Through one server after the other; one that has not answered the last is passed over. */
static void touch(struct probes *p)
{
    size_t count = servers_count(p);
    struct error why = ERROR_INIT;
    for (size_t n = 0; n < count; n++) {
        size_t i = p->turn++ % count;
        if (!p->servers[i].used || kube_prober_age(p->prober, i, KUBE_PROBE_PATCH) >= 0)
            continue;
        if (kube_prober_ask(p->prober, i, KUBE_PROBE_PATCH, ++p->number, &why) < 0)
            not_measured(p, i, why.text);
        return;
    }
}

void probes_ask(struct probes *p)
{
    if (!p->prober)
        return;
    if (p->missing && clock_mono_ms() - p->made_ms >= REMAKE_MS && make_object(p, NULL) == 0) {
        for (size_t i = 0; i < servers_count(p); i++)
            not_measured(p, i, "");
    }
    for (size_t i = 0; i < servers_count(p); i++)
        ask_server(p, i);
    touch(p);
}

void probes_run(struct probes *p, int ms)
{
    struct error why = ERROR_INIT;
    if (p->prober && kube_prober_run(p->prober, ms, &why) == 0)
        return;
    for (size_t i = 0; p->prober && i < servers_count(p); i++)
        not_measured(p, i, why.text);
    clock_nap_ms(ms);
}

void probes_turn(struct probes *p, struct signals *s)
{
    const struct job_options *o = job_opts(p->job);
    s->servers_count = 0;
    for (size_t i = 0; i < o->spec.servers_count; i++) {
        bool watching = p->prober && kube_prober_watching(p->prober, i);
        if (p->prober ? p->servers[i].used : job_usable(p->job, i))
            feel_turn(&p->feel, i, o->spec.servers[i].name, watching, now_fine(),
                      &s->servers[s->servers_count++]);
    }
}

/* ---------- beginning and end ---------- */

static int take_idle_times(struct probes *p, struct error *err)
{
    for (int round = 0; round < IDLE_ROUNDS; round++) {
        if (job_canceled(p->job))
            return error_set(err, ERR_CANCELED, "measuring the API servers before the start was stopped");
        if (round == 1) { /* what the first answers took is the making of connections */
            for (size_t i = 0; i < servers_count(p); i++)
                p->feel.servers[i].idle[FEEL_GET] = p->feel.servers[i].idle[FEEL_LIST] = -1;
        }
        probes_ask(p);
        probes_run(p, round == 0 ? 2 * IDLE_EVERY : IDLE_EVERY);
    }
    return 0;
}

int probes_begin(struct probes *p, struct job *j, struct error *err)
{
    struct error why = ERROR_INIT;
    memset(p, 0, sizeof(*p));
    p->job = j;
    p->number = clock_wall_ms(); /* above those of a run before */
    feel_init(&p->feel);
    int rc = name_object(p, &why);
    if (rc == 0)
        rc = sweep(p, &why);
    if (rc == 0)
        rc = make_prober(p, &why);
    if (rc == 0)
        rc = make_object(p, &why); /* tried again later */
    if (rc == ERR_NO_MEMORY)
        return error_set(err, rc, "%s", why.text);
    for (size_t i = 0; rc < 0 && i < servers_count(p); i++)
        not_measured(p, i, why.text);
    if (!p->prober)
        return 0;
    p->idle = true;
    rc = take_idle_times(p, err);
    p->idle = false;
    for (size_t i = 0; i < servers_count(p); i++)
        p->feel.servers[i].closed = p->feel.servers[i].errors = 0;
    return rc;
}

void probes_end(struct probes *p)
{
    kube_prober_free(p->prober);
    p->prober = NULL;
    if (p->made)
        (void)!canary_take_out(job_opts(p->job), &p->object, REMOVE_MS, NULL);
    p->made = false;
}
