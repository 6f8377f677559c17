/* Writes the page of a situation to stdout, for Prometheus's tools: `metrics_pages list`, `metrics_pages
 * drifted`, `metrics_pages process` (of this very process), `metrics_pages large`. */
#include "situations.h"

#include <stdio.h>
#include <string.h>

static int show(const struct cluster_snapshot *s, const struct metrics_process *p)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    struct error err = ERROR_INIT;
    if (metrics_render(s, p, &out, &err) < 0) {
        fprintf(stderr, "metrics_pages: %s\n", err.text);
        return 1;
    }
    return fputs(buf_str(&out), stdout) < 0 || fflush(stdout) != 0;
}

static int show_process(void)
{
    struct metrics_process p;
    metrics_etcd_call("Range", 0, 1500);
    metrics_etcd_call("Txn", ERR_TIMEOUT, 2000000);
    metrics_process_get(&p);
    p.cluster = "prod";
    p.server = "s1";
    return show(NULL, &p);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    _cleanup_free_ struct cluster_snapshot *s = NULL;
    struct metrics_process p = {0};
    if (strcmp(what, "process") == 0)
        return show_process();
    if (strcmp(what, "large") == 0) {
        s = situation_large(1000);
        return show(s, &p);
    }
    for (size_t i = 0; i < situations_count; i++) {
        if (strcmp(what, "list") == 0)
            printf("%s\n", situations[i].name);
        if (strcmp(what, situations[i].name) != 0)
            continue;
        situation_make(&situations[i], &s, &p);
        return show(s, &p);
    }
    return strcmp(what, "list") == 0 ? 0 : 2;
}
