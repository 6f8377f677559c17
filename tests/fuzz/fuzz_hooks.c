/* Any bytes as the webhooks that an API server lists, which `preflight` shows: refused in one line, or hooks
 * of the resources that were asked for, within the limit. */
#include "fuzz.h"

#include <string.h>

#include <cli/preflight.h>

static const char *const resources[] = {"secrets", "widgets.example.org"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct preflight_hooks *h = calloc(1, sizeof(*h));
    struct error err = ERROR_INIT;
    MUST(h);
    int rc = preflight_read_hooks((const char *)data, size, "mutating", resources, 2, h, &err);
    MUST(rc == 0 || (err.code == rc && strncmp(err.text, "list of webhooks", 16) == 0));
    MUST(rc == 0 || (h->count == 0 && !strchr(err.text, '\n')));
    MUST(h->count <= PREFLIGHT_HOOKS_MAX && (h->more == 0 || h->count == PREFLIGHT_HOOKS_MAX));
    for (size_t i = 0; i < h->count; i++) {
        const struct preflight_hook *k = &h->hooks[i];
        MUST(strcmp(k->kind, "mutating") == 0);
        MUST(strcmp(k->resource, resources[0]) == 0 || strcmp(k->resource, resources[1]) == 0);
        MUST(memchr(k->config, 0, sizeof(k->config)) && memchr(k->name, 0, sizeof(k->name)));
        MUST(*k->service && memchr(k->service, 0, sizeof(k->service)));
    }
    free(h);
    return 0;
}
