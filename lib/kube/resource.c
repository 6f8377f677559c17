/* Finding resources, and listing names. */
#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "reply.h"
#include "request.h"

static int left_ms(int64_t until_ms)
{
    int64_t left = until_ms - clock_mono_ms();

    return left > 0 ? (int)left : 0;
}

/* "widgets.example.org" to "widgets" and "example.org"; "secrets" to "secrets" and "". */
static int split_name(const char *name, struct kube_resource *r, char group[KUBE_NAME_MAX], struct error *err)
{
    size_t plural = strcspn(name, ".");

    if (!text_copy(r->name, sizeof(r->name), name) || !kube_is_segment(name) || plural == 0 ||
        (name[plural] && !name[plural + 1]))
        return error_set(err, ERR_INVALID,
                         "\"%.100s\" is no resource's name: write secrets, or widgets.example.org", name);
    if (strchr(name, '*'))
        return error_set(err, ERR_UNSUPPORTED,
                         "\"%.100s\" stands for many resources; each one has to be looked up by its own name",
                         name);
    text_copy(r->plural, sizeof(r->plural), name);
    r->plural[plural] = '\0';
    text_copy(group, KUBE_NAME_MAX, name[plural] ? name + plural + 1 : "");
    return 0;
}

/* Looks in one version of the group. */
static int look_in(struct kube *k, int deadline_ms, struct kube_resource *r, struct error *err)
{
    _cleanup_(sink_freep) struct sink body = {.max = KUBE_REPLY_MAX};
    int rc = kube_get_ok(k, r->api_path, ACCEPT_JSON, deadline_ms, "looking a resource up", &body, err);

    if (rc < 0)
        return rc;
    rc = kube_parse_resources(r->api_path, sink_text(&body), body.len, r->plural, &r->namespaced, err);
    return rc < 0 ? error_prefix(err, rc, "%s", kube_session(k)->server) : 0;
}

static int group_versions(struct kube *k, const char *group, int deadline_ms, char ret[][KUBE_NAME_MAX],
                          size_t *ret_count, struct error *err)
{
    _cleanup_(sink_freep) struct sink body = {.max = KUBE_REPLY_MAX};
    _cleanup_(buf_freep) struct buf path = BUF_INIT(4 * KUBE_NAME_MAX);
    int rc = buf_adds(&path, "/apis/", err);

    if (rc == 0)
        rc = kube_url_escape(&path, group, err);
    if (rc == 0)
        rc = kube_get_ok(k, buf_str(&path), ACCEPT_JSON, deadline_ms, "looking an API group up", &body, err);
    if (rc < 0)
        return rc;
    rc = kube_parse_group(buf_str(&path), sink_text(&body), body.len, ret, ret_count, err);
    return rc < 0 ? error_prefix(err, rc, "%s", kube_session(k)->server) : 0;
}

/* "example.org/v1" into a path, encoded; it came off the wire. */
static int version_path(const char *group_version, struct kube_resource *r, struct error *err)
{
    _cleanup_(buf_freep) struct buf path = BUF_INIT(sizeof(r->api_path) - 1);
    const char *slash = strchr(group_version, '/');
    char group[KUBE_NAME_MAX];
    int rc;

    if (!slash || !kube_is_segment(slash + 1))
        return error_set(err, ERR_INVALID, "\"%.100s\" is no version of an API group", group_version);
    text_copy(group, sizeof(group), group_version);
    group[slash - group_version] = '\0';
    rc = buf_adds(&path, "/apis/", err);
    if (rc == 0)
        rc = kube_url_escape(&path, group, err);
    if (rc == 0)
        rc = buf_adds(&path, "/", err);
    if (rc == 0)
        rc = kube_url_escape(&path, slash + 1, err);
    if (rc == 0)
        text_copy(r->api_path, sizeof(r->api_path), buf_str(&path));
    return rc;
}

static int find_in_group(struct kube *k, const char *group, int64_t until_ms, struct kube_resource *r,
                         struct error *err)
{
    char versions[KUBE_VERSIONS_MAX][KUBE_NAME_MAX];
    size_t count = 0;
    int rc = group_versions(k, group, left_ms(until_ms), versions, &count, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        rc = version_path(versions[i], r, err);
        if (rc == 0)
            rc = look_in(k, left_ms(until_ms), r, err);
        if (rc != ERR_NOT_FOUND)
            return rc;
    }
    return rc;
}

int kube_find_resource(struct kube *k, const char *name, int deadline_ms, struct kube_resource *ret,
                       struct error *err)
{
    int64_t until_ms = clock_mono_ms() + deadline_ms;
    struct kube_resource r = {0};
    char group[KUBE_NAME_MAX];
    int rc = split_name(name, &r, group, err);

    if (rc < 0)
        return rc;
    if (group[0]) {
        rc = find_in_group(k, group, until_ms, &r, err);
    } else {
        text_copy(r.api_path, sizeof(r.api_path), "/api/v1");
        rc = look_in(k, deadline_ms, &r, err);
    }
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_NOT_FOUND,
                         "%s (%s): the API has no resource \"%s\"; check the name in the encryption config",
                         kube_session(k)->server, kube_session(k)->url, name);
    if (rc < 0)
        return error_prefix(err, rc, "resource \"%s\"", name);
    *ret = r;
    return 0;
}

/* --- lists --- */

/* One try. 410: *ret_next is replaced by the reply's own token (malloc) where it has one. */
static int list_once(struct kube *k, const struct kube_resource *r, int limit, const char *next,
                     int deadline_ms, struct kube_page *ret, char **ret_next, struct error *err)
{
    _cleanup_(sink_freep) struct sink body = {.max = KUBE_REPLY_MAX};
    _cleanup_(buf_freep) struct buf path = BUF_INIT(KUBE_URL_MAX + 3 * KUBE_CONTINUE_MAX);
    char doing[KUBE_NAME_MAX + 32];
    struct kube_status s;
    long status = 0;
    int rc = kube_url_page(&path, r, limit, next, err);

    if (rc < 0)
        return rc;
    snprintf(doing, sizeof(doing), "listing %s", r->name);
    rc = kube_get(k, buf_str(&path), ACCEPT_NAMES, deadline_ms, &status, &body, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", doing);
    if (status == 410) {
        if (kube_parse_status(sink_text(&body), body.len, &s)) {
            free(*ret_next); /* may be `next`, which has done its work */
            *ret_next = take(s.next);
        }
        kube_status_clear(&s);
        return error_set(err, ERR_COMPACTED,
                         "%s: %s: the place in the list has expired (410); list again from the start",
                         kube_session(k)->server, doing);
    }
    if (status != 200)
        return session_status_error(kube_session(k), status, &body, doing, err);
    rc = kube_parse_page(doing, sink_text(&body), body.len, r->namespaced, ret, err);
    return rc < 0 ? error_prefix(err, rc, "%s", kube_session(k)->server) : 0;
}

int kube_list_names(struct kube *k, const struct kube_resource *r, int limit, const char *next,
                    int deadline_ms, struct kube_page *ret, struct error *err)
{
    int64_t until_ms = clock_mono_ms() + deadline_ms;
    _cleanup_free_ char *renewed = NULL;
    struct error e = ERROR_INIT;
    int rc;

    if (limit < 1)
        return error_set(err, ERR_INVALID, "listing %s: a page must hold one name at least", r->name);
    rc = list_once(k, r, limit, next, deadline_ms, ret, &renewed, &e);
    if (rc == ERR_COMPACTED && renewed)
        rc = list_once(k, r, limit, renewed, left_ms(until_ms), ret, &renewed, &e);
    /* Objects with much metadata: the same page in smaller ones. */
    while (rc == ERR_TOO_LARGE && limit > 1) {
        limit = limit > 4 ? limit / 4 : 1;
        rc = list_once(k, r, limit, renewed ? renewed : next, left_ms(until_ms), ret, &renewed, &e);
    }
    return rc < 0 ? error_set(err, rc, "%s", e.text) : 0;
}
