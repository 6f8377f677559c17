/* Canaries where the datastore is not to be touched: they are looked for, and taken out, through the API. */
#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "../api_login.h"
#include "canary.h"

#define CALL_MS      3000
#define LIST_PAGE    500
#define PAGES_MAX    200
#define SWEEP_MS     5000
#define RETRY_MS     100
#define RETRY_MAX_MS 1000

static int delete_through(const struct job_options *o, size_t server, const char *path, struct error *err)
{
    struct kube_options login = api_login(o, server);
    _cleanup_(kube_closep) struct kube *k = NULL;
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
    long status = 0;
    int rc = kube_open(&login, &k, err);
    if (rc == 0)
        rc =
            kube_request(k, "DELETE", path, "application/json", NULL, NULL, 0, CALL_MS, &status, &reply, err);
    if (rc < 0 || (status >= 200 && status < 300) || status == 404)
        return rc;
    return error_set(err, status == 401 || status == 403 ? ERR_DENIED : ERR_UNAVAILABLE,
                     "%s: deleting %s answered %ld", login.server, path, status);
}

int canary_delete(const struct job_options *o, const char *path, int for_ms, struct error *err)
{
    int64_t until = clock_mono_ms() + for_ms;
    for (unsigned attempt = 0; o->spec.servers_count > 0; attempt++) {
        struct error why = ERROR_INIT;
        bool round = (attempt + 1) % o->spec.servers_count == 0; /* each was asked once more */
        int rc = delete_through(o, attempt % o->spec.servers_count, path, &why);
        if (rc == 0)
            return 0;
        int64_t pause = round ? backoff_ms(attempt, RETRY_MS, RETRY_MAX_MS) : 0;
        if ((round && !error_is_transient(rc)) || clock_mono_ms() + pause >= until)
            return error_set(err, rc, "taking the canary out: %s", why.text);
        clock_nap_ms(pause);
    }
    return error_set(err, ERR_UNAVAILABLE, "taking the canary out: there is no server");
}

/* ---------- what earlier runs left ---------- */

static int delete_ours(const struct job_options *o, const struct kube_resource *r,
                       const struct kube_page *page, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < page->count; i++) {
        char path[CANARY_PATH_MAX];
        if (!canary_named(page->objects[i].name))
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", r->api_path, r->plural, page->objects[i].name);
        rc = canary_delete(o, path, SWEEP_MS, err);
    }
    return rc;
}

static int sweep_through(const struct job_options *o, size_t server, const struct kube_resource *r,
                         struct error *err)
{
    struct kube_options login = api_login(o, server);
    _cleanup_(kube_closep) struct kube *k = NULL;
    _cleanup_free_ char *next = NULL;
    int rc = kube_open(&login, &k, err);
    for (unsigned pages = 0; rc == 0 && pages < PAGES_MAX; pages++) {
        struct kube_page page = {0};
        rc = kube_list_names(k, r, LIST_PAGE, next, CALL_MS, &page, err);
        if (rc == 0)
            rc = delete_ours(o, r, &page, err);
        free(next);
        next = take(page.next);
        kube_page_free(&page);
        if (!next)
            break;
    }
    return rc;
}

int canary_sweep_api(const struct job_options *o, const struct canary_kind *kind, struct error *err)
{
    struct error why = ERROR_INIT;
    struct kube_resource r = {.namespaced = true};
    text_copy(r.name, sizeof(r.name), kind->resource);
    text_copy(r.plural, sizeof(r.plural), kind->resource);
    snprintf(r.api_path, sizeof(r.api_path), "/api/v1/namespaces/%s", o->config->canary_namespace);
    int rc = error_set(&why, ERR_UNAVAILABLE, "there is no server");
    for (size_t i = 0; rc < 0 && i < o->spec.servers_count; i++)
        rc = sweep_through(o, i, &r, &why);
    return rc < 0 ? error_set(err, rc, "clearing away canaries of earlier runs: %s", why.text) : 0;
}
