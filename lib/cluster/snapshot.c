#include <cluster/snapshot.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/text.h>

/* What a server's slot held when the refresh began. */
struct held {
    bool report, order; /* it was decoded well */
    int64_t report_mod, order_mod;
    bool report_seen, order_seen; /* the key is there: the slot has what this snapshot has */
};

#define INDEX_SIZE (2 * SNAPSHOT_SERVERS_MAX)

struct build {
    const char *cluster;
    struct cluster_snapshot *s;
    struct held *held; /* by slot; NULL: nothing is held */
    size_t held_count;
    int64_t spec_mod, proofs_mod;       /* of what is held; 0: none */
    size_t bundles_held, bundles_count; /* held; that there are */
    uint16_t index[INDEX_SIZE];         /* slots by the hash of their servers' names, from 1 */
    bool no_memory;                     /* for one of the records: it is no bad record, and not left out */
};

/* True when a record was decoded; what is wrong with a record is the caller's to judge. */
static bool decoded(struct build *b, int rc)
{
    b->no_memory = b->no_memory || rc == ERR_NO_MEMORY;
    return rc == 0;
}

/* ---------- servers by name ---------- */

static size_t hash_name(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h % INDEX_SIZE;
}

/* Where the server's name stands in the index, or may be put: half of the index is always free. */
static size_t find_place(const struct build *b, const char *name)
{
    size_t i = hash_name(name);
    while (b->index[i] && strcmp(b->s->servers[b->index[i] - 1].name, name) != 0)
        i = (i + 1) % INDEX_SIZE;
    return i;
}

/* A slot that held the same server keeps what was decoded, until it is known whether it still stands. */
static void take_slot(struct build *b, size_t slot, const char *name, bool in_spec)
{
    struct snapshot_server *v = &b->s->servers[slot];
    bool same = slot < b->held_count && strcmp(v->name, name) == 0;
    if (!same) {
        if (slot < b->held_count)
            b->held[slot] = (struct held){0};
        memset(v, 0, sizeof(*v));
        text_copy(v->name, sizeof(v->name), name);
    }
    v->in_spec = in_spec;
    v->reports = v->has_order = v->plain_keys_differ = false;
    v->report_mod = v->order_mod = v->unchanged_ms = 0;
    text_copy(v->report_why, sizeof(v->report_why), "silent: its agent publishes nothing");
}

static struct snapshot_server *need_server(struct build *b, const char *name, bool in_spec)
{
    struct cluster_snapshot *s = b->s;
    size_t place = find_place(b, name);
    if (!b->index[place] && s->servers_count == SNAPSHOT_SERVERS_MAX)
        return NULL;
    if (!b->index[place]) {
        take_slot(b, s->servers_count, name, in_spec);
        b->index[place] = (uint16_t)++s->servers_count;
    }
    return &s->servers[b->index[place] - 1];
}

static struct held *held_of(const struct build *b, const struct snapshot_server *v)
{
    size_t slot = (size_t)(v - b->s->servers);
    return slot < b->held_count ? &b->held[slot] : NULL;
}

const struct snapshot_server *snapshot_server(const struct cluster_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->servers_count; i++)
        if (strcmp(s->servers[i].name, name) == 0)
            return &s->servers[i];
    return NULL;
}

const struct snapshot_bundle *snapshot_bundle(const struct cluster_snapshot *s, int64_t generation)
{
    for (size_t i = s->bundles_count; i > 0; i--) /* it is mostly one of the newest that is asked for */
        if (s->bundles[i - 1].generation == generation)
            return &s->bundles[i - 1];
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

static int add_spec(struct build *b, const struct snapshot_input *in, struct error *err)
{
    struct cluster_snapshot *s = b->s;
    if (!in->body)
        return not_authentic(in, err);
    bool same = b->spec_mod && b->spec_mod == in->mod_revision;
    int rc = same ? 0 : cluster_spec_decode(in->body, in->len, &s->spec, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", in->key);
    s->has_spec = true;
    s->spec_mod = in->mod_revision;
    for (size_t i = 0; i < s->spec.servers_count; i++)
        need_server(b, s->spec.servers[i].name, true);
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

/* True when the next bundle is, at its place, the one that was decoded from the same record before. */
static bool holds_bundle(const struct build *b, const struct snapshot_input *in, const char *name)
{
    const struct snapshot_bundle *v = &b->s->bundles[b->s->bundles_count];
    char held[CLUSTER_ID_MAX];
    if (b->s->bundles_count >= b->bundles_held || v->mod != in->mod_revision)
        return false;
    snprintf(held, sizeof(held), "%020" PRId64, v->generation);
    return strcmp(held, name) == 0;
}

static int add_bundle(struct build *b, const char *name, const struct snapshot_input *in, struct error *err)
{
    struct cluster_snapshot *s = b->s;
    if (!in->body)
        return not_authentic(in, err);
    if (holds_bundle(b, in, name)) {
        s->bundles_count++;
        return 0;
    }
    struct cluster_bundle bundle = {0};
    int rc = cluster_bundle_decode(in->body, in->len, &bundle, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", in->key);
    if (s->bundles_count == SNAPSHOT_BUNDLES_MAX) {
        memmove(s->bundles, s->bundles + 1, (SNAPSHOT_BUNDLES_MAX - 1) * sizeof(s->bundles[0]));
        s->bundles_count--;
    }
    struct snapshot_bundle *v = &s->bundles[s->bundles_count++];
    v->mod = in->mod_revision;
    v->generation = bundle.generation;
    v->stage = bundle.stage;
    memcpy(v->hash, bundle.hash, sizeof(v->hash));
    memcpy(v->config_id, bundle.config_id, sizeof(v->config_id));
    v->has_vector = bundle.vector[0] != 0;
    v->created_ms = bundle.created_ms;
    cluster_bundle_free(&bundle);
    return 0;
}

static void add_reencrypt(struct build *b, const struct snapshot_input *in)
{
    struct cluster_snapshot *s = b->s;
    if (!in->body || !decoded(b, cluster_reencrypt_decode(in->body, in->len, &s->reencrypt, NULL)))
        return; /* progress only: the coordinator writes a new one */
    s->has_reencrypt = true;
    s->reencrypt_mod = in->mod_revision;
}

/* Proofs count for the operation that they were made in. A record that is not ours proves nothing. */
static void add_proofs(struct build *b, const struct snapshot_input *in)
{
    struct cluster_snapshot *s = b->s;
    bool same = b->proofs_mod && b->proofs_mod == in->mod_revision;
    s->has_proofs =
        in->body && (same || decoded(b, cluster_proofs_decode(in->body, in->len, &s->proofs, NULL)));
    s->proofs_mod = s->has_proofs ? in->mod_revision : 0;
}

static void add_keys(struct build *b, const struct snapshot_input *in)
{
    b->s->has_keys = in->body && decoded(b, cluster_keys_decode(in->body, in->len, &b->s->keys, NULL));
}

static void add_apis(struct build *b, const struct snapshot_input *in)
{
    struct cluster_apis a;
    if (in->body && decoded(b, cluster_apis_decode(in->body, in->len, &a, NULL)))
        memcpy(b->s->unknown_api, a.unknown, sizeof(b->s->unknown_api));
}

static void add_escrow(struct build *b, const struct snapshot_input *in)
{
    struct cluster_snapshot *s = b->s;
    struct cluster_escrow e = {0};
    if (s->escrow_count == SNAPSHOT_ESCROW_MAX || !in->body ||
        !decoded(b, cluster_escrow_decode(in->body, in->len, &e, NULL)))
        return;
    memcpy(s->escrow[s->escrow_count].provider, e.provider, sizeof(e.provider));
    memcpy(s->escrow[s->escrow_count].name, e.name, sizeof(e.name));
    s->escrow[s->escrow_count++].until_ms = e.until_ms;
    cluster_escrow_free(&e);
}

static void add_schedule(struct build *b, const struct snapshot_input *in)
{
    struct cluster_snapshot *s = b->s;
    s->has_schedule = in->body && decoded(b, cluster_schedule_decode(in->body, in->len, &s->schedule, NULL));
}

/* One that cannot be read is written anew. */
static void add_drift(struct build *b, const struct snapshot_input *in)
{
    struct cluster_snapshot *s = b->s;
    s->drift_mod = in->mod_revision;
    if (!in->body || !decoded(b, cluster_drift_decode(in->body, in->len, &s->drift, NULL)))
        s->drift.servers_count = 0;
}

static void add_lock(struct build *b, const struct snapshot_input *in)
{
    struct cluster_snapshot *s = b->s;
    s->has_lock = true;
    s->lock_mod = in->mod_revision;
    if (in->body && decoded(b, cluster_lock_decode(in->body, in->len, &s->lock, NULL)))
        return;
    s->lock = (struct cluster_lock){.holder = "?", .reason = "its record cannot be read"};
}

static void add_report(struct build *b, const char *name, const struct snapshot_input *in)
{
    struct snapshot_server *v = need_server(b, name, false);
    if (!v)
        return;
    struct error err = ERROR_INIT;
    struct held *held = held_of(b, v);
    v->report_mod = in->mod_revision;
    if (held)
        held->report_seen = true;
    if (held && held->report && held->report_mod == in->mod_revision && in->body) {
        v->reports = true;
        v->report_why[0] = 0;
        return;
    }
    memset(&v->report, 0, sizeof(v->report));
    if (!in->body)
        text_copy(v->report_why, sizeof(v->report_why), "its report is not signed with this cluster's token");
    else if (!decoded(b, cluster_report_decode(in->body, in->len, &v->report, &err)))
        text_copy(v->report_why, sizeof(v->report_why), err.text);
    else if (strcmp(v->report.server, name) != 0)
        text_copy(v->report_why, sizeof(v->report_why), "its report names another server");
    else
        v->reports = true;
    if (v->reports)
        v->report_why[0] = 0;
}

static void add_order(struct build *b, const char *name, const struct snapshot_input *in)
{
    struct snapshot_server *v = need_server(b, name, false);
    if (!v)
        return;
    struct held *held = held_of(b, v);
    v->order_mod = in->mod_revision; /* also of one that is not ours: the next order must replace it */
    if (held)
        held->order_seen = true;
    if (held && held->order && held->order_mod == in->mod_revision && in->body) {
        v->has_order = true;
        return;
    }
    memset(&v->order, 0, sizeof(v->order));
    if (in->body && decoded(b, cluster_order_decode(in->body, in->len, &v->order, NULL)))
        v->has_order = true;
}

static void add_request(struct build *b, const char *name, const struct snapshot_input *in)
{
    struct cluster_snapshot *s = b->s;
    _cleanup_free_ struct cluster_request *r = calloc(1, sizeof(*r));
    b->no_memory = b->no_memory || !r;
    if (!r || !in->body || !decoded(b, cluster_request_decode(in->body, in->len, r, NULL)) ||
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
    s->requests[i].copied = in->copied;
    s->requests_count = end + 1;
}

/* True when the value is the report's stage, or its stage and hash. */
static bool says(const struct cluster_report *r, const char *body, size_t len, bool is_hash)
{
    const char *stage = stage_name(r->stage);
    size_t stage_len = strlen(stage), hash_len = strlen(r->hash);
    if (!body || len != stage_len + (is_hash ? 1 + hash_len : 0) || memcmp(body, stage, stage_len) != 0)
        return false;
    return !is_hash || (body[stage_len] == '-' && memcmp(body + stage_len + 1, r->hash, hash_len) == 0);
}

/* The plain keys are for people and K3s's tools; the report rules, and a difference between them is told. */
static void check_plain(struct build *b, const char *name, const struct snapshot_input *in, bool is_hash)
{
    uint16_t slot = b->index[find_place(b, name)];
    struct snapshot_server *v = slot ? &b->s->servers[slot - 1] : NULL;
    if (v && v->reports && !says(&v->report, in->body, in->len, is_hash))
        v->plain_keys_differ = true;
}

static int add(struct build *b, int kind, const char *name, const struct snapshot_input *in,
               struct error *err)
{
    struct cluster_snapshot *s = b->s;
    switch (kind) {
    case CLUSTER_KEY_ROTATION:
        return add_rotation(s, in, err);
    case CLUSTER_KEY_BUNDLE:
        return add_bundle(b, name, in, err);
    case CLUSTER_KEY_REENCRYPT:
        add_reencrypt(b, in);
        return 0;
    case CLUSTER_KEY_PROOFS:
        add_proofs(b, in);
        return 0;
    case CLUSTER_KEY_APIS:
        add_apis(b, in);
        return 0;
    case CLUSTER_KEY_KEYS:
        add_keys(b, in);
        return 0;
    case CLUSTER_KEY_ESCROW:
        add_escrow(b, in);
        return 0;
    case CLUSTER_KEY_SCHEDULE:
        add_schedule(b, in);
        return 0;
    case CLUSTER_KEY_DRIFT:
        add_drift(b, in);
        return 0;
    case CLUSTER_KEY_LOCK:
        add_lock(b, in);
        return 0;
    case CLUSTER_KEY_REPORT:
        add_report(b, name, in);
        return 0;
    case CLUSTER_KEY_ORDER:
        add_order(b, name, in);
        return 0;
    case CLUSTER_KEY_REQUEST:
        add_request(b, name, in);
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

/* ---------- the whole ---------- */

/* Everything but the arrays of servers, bundles, spec and proofs, which keep what was decoded. */
static void clear_head(struct cluster_snapshot *s)
{
    s->revision = s->now_ms = s->spec_mod = s->rotation_mod = s->reencrypt_mod = s->proofs_mod = 0;
    s->has_lock = s->has_schedule = false;
    s->lock_mod = s->drift_mod = 0;
    s->drift.servers_count = 0;
    s->has_spec = s->has_rotation = s->has_reencrypt = s->has_proofs = s->has_keys = false;
    s->servers_count = s->escrow_count = s->bundles_count = s->requests_count = s->candidates_count = 0;
    memset(&s->rotation, 0, sizeof(s->rotation));
    memset(&s->reencrypt, 0, sizeof(s->reencrypt));
    memset(&s->keys, 0, sizeof(s->keys));
    memset(&s->lock, 0, sizeof(s->lock));
    memset(&s->schedule, 0, sizeof(s->schedule));
    s->unknown_api[0] = s->leader[0] = 0;
    s->leader_fence = 0;
}

static void clear_policy(struct cluster_spec *spec)
{
    spec->servers_count = spec->resources_count = 0;
    spec->snapshots = spec->canaries = spec->auto_repair = spec->owned = spec->not_raw = false;
    spec->escrow_days = 0;
}

void snapshot_clear(struct cluster_snapshot *s)
{
    clear_head(s);
    clear_policy(&s->spec);
    s->proofs.proofs_count = 0;
    s->proofs.operation[0] = 0;
}

/* What is held from before. Without memory for that, nothing is, and all is decoded. */
static void hold(struct build *b)
{
    struct cluster_snapshot *s = b->s;
    b->held = s->servers_count ? calloc(s->servers_count, sizeof(*b->held)) : NULL;
    b->held_count = b->held ? s->servers_count : 0;
    for (size_t i = 0; i < b->held_count; i++) {
        const struct snapshot_server *v = &s->servers[i];
        b->held[i] = (struct held){.report = v->reports,
                                   .order = v->has_order,
                                   .report_mod = v->report_mod,
                                   .order_mod = v->order_mod};
    }
    b->spec_mod = s->has_spec ? s->spec_mod : 0;
    b->proofs_mod = s->proofs_mod;
    b->bundles_held = s->bundles_count;
    clear_head(s);
}

/* What was held and stands no more is no part of this snapshot. */
static void drop_rest(struct build *b)
{
    struct cluster_snapshot *s = b->s;
    for (size_t i = 0; i < s->servers_count && i < b->held_count; i++) {
        struct snapshot_server *v = &s->servers[i];
        if (!b->held[i].report_seen)
            memset(&v->report, 0, sizeof(v->report));
        if (!b->held[i].order_seen)
            memset(&v->order, 0, sizeof(v->order));
    }
    if (!s->has_spec)
        clear_policy(&s->spec);
    if (s->has_proofs && strcmp(s->proofs.operation, s->rotation.op.id) != 0)
        s->has_proofs = false;
}

static int kind_of(const struct build *b, const struct snapshot_input *in, const char **ret_name)
{
    *ret_name = in->name;
    return in->kind ? in->kind : cluster_key_parse(in->key, b->cluster, ret_name);
}

static int fill(struct build *b, const struct snapshot_input *inputs, size_t count, struct error *err)
{
    const char *name = NULL;
    int rc = 0;
    /* The spec first: it gives the servers their order. */
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int kind = kind_of(b, &inputs[i], &name);
        b->bundles_count += kind == CLUSTER_KEY_BUNDLE;
        if (kind == CLUSTER_KEY_SPEC)
            rc = add_spec(b, &inputs[i], err);
    }
    if (b->bundles_count > SNAPSHOT_BUNDLES_MAX)
        b->bundles_held = 0; /* they move while they are added */
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int kind = kind_of(b, &inputs[i], &name);
        rc = add(b, kind, name, &inputs[i], err);
        if (rc == 0 && b->no_memory)
            rc = error_no_memory(err);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int kind = kind_of(b, &inputs[i], &name);
        if (kind == CLUSTER_KEY_STAGE || kind == CLUSTER_KEY_HASH)
            check_plain(b, name, &inputs[i], kind == CLUSTER_KEY_HASH);
    }
    return rc;
}

int snapshot_refresh(const char *cluster, int64_t revision, int64_t now_ms,
                     const struct snapshot_input *inputs, size_t count, struct cluster_snapshot *s,
                     struct error *err)
{
    struct build b = {.cluster = cluster, .s = s};
    hold(&b);
    s->revision = revision;
    s->now_ms = now_ms;
    int rc = fill(&b, inputs, count, err);
    drop_rest(&b);
    if (rc < 0)
        snapshot_clear(s);
    free(b.held);
    return rc;
}

int snapshot_build(const char *cluster, int64_t revision, int64_t now_ms, const struct snapshot_input *inputs,
                   size_t count, struct cluster_snapshot *ret, struct error *err)
{
    snapshot_clear(ret);
    return snapshot_refresh(cluster, revision, now_ms, inputs, count, ret, err);
}

bool snapshot_etcd_only(const struct cluster_snapshot *s, size_t i)
{
    return i < s->spec.servers_count && s->spec.servers[i].role == ROLE_ETCD;
}

size_t snapshot_first_api(const struct cluster_snapshot *s)
{
    size_t i = 0;
    while (i + 1 < s->spec.servers_count && s->spec.servers[i].role == ROLE_ETCD)
        i++;
    return i;
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
        if (!v->in_spec || !v->reports || snapshot_etcd_only(s, i))
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
