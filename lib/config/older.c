/* Names that fields had in older files. */
#include "table.h"

#include <base/text.h>
#include <json/json.h>

static bool find(const struct field *f, size_t base, const char *section, const struct json *obj,
                 const char *name, struct older *ret)
{
    for (; f && f->name; f++) {
        char where[WHERE_MAX];
        snprintf(where, sizeof(where), "%s%s%s", section, *section ? "." : "", f->name);
        const struct json *now = json_get(obj, f->name);
        if (f->formerly && strcmp(f->formerly, name) == 0) {
            *ret = (struct older){.field = f, .base = base, .now = now};
            (void)text_copy(ret->where, sizeof(ret->where), where);
            return true;
        }
        for (size_t p = 0; f->type == FIELD_SECTION && p < FIELD_PARTS; p++)
            if (find(f->parts[p].fields, f->parts[p].base, where, now, name, ret))
                return true;
    }
    return false;
}

bool config_find_older(const char *name, const struct json *root, struct older *ret)
{
    return find(config_top.fields, config_top.base, "", root, name, ret);
}
