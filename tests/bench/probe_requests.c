#include <inttypes.h>

#include <base/text.h>

#include "probe.h"

#define GET_EVERY_US   25000
#define LIST_EVERY_US  100000
#define WRITE_EVERY_US 100000
#define REQUEST_MS     15000
#define CANARY_PATH    OBJECT_PREFIX PROBE_NAMESPACE "/" PROBE_CANARY

/* ---------- the probe's own objects ---------- */

static int post(struct kube *k, const char *path, const char *body, struct error *err)
{
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(65536);
    long status = 0;
    int rc = kube_request(k, "POST", path, "application/json", "application/json", body, strlen(body),
                          REQUEST_MS, &status, &reply, err);
    if (rc == 0 && status != 201 && status != 409)
        rc = error_set(err, ERR_STATE, "POST %s: %ld %.200s", path, status, buf_str(&reply));
    return rc;
}

/* The canary's value, under the key that writes: it is put again and again as it is. */
static int read_canary(struct probe *p, struct error *err)
{
    struct etcd_range r = {0};
    struct secret *plain = NULL;
    int rc = etcd_get(p->b->datastore, CANARY_PATH, REQUEST_MS, &r, err);
    if (rc < 0)
        return rc;
    rc = envelope_decrypt(p->b->encryption, "secrets", CANARY_PATH, r.kvs[0].value, r.kvs[0].value_len,
                          &plain, err);
    if (rc == 0)
        rc = envelope_encrypt(p->b->encryption, "secrets", CANARY_PATH, plain->data, plain->len, &p->canary,
                              err);
    secret_free(plain);
    etcd_range_free(&r);
    return rc;
}

int probe_prepare(struct probe *p, struct error *err)
{
    _cleanup_(kube_closep) struct kube *k = NULL;
    struct kube_options login = bench_login(p->b, 0);
    char body[256];
    int rc = kube_open(&login, &k, err);
    rc = rc ? rc : post(k, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"" PROBE_NAMESPACE "\"}}", err);
    for (int i = 0; rc == 0 && i < PROBE_SECRETS; i++) {
        snprintf(body, sizeof(body),
                 "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"probe-%06d\"},"
                 "\"stringData\":{\"password\":\"0123456789abcdef0123456789abcdef\"}}",
                 i);
        rc = post(k, "/api/v1/namespaces/" PROBE_NAMESPACE "/secrets", body, err);
    }
    return rc ? rc : read_canary(p, err);
}

/* ---------- requests on a clock ---------- */

static void run_on_a_clock(struct server_probe *s, const char *path, int64_t every_us,
                           struct samples *samples)
{
    struct kube *k = NULL;
    struct kube_options login = bench_login(s->probe->b, s->index);
    if (kube_open(&login, &k, NULL) < 0) {
        s->errors++;
        return;
    }
    /* the connection is none of the latencies */
    (void)!kube_request(k, "GET", path, "application/json", NULL, NULL, 0, REQUEST_MS, &(long){0}, NULL,
                        NULL);
    for (int64_t due = mono_us(); !atomic_load(&s->probe->stop_load);) {
        long status = 0;
        int rc =
            kube_request(k, "GET", path, "application/json", NULL, NULL, 0, REQUEST_MS, &status, NULL, NULL);
        s->errors += rc < 0 || status != 200;
        /* one that was due meanwhile would have waited for the same end */
        for (int64_t end = mono_us(); due < end; due += every_us)
            samples_add(samples, end - due);
        sleep_until_us(due);
    }
    kube_close(k);
}

void *probe_get_run(void *server_probe)
{
    struct server_probe *s = server_probe;
    run_on_a_clock(s, "/api/v1/namespaces/" PROBE_NAMESPACE "/secrets/probe-000001", GET_EVERY_US, &s->get);
    return NULL;
}

void *probe_list_run(void *server_probe)
{
    struct server_probe *s = server_probe;
    run_on_a_clock(s, "/api/v1/namespaces/" PROBE_NAMESPACE "/secrets?resourceVersion=0", LIST_EVERY_US,
                   &s->list);
    return NULL;
}

void *probe_write_run(void *probe)
{
    struct probe *p = probe;
    int64_t due = mono_us();
    while (!atomic_load(&p->stop_load)) {
        int64_t revision = 0;
        if (etcd_put(p->b->datastore, CANARY_PATH, p->canary.data, p->canary.len, 0, REQUEST_MS, &revision,
                     NULL) == 0)
            stamps_add(&p->written, revision, mono_us());
        due += WRITE_EVERY_US;
        sleep_until_us(due);
    }
    return NULL;
}

/* ---------- what a client knows ---------- */

void stamps_add(struct stamps *s, int64_t revision, int64_t us)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->all = realloc(s->all, s->cap * sizeof(*s->all));
        if (!s->all)
            abort();
    }
    s->all[s->count++] = (struct stamp){revision, us};
}

int known_new(struct known *k, size_t count, struct error *err)
{
    k->revisions = calloc(count + 1, sizeof(*k->revisions));
    k->count = count;
    return k->revisions ? 0 : error_no_memory(err);
}

void known_take(struct known *k, const char *text)
{
    static const char name[] = "\"name\":\"secret-", version[] = "\"resourceVersion\":\"";
    while ((text = strstr(text, name))) {
        text += strlen(name);
        const char *at = strstr(text, version);
        if (!at)
            return;
        size_t number = strtoul(text, NULL, 10);
        if (number < k->count)
            k->revisions[number] = strtoll(at + strlen(version), NULL, 10);
        text = at;
    }
}

int known_list(struct known *k, struct kube *kube, const char *namespace, int64_t *ret_revision,
               struct error *err)
{
    char path[2048], next[1024] = "";
    *ret_revision = 0;
    do {
        _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
        long status = 0;
        snprintf(path, sizeof(path), "/api/v1/namespaces/%s/secrets?limit=1000%s%s", namespace,
                 *next ? "&continue=" : "", next);
        int rc = kube_request(kube, "GET", path,
                              "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", NULL, NULL,
                              0, REQUEST_MS, &status, &reply, err);
        if (rc < 0)
            return rc;
        if (status != 200)
            return error_set(err, ERR_STATE, "GET %.100s: %ld", path, status);
        const char *text = buf_str(&reply), *items = strstr(text, "\"items\":");
        const char *own = strstr(text, "\"resourceVersion\":\""), *token = strstr(text, "\"continue\":\"");
        if (*ret_revision == 0 && own)
            *ret_revision = strtoll(own + strlen("\"resourceVersion\":\""), NULL, 10);
        next[0] = 0;
        if (token && (!items || token < items))
            snprintf(next, sizeof(next), "%.*s", (int)strcspn(token + 12, "\""), token + 12);
        if (items)
            known_take(k, items);
    } while (*next);
    return 0;
}
