/* The layout of a config, as the agent publishes it. */
#include "model.h"

#include <stdio.h>

#include <crypto/seal.h>
#include <encryption/layout.h>

struct writer {
    char *out; /* LAYOUT_TEXT_MAX */
    size_t len, lines;
    struct error *err;
};

static bool is_plain(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

/* A line of a letter and up to two texts. */
static int add(struct writer *w, char letter, const char *first, const char *second)
{
    if (!is_plain(first) || !is_plain(second))
        return error_set(w->err, ERR_UNSUPPORTED, "has a name with control characters");
    size_t room = LAYOUT_TEXT_MAX - w->len;
    int n = snprintf(w->out + w->len, room, "%c%s%s%s%s\n", letter, *first ? " " : "", first,
                     *second ? " " : "", second);
    if (n < 0 || (size_t)n >= room || ++w->lines > LAYOUT_LINES_MAX)
        return error_set(w->err, ERR_TOO_LARGE, "is too long: more than %d bytes or %d lines",
                         LAYOUT_TEXT_MAX - 1, LAYOUT_LINES_MAX);
    w->len += (size_t)n;
    return 0;
}

static int add_keys(struct writer *w, const struct stage *s, const struct secret *fingerprint_key)
{
    char fingerprint[FINGERPRINT_SIZE];
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < s->key_count; k++) {
        rc = fingerprint_make(fingerprint_key, provider_name(s->kind), s->keys[k].name, s->keys[k].value,
                              fingerprint, w->err);
        if (rc == 0)
            rc = add(w, 'k', fingerprint, s->keys[k].name);
    }
    return rc;
}

static int add_plugin(struct writer *w, const struct json *kms)
{
    static const struct {
        char letter;
        const char *member;
    } rows[] = {{'n', "name"}, {'v', "apiVersion"}, {'u', "endpoint"}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < array_len(rows); i++) {
        const char *text = json_string(json_get(kms, rows[i].member), "");
        if (*text)
            rc = add(w, rows[i].letter, text, "");
    }
    return rc;
}

static int add_entry(struct writer *w, const struct entry *e, const struct json *node,
                     const struct secret *fingerprint_key)
{
    const struct json *provider = json_first(json_get(node, "providers"));
    int rc = add(w, 'e', "", "");
    for (size_t i = 0; rc == 0 && i < e->resource_count; i++)
        rc = add(w, 'r', e->resources[i], "");
    for (size_t i = 0; rc == 0 && i < e->stage_count; i++, provider = json_next(provider)) {
        const struct stage *s = &e->stages[i];
        rc = add(w, 'p', provider_name(s->kind), "");
        if (rc == 0)
            rc = s->kind == PROVIDER_KMS ? add_plugin(w, json_get(provider, provider_name(s->kind)))
                                         : add_keys(w, s, fingerprint_key);
    }
    return rc;
}

int layout_write(const struct encryption_config *c, const struct secret *fingerprint_key,
                 char out[LAYOUT_TEXT_MAX], struct error *err)
{
    struct writer w = {.out = out, .err = err};
    const struct json *node = json_first(json_get(c->doc, "resources"));
    int rc = 0;
    out[0] = 0;
    if (c->entry_count > LAYOUT_ITEMS_MAX)
        rc = error_set(err, ERR_TOO_LARGE, "is too long: more than %d elements of `resources`",
                       LAYOUT_ITEMS_MAX);
    for (size_t i = 0; rc == 0 && i < c->entry_count; i++, node = json_next(node))
        rc = add_entry(&w, &c->entries[i], node, fingerprint_key);
    if (rc < 0)
        out[0] = 0;
    return rc;
}
