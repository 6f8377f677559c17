/* The layout of another server's config, as its report has it. */
#include <encryption/layout.h>

#include <string.h>

#include <base/text.h>

#define DIGITS 16

static int bad(size_t line, const char *why, struct error *err)
{
    return error_set(err, ERR_INVALID, "layout, line %zu: %s", line, why);
}

/* "0123456789abcdef name": cuts the text after the fingerprint. */
static bool read_key(char *text, struct layout_key *ret)
{
    if (strspn(text, "0123456789abcdef") != DIGITS || text[DIGITS] != ' ' || !text[DIGITS + 1])
        return false;
    text[DIGITS] = 0;
    *ret = (struct layout_key){.fingerprint = text, .name = text + DIGITS + 1};
    return true;
}

static const char *take_item(struct layout *l, const char *text)
{
    if (*text)
        return "an element has no text";
    if (l->items_count == LAYOUT_ITEMS_MAX)
        return "more elements than there may be";
    l->items[l->items_count++] =
        (struct layout_item){.resources = l->resources_count, .providers = l->providers_count};
    return NULL;
}

static const char *take_provider(struct layout *l, struct layout_item *item, const char *text)
{
    enum provider kind = PROVIDER_IDENTITY;
    if (provider_parse(text, &kind, NULL) < 0)
        return "unknown provider";
    l->providers[l->providers_count++] = (struct layout_provider){
        .kind = kind, .keys = l->keys_count, .kms_name = "", .kms_version = "", .kms_endpoint = ""};
    item->providers_count++;
    return NULL;
}

static const char *take_key(struct layout *l, struct layout_provider *p, char *text)
{
    if (p->kind == PROVIDER_IDENTITY || p->kind == PROVIDER_KMS)
        return "this provider has no keys";
    if (!read_key(text, &l->keys[l->keys_count]))
        return "a key needs its fingerprint and its name";
    l->keys_count++;
    p->keys_count++;
    return NULL;
}

static const char *take_plugin(struct layout_provider *p, char letter, const char *text)
{
    const char **member = letter == 'n' ? &p->kms_name : letter == 'v' ? &p->kms_version : &p->kms_endpoint;
    if (p->kind != PROVIDER_KMS || **member)
        return "this provider has no plugin, or has that of it already";
    *member = text;
    return NULL;
}

/* Returns what is wrong, or NULL. There are no more lines than each of the arrays has room for. */
static const char *take_line(struct layout *l, char letter, char *text)
{
    struct layout_item *item = l->items_count ? &l->items[l->items_count - 1] : NULL;
    struct layout_provider *provider =
        item && item->providers_count ? &l->providers[l->providers_count - 1] : NULL;
    if (letter == 'e')
        return take_item(l, text);
    if (!*text)
        return "nothing follows the letter";
    if (letter == 'r' && item && !provider) {
        l->resources[l->resources_count++] = text;
        item->resources_count++;
        return NULL;
    }
    if (letter == 'p' && item)
        return take_provider(l, item, text);
    if (letter == 'k' && provider)
        return take_key(l, provider, text);
    if ((letter == 'n' || letter == 'v' || letter == 'u') && provider)
        return take_plugin(provider, letter, text);
    return "unknown, or out of its place";
}

int layout_read(const char *text, struct layout *ret, struct error *err)
{
    size_t line = 0;
    memset(ret, 0, sizeof(*ret));
    if (!text_copy(ret->text, sizeof(ret->text), text))
        return error_set(err, ERR_INVALID, "layout: longer than %d bytes", LAYOUT_TEXT_MAX - 1);
    for (char *at = ret->text, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        if (++line > LAYOUT_LINES_MAX)
            return bad(line, "more lines than there may be", err);
        if (!end || end == at)
            return bad(line, "cut off, or empty", err);
        *end = 0;
        if (at[1] && at[1] != ' ')
            return bad(line, "unknown, or out of its place", err);
        const char *why = take_line(ret, at[0], at[1] ? at + 2 : at + 1);
        if (why)
            return bad(line, why, err);
    }
    return ret->items_count > 0 ? 0 : error_set(err, ERR_INVALID, "layout: empty");
}
