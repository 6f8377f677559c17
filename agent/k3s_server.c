#include "k3s_server.h"

#include <inttypes.h>

#include <agent/service.h>
#include <base/clock.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <json/json.h>

#define ASK_MS     2000
#define EVERY_MS   1000
#define NODE_MAX   (1024 * 1024)
#define DIFFERS_MS 15000 /* K3s writes its record and the annotation one after the other */
#define BEHIND     1000  /* entries of etcd's log that a member may have to catch up with */
#define ANNOTATION "k3s.io/encryption-config-hash"

void k3s_server_close(struct k3s_server *s)
{
    kube_close(s->supervisor);
    etcd_close(s->etcd);
    s->supervisor = NULL;
    s->etcd = NULL;
}

/* --- the supervisor answers --- */

static int look_at_supervisor(struct k3s_server *s, const struct k3s_places *p, struct error *err)
{
    struct kube_options options = {.server = s->config->server, .url = p->supervisor, .ca_file = p->ca};
    long status = 0;
    int rc = s->supervisor ? 0 : kube_open(&options, &s->supervisor, err);
    if (rc == 0) /* whatever it answers: it is there */
        rc = kube_request(s->supervisor, "GET", "/ping", NULL, NULL, NULL, 0, ASK_MS, &status, NULL, err);
    return rc < 0 ? error_prefix(err, rc, "its supervisor does not answer") : 0;
}

/* --- the embedded etcd member is a voter, and caught up --- */

static int open_etcd(struct k3s_server *s, const struct k3s_places *p, struct error *err)
{
    const char *const endpoints[] = {p->etcd};
    struct etcd_options options = {.endpoints = endpoints,
                                   .endpoints_count = 1,
                                   .ca_file = p->etcd_ca,
                                   .cert_file = p->etcd_cert,
                                   .key_file = p->etcd_key};
    return s->etcd ? 0 : etcd_open(&options, &s->etcd, err);
}

static int look_at_etcd(struct k3s_server *s, const struct k3s_places *p, struct error *err)
{
    struct etcd_status member;
    if (!p->etcd)
        return 0;
    int rc = open_etcd(s, p, err);
    if (rc == 0)
        rc = etcd_member_status(s->etcd, 0, ASK_MS, &member, err);
    if (rc < 0)
        return error_prefix(err, rc, "its etcd member");
    if (member.learner)
        return error_set(err, ERR_UNAVAILABLE,
                         "its etcd member is a learner still, and does not count for the quorum");
    if (member.leader == 0)
        return error_set(err, ERR_UNAVAILABLE, "its etcd member sees no leader");
    if (member.raft_index > member.raft_applied_index + BEHIND)
        return error_set(err, ERR_UNAVAILABLE, "its etcd member is %" PRIu64 " entries behind",
                         member.raft_index - member.raft_applied_index);
    return 0;
}

/* --- no API server --- */

/* Supervisor and etcd member answer before the start is over. */
static int look_at_unit(const struct k3s_places *p, struct error *err)
{
    enum service_init init = SERVICE_SYSTEMD;
    bool active = false;
    int64_t pid = 0;
    int rc = service_init_find(&init, err);
    if (rc == 0)
        rc = service_main_pid(init, p->unit, &active, &pid, err);
    if (rc < 0)
        return rc;
    return active ? 0 : error_set(err, ERR_UNAVAILABLE, "its unit %s is not active", p->unit);
}

static int look_without_api(const struct k3s_places *p, struct error *err)
{
    if (!p->etcd)
        return error_set(
            err, ERR_INVALID,
            "it has the role etcd, but no etcd member in its data-dir: correct servers[].role or "
            "k3s.data_dir");
    return look_at_unit(p, err);
}

/* --- its Node object --- */

static int get_node(struct k3s_server *s, struct kube *api, const char *name, struct json **ret,
                    struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(NODE_MAX);
    char path[512];
    long status = 0;
    if (snprintf(path, sizeof(path), "/api/v1/nodes/%s", name) >= (int)sizeof(path))
        return error_set(err, ERR_INVALID, "%s: k3s.node: the name is too long", s->config->path);
    int rc = kube_request(api, "GET", path, "application/json", NULL, NULL, 0, ASK_MS, &status, &body, err);
    if (rc < 0)
        return error_prefix(err, rc, "its Node object");
    if (status == 404)
        return error_set(err, ERR_NOT_FOUND, "there is no Node %s: set k3s.node in the agent's config", name);
    if (status != 200)
        return error_set(err, ERR_UNAVAILABLE, "its Node object cannot be read (%ld)%s", status,
                         status == 403 ? ": allow the agent's login `get` on nodes" : "");
    return json_parse(buf_str(&body), body.len, "its Node object", ret, err);
}

static const char *condition(const struct json *node, const char *type)
{
    const struct json *list = json_get(json_get(node, "status"), "conditions");
    for (const struct json *c = json_first(list); c; c = json_next(c))
        if (strcmp(json_string(json_get(c, "type"), ""), type) == 0)
            return json_string(json_get(c, "status"), "");
    return "";
}

/* The annotation is what the other servers, and K3s's own checks, go by. While it re-encrypts it says so
 * there alone. */
static int look_at_annotation(struct k3s_server *s, const struct json *node, struct error *err)
{
    const char *text =
        json_string(json_get(json_get(json_get(node, "metadata"), "annotations"), ANNOTATION), "");
    const struct driver *driver = driver_find(s->config->driver);
    struct driver_own own, said;
    if (driver->own(s->config, &own, NULL) < 0)
        return 0; /* told of by the look at the record itself */
    bool read = *text && k3s_own_parse(text, &said, NULL) == 0;
    bool same = read && strcmp(said.hash, own.hash) == 0 &&
                (said.stage == own.stage || said.stage == STAGE_REENCRYPT_ACTIVE);
    if (same)
        s->differs_ms = 0;
    else if (!s->differs_ms)
        s->differs_ms = clock_mono_ms();
    if (same || clock_mono_ms() - s->differs_ms < DIFFERS_MS)
        return 0;
    return error_set(
        err, ERR_UNAVAILABLE,
        "its Node's annotation says %.40s, and its own record %s-%.8s…: restart the server, which "
        "publishes it anew",
        read || *text ? text : "nothing of its encryption config", stage_name(own.stage), own.hash);
}

static int look_at_node(struct k3s_server *s, struct kube *api, const struct k3s_places *p, struct error *err)
{
    _cleanup_(json_freep) struct json *node = NULL;
    int rc = get_node(s, api, p->node, &node, err);
    if (rc < 0)
        return rc;
    if (json_bool(json_get(json_get(node, "spec"), "unschedulable"), false))
        return error_set(err, ERR_UNAVAILABLE,
                         "its node %s is cordoned: somebody maintains it; uncordon it when that is over",
                         p->node);
    if (p->etcd && strcmp(condition(node, "EtcdIsVoter"), "False") == 0)
        return error_set(err, ERR_UNAVAILABLE, "its node's condition EtcdIsVoter is False");
    return look_at_annotation(s, node, err);
}

/* ---------- */

static int look(struct k3s_server *s, struct kube *api, struct error *err)
{
    struct k3s_places places;
    int rc = k3s_places(s->config, &places, err);
    if (rc == 0)
        rc = look_at_supervisor(s, &places, err);
    if (rc == 0)
        rc = look_at_etcd(s, &places, err);
    if (rc < 0)
        return rc;
    return api ? look_at_node(s, api, &places, err) : look_without_api(&places, err);
}

int k3s_server_ready(struct k3s_server *s, struct kube *api, struct error *err)
{
    struct error why = ERROR_INIT;
    if (!api || clock_mono_ms() >= s->next_ms) {
        s->rc = look(s, api, &why);
        (void)text_copy(s->why, sizeof(s->why), why.text);
        s->next_ms = clock_mono_ms() + EVERY_MS;
    }
    return s->rc < 0 ? error_set(err, s->rc, "%s: %.400s", s->config->server, s->why) : 0;
}
