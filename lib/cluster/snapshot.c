#include <cluster/snapshot.h>

#include <base/cleanup.h>
#include <base/text.h>

struct build {
    const char *cluster;
    struct cluster_snapshot *s;
};

static struct snapshot_server *find_server(struct cluster_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->servers_count; i++)
        if (strcmp(s->servers[i].name, name) == 0)
            return &s->servers[i];
    return NULL;
}

static struct snapshot_server *need_server(struct cluster_snapshot *s, const char *name, bool in_spec)
{
    struct snapshot_server *v = find_server(s, name);
    if (v || s->servers_count == SNAPSHOT_SERVERS_MAX)
        return v;
    v = &s->servers[s->servers_count++];
    text_copy(v->name, sizeof(v->name), name);
    text_copy(v->report_why, sizeof(v->report_why), "silent: its agent publishes nothing");
    v->in_spec = in_spec;
    return v;
}

const struct snapshot_server *snapshot_server(const struct cluster_snapshot *s, const char *name)
{
    return find_server((struct cluster_snapshot *)s, name);
}

const struct snapshot_bundle *snapshot_bundle(const struct cluster_snapshot *s, int64_t generation)
{
    for (size_t i = 0; i < s->bundles_count; i++)
        if (s->bundles[i].generation == generation)
            return &s->bundles[i];
    return NULL;
}

const struct cluster_proof *snapshot_proof(const struct cluster_snapshot *s, enum phase phase)
{
    for (size_t i = 0; s->has_proofs && i < s->proofs.proofs_count; i++)
        if (s->proofs.proofs[i].phase == phase)
            return &s->proofs.proofs[i];
    return NULL;
}

/* A record that everything depends on: without it nothing may be decided. */
static int not_authentic(const struct snapshot_input *in, struct error *err)
{
    return error_set(err, ERR_DENIED, "%s: %s", in->key,
                     in->why ? in->why : "not signed with this cluster's token");
}

static int add_spec(struct cluster_snapshot *s, const struct snapshot_input *in, struct error *err)
{
    if (!in->body)
        return not_authentic(in, err);
    int rc = cluster_spec_decode(in->body, in->len, &s->spec, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", in->key);
    s->has_spec = true;
    s->spec_mod = in->mod_revision;
    for (size_t i = 0; i < s->spec.servers_count; i++)
        need_server(s, s->spec.servers[i].name, true);
    return 0;
}

static int add_rotation(struct cluster_snapshot *s, const struct snapshot_input *in, struct error *err)
{
    if (!in->body)
        return not_authentic(in, err);
    int rc = cluster_rotation_decode(in->body, in->len, &s->rotation, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", in->key);
    s->has_rotation = true;
    s->rotation_mod = in->mod_revision;
    return 0;
}

static int add_bundle(struct cluster_snapshot *s, const struct snapshot_input *in, struct error *err)
{
    if (!in->body)
        return not_authentic(in, err);
    struct cluster_bundle b = {0};
    int rc = cluster_bundle_decode(in->body, in->len, &b, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", in->key);
    if (s->bundles_count == SNAPSHOT_BUNDLES_MAX) {
        memmove(s->bundles, s->bundles + 1, (SNAPSHOT_BUNDLES_MAX - 1) * sizeof(s->bundles[0]));
        s->bundles_count--;
    }
    struct snapshot_bundle *v = &s->bundles[s->bundles_count++];
    v->generation = b.generation;
    v->stage = b.stage;
    memcpy(v->hash, b.hash, sizeof(v->hash));
    memcpy(v->config_id, b.config_id, sizeof(v->config_id));
    v->has_vector = b.vector[0] != 0;
    v->created_ms = b.created_ms;
    cluster_bundle_free(&b);
    return 0;
}

static void add_reencrypt(struct cluster_snapshot *s, const struct snapshot_input *in)
{
    if (!in->body || cluster_reencrypt_decode(in->body, in->len, &s->reencrypt, NULL) < 0)
        return; /* progress only: the coordinator writes a new one */
    s->has_reencrypt = true;
    s->reencrypt_mod = in->mod_revision;
}

/* Proofs count for the operation that they were made in. A record that is not ours proves nothing. */
static void add_proofs(struct cluster_snapshot *s, const struct snapshot_input *in)
{
    s->has_proofs = in->body && cluster_proofs_decode(in->body, in->len, &s->proofs, NULL) == 0;
}

static void add_keys(struct cluster_snapshot *s, const struct snapshot_input *in)
{
    s->has_keys = in->body && cluster_keys_decode(in->body, in->len, &s->keys, NULL) == 0;
}

static void add_apis(struct cluster_snapshot *s, const struct snapshot_input *in)
{
    struct cluster_apis a;
    if (in->body && cluster_apis_decode(in->body, in->len, &a, NULL) == 0)
        memcpy(s->unknown_api, a.unknown, sizeof(s->unknown_api));
}

static void add_escrow(struct cluster_snapshot *s, const struct snapshot_input *in)
{
    struct cluster_escrow e = {0};
    if (s->escrow_count == SNAPSHOT_ESCROW_MAX || !in->body ||
        cluster_escrow_decode(in->body, in->len, &e, NULL) < 0)
        return;
    memcpy(s->escrow[s->escrow_count].provider, e.provider, sizeof(e.provider));
    memcpy(s->escrow[s->escrow_count].name, e.name, sizeof(e.name));
    s->escrow[s->escrow_count++].until_ms = e.until_ms;
    cluster_escrow_free(&e);
}

static void add_report(struct cluster_snapshot *s, const char *name, const struct snapshot_input *in)
{
    struct snapshot_server *v = need_server(s, name, false);
    if (!v)
        return;
    struct error err = ERROR_INIT;
    v->report_mod = in->mod_revision;
    if (!in->body)
        text_copy(v->report_why, sizeof(v->report_why), "its report is not signed with this cluster's token");
    else if (cluster_report_decode(in->body, in->len, &v->report, &err) < 0)
        text_copy(v->report_why, sizeof(v->report_why), err.text);
    else if (strcmp(v->report.server, name) != 0)
        text_copy(v->report_why, sizeof(v->report_why), "its report names another server");
    else
        v->reports = true;
    if (v->reports)
        v->report_why[0] = 0;
}

static void add_order(struct cluster_snapshot *s, const char *name, const struct snapshot_input *in)
{
    struct snapshot_server *v = need_server(s, name, false);
    if (!v)
        return;
    v->order_mod = in->mod_revision; /* also of one that is not ours: the next order must replace it */
    if (in->body && cluster_order_decode(in->body, in->len, &v->order, NULL) == 0)
        v->has_order = true;
}

static void add_request(struct cluster_snapshot *s, const char *name, const struct snapshot_input *in)
{
    _cleanup_free_ struct cluster_request *r = calloc(1, sizeof(*r));
    if (!r || !in->body || cluster_request_decode(in->body, in->len, r, NULL) < 0 ||
        r->answer != ANSWER_NONE || strcmp(r->id, name) != 0)
        return;
    /* Oldest first by create revision; with more than the maximum the youngest wait for a later turn. */
    size_t i = s->requests_count;
    while (i > 0 && s->requests[i - 1].create > in->create_revision)
        i--;
    if (i == SNAPSHOT_REQUESTS_MAX)
        return;
    size_t end = s->requests_count < SNAPSHOT_REQUESTS_MAX ? s->requests_count : SNAPSHOT_REQUESTS_MAX - 1;
    memmove(s->requests + i + 1, s->requests + i, (end - i) * sizeof(s->requests[0]));
    s->requests[i].request = *r;
    s->requests[i].mod = in->mod_revision;
    s->requests[i].create = in->create_revision;
    s->requests_count = end + 1;
}

/* The plain keys are for people and K3s's tools; the report rules, and a difference between them is told. */
static void check_plain(struct cluster_snapshot *s, const char *name, const struct snapshot_input *in,
                        bool is_hash)
{
    struct snapshot_server *v = find_server(s, name);
    if (!v || !v->reports)
        return;
    char want[CLUSTER_HASH_MAX + 32];
    const char *stage = stage_name(v->report.stage);
    if (is_hash)
        snprintf(want, sizeof(want), "%s-%s", stage, v->report.hash);
    else
        snprintf(want, sizeof(want), "%s", stage);
    if (!in->body || strlen(want) != in->len || memcmp(want, in->body, in->len) != 0)
        v->plain_keys_differ = true;
}

static int add(struct cluster_snapshot *s, int kind, const char *name, const struct snapshot_input *in,
               struct error *err)
{
    switch (kind) {
    case CLUSTER_KEY_ROTATION:
        return add_rotation(s, in, err);
    case CLUSTER_KEY_BUNDLE:
        return add_bundle(s, in, err);
    case CLUSTER_KEY_REENCRYPT:
        add_reencrypt(s, in);
        return 0;
    case CLUSTER_KEY_PROOFS:
        add_proofs(s, in);
        return 0;
    case CLUSTER_KEY_APIS:
        add_apis(s, in);
        return 0;
    case CLUSTER_KEY_KEYS:
        add_keys(s, in);
        return 0;
    case CLUSTER_KEY_ESCROW:
        add_escrow(s, in);
        return 0;
    case CLUSTER_KEY_REPORT:
        add_report(s, name, in);
        return 0;
    case CLUSTER_KEY_ORDER:
        add_order(s, name, in);
        return 0;
    case CLUSTER_KEY_REQUEST:
        add_request(s, name, in);
        return 0;
    case CLUSTER_KEY_LEADER:
        s->leader_fence = in->create_revision;
        snprintf(s->leader, sizeof(s->leader), "%.*s", (int)(in->body ? in->len : 0),
                 in->body ? in->body : "");
        return 0;
    case CLUSTER_KEY_CANDIDATE:
        if (s->candidates_count < CLUSTER_SERVERS_MAX)
            text_copy(s->candidates[s->candidates_count++], CLUSTER_NAME_MAX, name);
        return 0;
    default:
        return 0; /* plain keys are looked at last; keys of newer versions are left alone */
    }
}

int snapshot_build(const char *cluster, int64_t revision, int64_t now_ms, const struct snapshot_input *inputs,
                   size_t count, struct cluster_snapshot *ret, struct error *err)
{
    struct cluster_snapshot *s = ret;
    memset(s, 0, sizeof(*s));
    s->revision = revision;
    s->now_ms = now_ms;
    const char *name = NULL;
    int rc = 0;
    /* The spec first: it gives the servers their order. */
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (cluster_key_parse(inputs[i].key, cluster, &name) == CLUSTER_KEY_SPEC)
            rc = add_spec(s, &inputs[i], err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int kind = cluster_key_parse(inputs[i].key, cluster, &name);
        rc = add(s, kind, name, &inputs[i], err);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int kind = cluster_key_parse(inputs[i].key, cluster, &name);
        if (kind == CLUSTER_KEY_STAGE || kind == CLUSTER_KEY_HASH)
            check_plain(s, name, &inputs[i], kind == CLUSTER_KEY_HASH);
    }
    if (rc == 0 && s->has_proofs && strcmp(s->proofs.operation, s->rotation.op.id) != 0)
        s->has_proofs = false;
    return rc;
}

static bool same_state(const struct cluster_report *a, const struct cluster_report *b)
{
    return a->stage == b->stage && strcmp(a->hash, b->hash) == 0;
}

bool snapshot_hashes_match(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    const struct snapshot_server *first = NULL;
    why[0] = 0;
    for (size_t i = 0; i < s->servers_count; i++) {
        const struct snapshot_server *v = &s->servers[i];
        if (!v->in_spec || !v->reports)
            continue;
        if (!first)
            first = v;
        if (!same_state(&first->report, &v->report)) {
            snprintf(why, CLUSTER_TEXT_MAX, "hash does not match between %s and %s", first->name, v->name);
            return false;
        }
    }
    for (size_t i = 0; i < s->servers_count; i++)
        if (s->servers[i].in_spec && !s->servers[i].reports) {
            snprintf(why, CLUSTER_TEXT_MAX, "missing hash on %s", s->servers[i].name);
            return false;
        }
    return first != NULL;
}
