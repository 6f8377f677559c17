/* Every change of the state store with the time at which it was seen. */
#include "bench.h"

#include <inttypes.h>

#include <cluster/codec.h>
#include <etcd/watch.h>
#include <store/store.h>

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text >= ' ')
            putchar(*text);
    putchar('"');
}

static void print_event(const struct etcd_event *ev)
{
    const char *value = (const char *)ev->kv.value;
    printf("{\"us\":%" PRId64 ",\"revision\":%" PRId64 ",\"put\":%s,\"key\":", mono_us(), ev->revision,
           ev->type == ETCD_EVENT_PUT ? "true" : "false");
    print_text(ev->kv.key ? ev->kv.key : "");
    printf(",\"value\":");
    if (!value)
        fputs("null", stdout);
    else if (*value == '{')
        fputs(value, stdout);
    else
        print_text(value);
    puts("}");
    fflush(stdout);
}

int bench_follow(struct bench *b, struct error *err)
{
    _cleanup_(etcd_watch_freep) struct etcd_watch *w = NULL;
    struct etcd *e = NULL;
    char prefix[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(prefix, b->config->cluster, CLUSTER_KEY_ALL, NULL);
    int rc = store_etcd_open(&b->config->state_store, &e, err);
    if (rc == 0)
        rc = etcd_watch_new(e, prefix, 0, &w, err);
    for (bool said = false; rc == 0 && !bench_stopped();) {
        struct etcd_event ev;
        if (!said && etcd_watch_connected(w, NULL)) {
            puts("{\"connected\":true}");
            fflush(stdout);
            said = true;
        }
        if (etcd_watch_next(w, 100, &ev, NULL) < 0)
            continue;
        print_event(&ev);
        etcd_event_free(&ev);
    }
    etcd_watch_free(take(w));
    etcd_close(e);
    return rc;
}
