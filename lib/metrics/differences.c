/* How the odd ones out differ: what `secrets-encrypt diff` says, as series that an alert can name. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <report/differ.h>
#include <report/odd.h>

/* Of one server: who differs in more has a file of another cluster, and series are dear. */
#define SERIES_MAX 8

static bool alike(const struct difference *a, const struct difference *b)
{
    return a->kind == b->kind && a->place == b->place && strcmp(a->of, b->of) == 0 &&
           strcmp(a->provider, b->provider) == 0 && strcmp(a->key, b->key) == 0;
}

/* A series that is there twice would spoil the page. */
static bool told_before(const struct differences *d, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (alike(&d->list[j], &d->list[i]))
            return true;
    return false;
}

static void write_difference(struct render *r, const char *server, const struct difference *d)
{
    char place[24] = "";
    if (d->place)
        snprintf(place, sizeof(place), "%zu", d->place);
    SAMPLE(r, 1, {"server", server}, {"difference", difference_name(d->kind)}, {"of", d->of},
           {"provider", d->provider}, {"key", d->key}, {"place", place});
}

void write_server_differences(struct render *r)
{
    const struct odd_verdict *o = r->odd;
    _cleanup_free_ struct differences *d = o->model ? malloc(sizeof(*d)) : NULL;
    for (size_t i = 0; o->model && i < r->s->servers_count && r->rc == 0; i++) {
        const struct snapshot_server *v = &r->s->servers[i];
        if (!v->reports || o->servers[i].kind == ODD_NO || o->servers[i].kind == ODD_SILENT)
            continue;
        r->rc = d ? differ_compare(&o->model->report, &v->report, d, r->err) : error_no_memory(r->err);
        for (size_t n = 0, told = 0; r->rc == 0 && n < d->count && told < SERIES_MAX; n++)
            if (!told_before(d, n)) {
                write_difference(r, v->name, &d->list[n]);
                told++;
            }
    }
}
