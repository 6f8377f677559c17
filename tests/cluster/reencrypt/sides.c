#include "sides.h"

#include <string.h>

#include <base/text.h>

static struct etcd *etcd;
static const struct config *config;

void sides_use(struct etcd *e, const struct config *c)
{
    etcd = e;
    config = c;
}

const struct side sides[SIDES] = {
    {PROVIDER_AESCBC, "a:1",
     "{\"aescbc\":{\"keys\":[{\"name\":\"a:1\",\"secret\":\"MDEyMzQ1Njc4OTAxMjM0NQ==\"}]}}"},
    {PROVIDER_AESGCM, "g",
     "{\"aesgcm\":{\"keys\":[{\"name\":\"g\",\"secret\":\"YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=\"}]}"
     "}"},
    {PROVIDER_SECRETBOX, "s",
     "{\"secretbox\":{\"keys\":[{\"name\":\"s\",\"secret\":\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUY=\"}]"
     "}}"},
    {PROVIDER_IDENTITY, "", "{\"identity\":{}}"},
};
struct encryption_config *config_of(size_t first)
{
    char text[2048], list[1024];
    size_t used = (size_t)snprintf(list, sizeof(list), "%s", sides[first].json);
    for (size_t i = 0; i < SIDES; i++)
        if (i != first)
            used += (size_t)snprintf(list + used, sizeof(list) - used, ",%s", sides[i].json);
    snprintf(text, sizeof(text),
             "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\","
             "\"resources\":[{\"resources\":[\"secrets\",\"configmaps\"],\"providers\":[%s]}]}",
             list);
    return bench_parse(text);
}

struct job_options *options_to(size_t to)
{
    static const char *const managed[] = {"secrets", "configmaps"};
    struct job_options *o = bench_options(JOB_REWRITE, config, etcd, "1");
    encryption_config_free(o->encryption);
    o->encryption = config_of(to);
    o->keys_count =
        encryption_keys(o->encryption, (struct resource_set){managed, 2}, o->keys, ENCRYPTION_KEYS_MAX);
    o->engine = ENGINE_DATASTORE;
    o->unpaced = true;
    o->keep[0].provider = sides[to].provider;
    text_copy(o->keep[0].name, sizeof(o->keep[0].name), sides[to].key);
    o->keep_count = 1;
    o->so_far.step = o->step;
    return o;
}

void content_of(const char *name, char out[128])
{
    snprintf(out, 128, "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"%.60s\"}}", name);
}

void put_under(size_t from, const char *name, int64_t lease)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = config_of(from);
    _cleanup_(buf_freep) struct buf value = BUF_INIT(64 * 1024);
    char key[256], plain[128];
    snprintf(key, sizeof(key), PREFIX "%s", name);
    content_of(name, plain);
    must(envelope_encrypt(c, "secrets", key, plain, strlen(plain), &value, &err));
    must(etcd_put(etcd, key, value.data, value.len, lease, 5000, NULL, &err));
}

void put_many(size_t from, int count)
{
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "ns/%05d", i);
        put_under(from, name, 0);
    }
}

struct etcd_range read_all(void)
{
    struct etcd_range r = {0};
    must(etcd_snapshot(etcd, PREFIX, 20000, 10000, &r, &err));
    return r;
}

void check_all(size_t to, size_t count)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = config_of(to);
    struct etcd_range r = read_all();
    assert_int_equal(r.count, count);
    for (size_t i = 0; i < r.count; i++) {
        struct envelope e;
        struct key_view name = {.provider = sides[to].provider, .name = sides[to].key};
        _cleanup_(secret_freep) struct secret *plain = NULL;
        char wanted[128];
        must(envelope_read(r.kvs[i].value, r.kvs[i].value_len, &name, 1, &e, &err));
        assert_int_equal(e.provider, sides[to].provider);
        assert_int_equal(e.key_name_len, strlen(sides[to].key));
        must(envelope_decrypt(c, "secrets", r.kvs[i].key, r.kvs[i].value, r.kvs[i].value_len, &plain, &err));
        content_of(r.kvs[i].key + strlen(PREFIX), wanted);
        assert_int_equal(plain->len, strlen(wanted));
        assert_memory_equal(plain->data, wanted, plain->len);
    }
    etcd_range_free(&r);
}
