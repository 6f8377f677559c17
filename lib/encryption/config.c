#include "model.h"

#include <base/secret_heap.h>
#include <yaml/yaml.h>

static void entry_clear(struct entry *e)
{
    for (size_t s = 0; s < e->stage_count; s++) {
        for (size_t k = 0; k < e->stages[s].key_count; k++)
            secret_free(e->stages[s].keys[k].value);
        free(e->stages[s].keys);
    }
    free(e->stages);
    free(e->resources);
}

void encryption_config_free(struct encryption_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->entry_count; i++)
        entry_clear(&c->entries[i]);
    free(c->entries);
    json_free(c->doc);
    free(c->what);
    free(c);
}

int encryption_config_parse(const void *text, size_t len, const char *what, struct encryption_config **ret,
                            struct error *err)
{
    const char *p = text;
    size_t blank = 0;
    if (len > ENCRYPTION_CONFIG_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: more than %d bytes; an encryption config is far smaller",
                         what, ENCRYPTION_CONFIG_MAX);
    while (blank < len && p[blank] && strchr(" \t\r\n", p[blank]))
        blank++;
    if (blank == len)
        return error_set(err, ERR_INVALID, "%s: the file is empty", what);
    _secret_heap_;
    bool yaml = p[blank] != '{';
    struct json *doc = NULL;
    int rc = yaml ? yaml_parse(text, len, what, &doc, err) : json_parse(text, len, what, &doc, err);
    return rc < 0 ? rc : config_from_doc(doc, yaml, what, ret, err);
}

int encryption_config_emit(const struct encryption_config *c, struct secret **ret, struct error *err)
{
    _secret_heap_;
    return c->yaml ? yaml_emit(c->doc, ret, err) : json_print_secret(c->doc, ret, err);
}

int encryption_config_id(const struct encryption_config *c, char out[65], struct error *err)
{
    _secret_heap_;
    _cleanup_(secret_freep) struct secret *text = NULL;
    int rc = json_print_canonical(c->doc, &text, err);
    return rc < 0 ? rc : crypto_sha256_hex(text->data, text->len, out, err);
}
