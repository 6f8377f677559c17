#include "bench.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include <base/clock.h>
#include <base/text.h>

const char *bench_encryption(const char *order)
{
    static char text[1024];
    static const char *const keys[] = {
        "{\"name\":\"key1\",\"secret\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\"}",
        "{\"name\":\"key2\",\"secret\":\"YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=\"}",
        "{\"name\":\"key3\",\"secret\":\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUY=\"}",
    };
    char list[512] = "";
    for (const char *c = order; *c && *c != '!'; c++)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", *list ? "," : "", keys[*c - '1']);
    snprintf(text, sizeof(text),
             "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\","
             "\"resources\":[{\"resources\":[\"secrets\",\"configmaps\"],\"providers\":[{\"aescbc\":{"
             "\"keys\":[%s]}}%s]}]}",
             list, strchr(order, '!') ? "" : ",{\"identity\":{}}");
    return text;
}

struct encryption_config *bench_parse(const char *text)
{
    struct encryption_config *c = NULL;
    must(encryption_config_parse(text, strlen(text), "the test's config", &c, &err));
    return c;
}

void bench_resource(struct job_options *o, const char *name)
{
    size_t i = o->spec.resources_count++;
    text_copy(o->spec.resources[i], sizeof(o->spec.resources[i]), name);
}

struct job_options *bench_options(enum job_kind kind, const struct config *config, struct etcd *datastore,
                                  const char *order)
{
    static const char *const managed[] = {"secrets", "configmaps"};
    struct job_options *o = calloc(1, sizeof(*o));
    assert_non_null(o);
    o->kind = kind;
    o->config = config;
    o->datastore = datastore;
    text_copy(o->operation, sizeof(o->operation), "1a2b3c4d-0000-4000-8000-000000000000");
    o->step = 7;
    o->encryption = bench_parse(bench_encryption(order));
    o->keys_count =
        encryption_keys(o->encryption, (struct resource_set){managed, 2}, o->keys, ENCRYPTION_KEYS_MAX);
    bench_resource(o, "secrets");
    o->proof.step = o->step;
    o->proof.attempts = 1;
    return o;
}

static void set_key(struct job_key *k, const char *name)
{
    k->provider = *name ? PROVIDER_AESCBC : PROVIDER_IDENTITY;
    text_copy(k->name, sizeof(k->name), name);
}

void bench_keep(struct job_options *o, const char *name)
{
    set_key(&o->keep[o->keep_count++], name);
}

void bench_subject(struct job_options *o, const char *name)
{
    set_key(&o->subject, name);
}

void bench_server(struct job_options *o, const char *name, const char *api)
{
    struct cluster_spec_server *s = &o->spec.servers[o->spec.servers_count++];
    text_copy(s->name, sizeof(s->name), name);
    text_copy(s->api, sizeof(s->api), api);
}

struct job *bench_start(struct job_options *o)
{
    struct job *j = NULL;
    must(job_start(o, &j, &err));
    free(o); /* the encryption config is the job's now */
    return j;
}

void bench_end(struct job *j, int timeout_ms, struct cluster_proof *proof, struct cluster_reencrypt *record)
{
    struct pollfd p = {.fd = job_fd(j), .events = POLLIN};
    int64_t until = clock_mono_ms() + timeout_ms;
    while (!job_ended(j)) { /* it also says when it begins to watch */
        int64_t left = until - clock_mono_ms();
        if (left <= 0 || poll(&p, 1, (int)left) != 1)
            fail_msg("the job did not end within %d ms", timeout_ms);
        job_heard(j);
    }
    job_proof(j, proof);
    if (record)
        job_progress(j, record);
    job_free(j);
}

void bench_run(struct job_options *o, struct cluster_proof *proof, struct cluster_reencrypt *record)
{
    bench_end(bench_start(o), 120000, proof, record);
}

int64_t bench_put(struct etcd *e, const char *order, const char *key, const char *name, const char *plain)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = bench_parse(bench_encryption(order));
    _cleanup_(buf_freep) struct buf value = BUF_INIT(64 * 1024);
    char path[256];
    int64_t revision = 0;
    snprintf(path, sizeof(path), "/registry/secrets/%s", name);
    must(envelope_encrypt_with(c, "secrets", *key ? PROVIDER_AESCBC : PROVIDER_IDENTITY, key, path, plain,
                               strlen(plain), &value, &err));
    must(etcd_put(e, path, value.data, value.len, 0, 5000, &revision, &err));
    return revision;
}

void sleep_ms(int64_t ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}
