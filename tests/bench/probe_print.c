#include <inttypes.h>

#include "probe.h"

static void print_latency(const char *name, struct samples *s)
{
    printf(",\"%s\":{\"count\":%zu,\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f}", name, s->count,
           samples_ms(s, 0.5), samples_ms(s, 0.99), samples_ms(s, 1));
}

/* From each acknowledged write to its event; both are in the order of their revisions. An event that a later
 * write overtook (a watch cache sends all of them) would count as unseen. */
static void print_lag(const struct probe *p, const struct watch *w)
{
    struct samples lag = {0};
    size_t k = 0, unseen = 0;
    for (size_t i = 0; i < p->written.count; i++) {
        const struct stamp *wrote = &p->written.all[i];
        while (k < w->seen.count && w->seen.all[k].revision < wrote->revision)
            k++;
        if (k == w->seen.count || w->seen.all[k].revision != wrote->revision) {
            unseen++;
            continue;
        }
        int64_t us = w->seen.all[k].us - wrote->us;
        samples_add(&lag, us > 0 ? us : 0);
    }
    print_latency("lag", &lag);
    printf(",\"unseen\":%zu", unseen);
    samples_free(&lag);
}

void probe_print(struct probe *p, int64_t us)
{
    printf("{\"ms\":%.0f,\"servers\":[", (double)us / 1e3);
    for (size_t i = 0; i < p->servers_count; i++) {
        struct server_probe *s = &p->servers[i];
        printf("%s{\"name\":\"%s\"", i ? "," : "", p->b->config->servers[i].name);
        print_latency("get", &s->get);
        print_latency("list", &s->list);
        print_lag(p, &s->lag);
        printf(",\"errors\":%u,\"closed\":%u,\"expired\":%u,\"cuts\":%u,\"cut_events\":%" PRId64
               ",\"missed\":%u}",
               s->errors, s->lag.closed + s->held.closed + s->cut.closed,
               s->lag.expired + s->held.expired + s->cut.expired, s->cut.opened, atomic_load(&s->cut.events),
               s->missed);
    }
    puts("]}");
    fflush(stdout);
}
