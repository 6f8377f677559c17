/* Differences in people's words. */
#include <report/differ.h>

#include <string.h>

#include <base/cleanup.h>

/* %P: provider, %N: its place, %K: key, %D: detail, %W: where the reference is. */
static const struct {
    const char *name, *text;
} words[] = {
    [DIFFER_ITEM_MISSING] = {"item-missing", "nothing stands there for them, as it does %W"},
    [DIFFER_ITEM_EXTRA] = {"item-extra", "an element for them that is not there %W"},
    [DIFFER_ITEM_ORDER] = {"item-order", "the elements of `resources` stand in another order than %W"},
    [DIFFER_RESOURCES] = {"resources", "it is for other resources than %W: %D"},
    [DIFFER_RESOURCE_ORDER] = {"resource-order", "the names of resources stand in another order than %W"},
    [DIFFER_PROVIDER_MISSING] = {"provider-missing", "provider %P is missing, which is number %N %W"},
    [DIFFER_PROVIDER_EXTRA] = {"provider-extra", "provider %N (%P) is not there %W"},
    [DIFFER_PROVIDER_ORDER] = {"provider-order", "its providers stand in another order than %W: %D"},
    [DIFFER_KEY_MISSING] = {"key-missing", "%P key %K is missing, which is number %N %W"},
    [DIFFER_KEY_EXTRA] = {"key-extra", "%P key %N (%K) is not there %W"},
    [DIFFER_KEY_ORDER] = {"key-order", "its %P keys stand in another order than %W: %D"},
    [DIFFER_OTHER_KEY] = {"other-key", "%P key %N (%K) is another key than %W"},
    [DIFFER_PLUGIN] = {"plugin", "KMS plugin %D than %W"},
    [DIFFER_SETTINGS] = {"settings", "the same resources, providers and keys as %W; something else differs, "
                                     "as a KMS plugin's timeout"},
    [DIFFER_FORMAT] = {"format", "formatting only: it says the same as %W, in other bytes"},
    [DIFFER_NO_FILE] = {"no-file", "no file to compare: %D"},
    [DIFFER_UNKNOWN] = {"unknown", "it is another file than %W; in what it differs cannot be said: %D"},
};

const char *difference_name(enum difference_kind kind)
{
    return words[kind].name;
}

void difference_text(const struct difference *d, const char *where, char out[DIFFERENCE_TEXT_MAX])
{
    size_t len = 0;
    out[0] = 0;
    if (*d->of)
        len = (size_t)snprintf(out, DIFFERENCE_TEXT_MAX, "for %s: ", d->of);
    for (const char *p = words[d->kind].text; *p && len + 1 < DIFFERENCE_TEXT_MAX; p++) {
        size_t room = DIFFERENCE_TEXT_MAX - len;
        char letter = *p == '%' ? *++p : 0;
        int n = letter == 'P'   ? snprintf(out + len, room, "%s", d->provider)
                : letter == 'N' ? snprintf(out + len, room, "%zu", d->place)
                : letter == 'K' ? snprintf(out + len, room, "%s", d->key)
                : letter == 'D' ? snprintf(out + len, room, "%s", d->detail)
                : letter == 'W' ? snprintf(out + len, room, "%s", where)
                                : snprintf(out + len, room, "%c", *p);
        len += (size_t)n < room ? (size_t)n : room - 1;
    }
}

void differences_text(const struct differences *d, const char *where, char *out, size_t size)
{
    char text[DIFFERENCE_TEXT_MAX];
    size_t len = 0, told = 0;
    const size_t tail = sizeof("; and 1234 more");
    out[0] = 0;
    for (; told < d->count; told++) {
        difference_text(&d->list[told], where, text);
        size_t need = strlen(text) + (told ? 2 : 0);
        if (told > 0 && len + need + tail > size)
            break;
        len += (size_t)snprintf(out + len, size - len, "%s%s", told ? "; " : "", text);
        if (len >= size)
            return; /* the first one alone is cut */
    }
    if (told < d->count + d->more)
        snprintf(out + len, size - len, "; and %zu more", d->count + d->more - told);
}
