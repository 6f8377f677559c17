/* Any bytes as a layout from another server's report: refused with one line, or read into parts that lie
 * within the arrays and that come out again as the same layout. Two of them (a NUL between) as two servers'
 * reports: they are read back from their records, and every difference has its words. What this program
 * writes it also reads. */
#include <string.h>

#include <base/buf.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <encryption/layout.h>
#include <report/differ.h>

#include "fuzz.h"

static void add_plugin(struct buf *out, const struct layout_provider *p)
{
    const char *const texts[] = {p->kms_name, p->kms_version, p->kms_endpoint};
    for (size_t i = 0; i < 3; i++)
        MUST(!*texts[i] || buf_addf(out, NULL, "%c %s\n", "nvu"[i], texts[i]) == 0);
    MUST(p->kind == PROVIDER_KMS || (!*p->kms_name && !*p->kms_version && !*p->kms_endpoint));
}

static void add_provider(struct buf *out, const struct layout *l, const struct layout_provider *p)
{
    MUST(buf_addf(out, NULL, "p %s\n", provider_name(p->kind)) == 0);
    MUST(p->keys + p->keys_count <= l->keys_count);
    MUST(p->keys_count == 0 || (p->kind != PROVIDER_IDENTITY && p->kind != PROVIDER_KMS));
    for (size_t i = 0; i < p->keys_count; i++) {
        const struct layout_key *k = &l->keys[p->keys + i];
        MUST(strlen(k->fingerprint) == 16 && *k->name);
        MUST(buf_addf(out, NULL, "k %s %s\n", k->fingerprint, k->name) == 0);
    }
    add_plugin(out, p);
}

/* Each part stands in one element, and none is left over. */
static void as_text(const struct layout *l, struct buf *out)
{
    size_t resources = 0, providers = 0, keys = 0;
    MUST(l->items_count > 0 && l->items_count <= LAYOUT_ITEMS_MAX);
    for (size_t i = 0; i < l->items_count; i++) {
        const struct layout_item *item = &l->items[i];
        MUST(item->resources == resources && item->providers == providers);
        MUST(buf_addf(out, NULL, "e\n") == 0);
        for (size_t r = 0; r < item->resources_count; r++)
            MUST(buf_addf(out, NULL, "r %s\n", l->resources[resources++]) == 0);
        for (size_t p = 0; p < item->providers_count; p++) {
            MUST(l->providers[providers].keys == keys);
            keys += l->providers[providers].keys_count;
            add_provider(out, l, &l->providers[providers++]);
        }
    }
    MUST(resources == l->resources_count && providers == l->providers_count && keys == l->keys_count);
    MUST(resources + providers + keys + l->items_count <= LAYOUT_LINES_MAX);
}

/* A plugin's parts may stand in any order: the text may be another one, but its text is not. */
static void must_read_back(const struct layout *l)
{
    struct layout *again = calloc(1, sizeof(*again));
    struct buf first = BUF_INIT(2 * LAYOUT_TEXT_MAX), second = BUF_INIT(2 * LAYOUT_TEXT_MAX);
    struct error err = ERROR_INIT;
    MUST(again);
    as_text(l, &first);
    MUST(layout_read(buf_str(&first), again, &err) == 0);
    as_text(again, &second);
    MUST(strcmp(buf_str(&first), buf_str(&second)) == 0);
    buf_free(&first);
    buf_free(&second);
    free(again);
}

static void as_layout(const char *text)
{
    struct layout *l = calloc(1, sizeof(*l));
    struct error err = ERROR_INIT;
    MUST(l);
    int rc = layout_read(text, l, &err);
    MUST(rc == 0 || (rc == ERR_INVALID && err.code == rc && strncmp(err.text, "layout", 6) == 0));
    MUST(rc == 0 || !strchr(err.text, '\n'));
    if (rc == 0)
        must_read_back(l);
    free(l);
}

/* By way of its record, as the CLI gets it. A text that no record takes is no layout of a report. */
static struct cluster_report *report_of(const char *server, const char *layout)
{
    struct cluster_report *r = calloc(1, sizeof(*r)), *read = calloc(1, sizeof(*read));
    struct buf out = BUF_INIT(1024 * 1024);
    struct error err = ERROR_INIT;
    MUST(r && read);
    snprintf(r->server, sizeof(r->server), "%s", server);
    snprintf(r->hash, sizeof(r->hash), "%s", server); /* two files */
    snprintf(r->layout, sizeof(r->layout), "%s", layout);
    int rc = cluster_report_encode(r, &out, &err);
    if (rc == 0)
        rc = cluster_report_decode(buf_str(&out), out.len, read, &err);
    bool same = strcmp(read->layout, r->layout) == 0; /* a record holds UTF-8 */
    MUST(rc < 0 || same || !text_is_utf8(r->layout, strlen(r->layout)));
    buf_free(&out);
    free(r);
    if (rc == 0)
        return read;
    free(read);
    return NULL;
}

static void as_two(const char *a, const char *b)
{
    struct cluster_report *one = report_of("s1", a), *two = report_of("s2", b);
    struct differences *d = calloc(1, sizeof(*d));
    struct error err = ERROR_INIT;
    char text[DIFFERENCE_TEXT_MAX], all[512];
    MUST(d);
    if (one && two) {
        MUST(differ_compare(one, two, d, &err) == 0);
        MUST(d->count > 0 && d->count <= DIFFERENCES_MAX && (d->more == 0 || d->count == DIFFERENCES_MAX));
        for (size_t i = 0; i < d->count; i++) {
            difference_text(&d->list[i], "on s1", text);
            MUST(*text && strlen(text) < sizeof(text) && !strchr(text, '\n'));
            MUST(*difference_name(d->list[i].kind));
            /* Two servers with the same text have the same resources, providers and keys. */
            MUST(strcmp(one->layout, two->layout) != 0 || d->list[i].kind == DIFFER_SETTINGS ||
                 d->list[i].kind == DIFFER_UNKNOWN);
        }
        differences_text(d, "on s1", all, sizeof(all));
        MUST(*all && strlen(all) < sizeof(all));
    }
    free(d);
    free(one);
    free(two);
}

static void as_config(const char *text, size_t len)
{
    struct encryption_config *c = NULL;
    struct layout *l = calloc(1, sizeof(*l));
    _cleanup_(secret_freep) struct secret *key = secret_copy("0123456789abcdef0123456789abcdef", 32);
    struct error err = ERROR_INIT;
    char out[LAYOUT_TEXT_MAX];
    MUST(l && key);
    if (encryption_config_parse(text, len, "fuzz", &c, &err) == 0) {
        int rc = layout_write(c, key, out, &err);
        MUST(rc == 0 || ((rc == ERR_TOO_LARGE || rc == ERR_UNSUPPORTED) && !*out));
        MUST(rc < 0 || layout_read(out, l, &err) == 0);
    }
    encryption_config_free(c);
    free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *a = calloc(size + 2, 1);
    MUST(a);
    if (size > 0)
        memcpy(a, data, size);
    const char *b = strlen(a) < size ? a + strlen(a) + 1 : a;
    if (*a == 'e') {
        as_layout(a);
        as_two(a, b);
    } else
        as_config(a, size);
    free(a);
    return 0;
}
