/* The list of everything through every server: what proves that a server reads what is stored, where no
 * canary can be put. A Table without objects is asked for: the server reads and decrypts each object, and
 * answers with what `kubectl get` prints. */
#include <string.h>

#include <base/clock.h>
#include <json/json.h>

#include "servers.h"

#define PAGE             500
#define FIND_DEADLINE_MS 10000
#define PAGE_DEADLINE_MS 30000
#define EXPIRED_MAX      3
#define ATTEMPTS_MAX     3
#define BACKOFF_MS       200
#define BACKOFF_MAX_MS   2000
#define CONTINUE_MAX     4096
#define ACCEPT_TABLE     "application/json;as=Table;g=meta.k8s.io;v=v1"

struct listing {
    struct servers *s;
    size_t i;
    struct kube_resource resource;
    char next[CONTINUE_MAX]; /* "" : the first page */
    int64_t objects;
};

static int add_escaped(struct buf *out, const char *text, struct error *err)
{
    int rc = 0;
    for (const unsigned char *c = (const unsigned char *)text; rc == 0 && *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                     *c == '-' || *c == '_';
        rc = plain ? buf_add(out, c, 1, err) : buf_addf(out, err, "%%%02X", *c);
    }
    return rc;
}

static int page_path(const struct listing *l, struct buf *out, struct error *err)
{
    buf_reset(out);
    int rc = buf_addf(out, err, "%s/%s?limit=%d&includeObject=None", l->resource.api_path, l->resource.plural,
                      PAGE);
    if (rc == 0 && *l->next)
        rc = buf_adds(out, "&continue=", err);
    return rc == 0 ? add_escaped(out, l->next, err) : rc;
}

static int read_table(struct listing *l, const struct buf *reply, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    int rc = json_parse(reply->data, reply->len, "the list", &root, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", servers_name(l->s, l->i));
    if (strcmp(json_string(json_get(root, "kind"), ""), "Table") != 0)
        return error_set(err, ERR_UNSUPPORTED, "%s: %s: the answer is no table", servers_name(l->s, l->i),
                         l->resource.name);
    l->objects += (int64_t)json_count(json_get(root, "rows"));
    const char *next = json_string(json_get(json_get(root, "metadata"), "continue"), "");
    if (strlen(next) >= sizeof(l->next))
        return error_set(err, ERR_TOO_LARGE, "%s: %s: a continue token of over %zu bytes",
                         servers_name(l->s, l->i), l->resource.name, sizeof(l->next));
    memcpy(l->next, next, strlen(next) + 1);
    return 0;
}

static int get_page(struct listing *l, enum verdict *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf path = BUF_INIT(4 * CONTINUE_MAX), reply = BUF_INIT(KUBE_REPLY_MAX);
    char answer[ANSWER_TEXT_MAX], doing[KUBE_NAME_MAX + 64];
    long status = 0;
    int rc = page_path(l, &path, err);
    if (rc == 0)
        rc = kube_request(l->s->kube[l->i], "GET", buf_str(&path), ACCEPT_TABLE, NULL, NULL, 0,
                          PAGE_DEADLINE_MS, &status, &reply, err);
    if (rc < 0)
        return rc;
    if (status == 200) {
        *ret = VERDICT_YES;
        return read_table(l, &reply, err);
    }
    answer_text(status, &reply, answer);
    *ret = answer_verdict(status, answer);
    snprintf(doing, sizeof(doing), "listing every one of %s", l->resource.name);
    return servers_refused(l->s, l->i, *ret, doing, answer, err);
}

/* A page is tried again after a trouble that may pass, and the whole list when its token is too old. */
static int list_resource(struct listing *l, const char *name, struct error *err)
{
    int rc = kube_find_resource(l->s->kube[l->i], name, FIND_DEADLINE_MS, &l->resource, err);
    unsigned failures = 0, expired = 0;
    if (rc == ERR_NOT_FOUND)
        return error_set(err, servers_denied(l->s), "%s does not serve %s", servers_name(l->s, l->i), name);
    l->next[0] = 0;
    while (rc == 0) {
        enum verdict verdict = VERDICT_LATER;
        struct error why = ERROR_INIT;
        if (job_canceled(l->s->job))
            return error_set(err, ERR_CANCELED, "the proof was stopped");
        int one = get_page(l, &verdict, &why);
        if (one == 0 && !*l->next)
            return 0;
        if (one == 0)
            continue;
        bool again = verdict == VERDICT_EXPIRED ? expired++ < EXPIRED_MAX
                                                : error_is_transient(one) && failures++ < ATTEMPTS_MAX;
        if (!again)
            return error_set(err, one, "%s", why.text);
        if (verdict == VERDICT_EXPIRED)
            l->next[0] = 0;
        job_wait(l->s->job, backoff_ms(failures, BACKOFF_MS, BACKOFF_MAX_MS));
    }
    return rc;
}

static void set_values(struct cluster_proof *p, void *arg)
{
    const struct listing *l = arg;
    p->values = l->objects;
}

static int list_server(struct servers *s, size_t i, int64_t *ret_objects, struct error *err)
{
    struct listing l = {.s = s, .i = i};
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < s->o->spec.resources_count; k++)
        rc = list_resource(&l, s->o->spec.resources[k], err);
    job_update_proof(s->job, set_values, &l);
    *ret_objects = l.objects;
    return rc;
}

int servers_list(struct servers *s, int64_t *ret_objects, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct error why = ERROR_INIT;
        int one = list_server(s, i, ret_objects, &why);
        servers_found(s, i, one, &why);
        servers_worse(&rc, err, one, &why);
    }
    return rc;
}
