/* The benchmark's own reader: every object is there, opens, holds what was written, under the first key. */
#include "bench.h"

#include <inttypes.h>

#define PAGE_MS 20000

struct count {
    int64_t seen, opened, right, first_key;
    uint8_t *found; /* one for each number */
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t keys_count;
};

static bool under_first_key(const struct count *c, const struct etcd_kv *kv)
{
    struct envelope e;
    if (envelope_read(kv->value, kv->value_len, c->keys, c->keys_count, &e, NULL) < 0 || c->keys_count == 0)
        return false;
    const struct key_view *k = &c->keys[0];
    if (!k->active || e.provider == PROVIDER_IDENTITY)
        return !k->active && e.provider == PROVIDER_IDENTITY;
    return e.provider == k->provider && strlen(k->name) == e.key_name_len &&
           memcmp(k->name, e.key_name, e.key_name_len) == 0;
}

static void look(struct bench *b, struct envelope_codec *codec, const struct etcd_kv *kv, struct count *c)
{
    _cleanup_(secret_freep) struct secret *plain = NULL;
    int64_t number = object_number(kv->key);
    if (number < b->first || number >= b->first + b->count || c->found[number - b->first])
        return;
    c->found[number - b->first] = 1;
    c->seen++;
    c->first_key += under_first_key(c, kv);
    if (envelope_codec_decrypt(codec, kv->key, kv->value, kv->value_len, &plain, NULL) < 0)
        return;
    c->opened++;
    c->right += object_holds(b, number, plain->data, plain->len);
}

static int look_at_all(struct bench *b, struct envelope_codec *codec, struct count *c, struct error *err)
{
    struct etcd_pager_options options = {
        .prefix = OBJECT_PREFIX, .page = b->page, .deadline_ms = PAGE_MS, .tries = 3};
    _cleanup_(etcd_pager_freep) struct etcd_pager *pager = NULL;
    int rc = etcd_pager_new(b->datastore, &options, &pager, err);
    while (rc == 0) {
        struct etcd_range page = {0};
        rc = etcd_pager_next(pager, &page, err);
        size_t n = rc == 0 ? page.count : 0;
        for (size_t i = 0; i < n; i++)
            look(b, codec, &page.kvs[i], c);
        if (rc == 0)
            etcd_range_free(&page);
        if (n == 0)
            break;
    }
    return rc;
}

int bench_check(struct bench *b, struct error *err)
{
    static const char *const managed[] = {"secrets"};
    _cleanup_(envelope_codec_freep) struct envelope_codec *codec = NULL;
    _cleanup_free_ uint8_t *found = calloc((size_t)b->count + 1, 1);
    struct count c = {.found = found};
    int64_t begun = mono_us();
    if (!found)
        return error_no_memory(err);
    c.keys_count =
        encryption_keys(b->encryption, (struct resource_set){managed, 1}, c.keys, ENCRYPTION_KEYS_MAX);
    int rc = envelope_codec_new(b->encryption, "secrets", &codec, err);
    if (rc == 0)
        rc = look_at_all(b, codec, &c, err);
    if (rc < 0)
        return rc;
    char more[256];
    snprintf(more, sizeof(more),
             "\"seen\":%" PRId64 ",\"opened\":%" PRId64 ",\"right\":%" PRId64 ",\"first_key\":%" PRId64,
             c.seen, c.opened, c.right, c.first_key);
    print_rate(c.seen, mono_us() - begun, more);
    return 0;
}
