/* What one look of a coordinator at N servers costs: their keys on a real etcd, read, authenticated, decoded,
 * decided upon. The servers are simulated: keys such as their agents publish, in a cluster of its own. */
#include "bench.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <rotation/rotation.h>
#include <store/store.h>

#define LOOKS       200
#define DEADLINE_MS 5000
#define HASH        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void server_name(int64_t i, char out[CLUSTER_NAME_MAX])
{
    snprintf(out, CLUSTER_NAME_MAX, "s%" PRId64, i + 1);
}

static int put_server(struct store *s, struct etcd_txn *t, int64_t i, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
    struct cluster_report r = {.generation = 1, .loaded_known = true, .loaded_generation = 1, .ready = true};
    char path[CLUSTER_KEY_PATH_MAX];
    server_name(i, r.server);
    r.time_ms = clock_wall_ms();
    r.stage = STAGE_START;
    text_copy(r.version, sizeof(r.version), SECRETS_ENCRYPT_VERSION);
    text_copy(r.hash, sizeof(r.hash), HASH);
    text_copy(r.config_id, sizeof(r.config_id), HASH);
    text_copy(r.loaded_hash, sizeof(r.loaded_hash), HASH);
    cluster_key_path(path, store_cluster(s), CLUSTER_KEY_STAGE, r.server);
    etcd_txn_put(t, path, "start", 5, 0);
    cluster_key_path(path, store_cluster(s), CLUSTER_KEY_HASH, r.server);
    etcd_txn_put(t, path, "start-" HASH, strlen("start-" HASH), 0);
    int rc = cluster_report_encode(&r, &body, err);
    return rc == 0 ? store_txn_put(s, t, CLUSTER_KEY_REPORT, r.server, &body, 0, err) : rc;
}

static int put_rotation(struct store *s, struct etcd_txn *t, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
    _cleanup_free_ struct cluster_rotation *r = calloc(1, sizeof(*r));
    if (!r)
        return error_no_memory(err);
    r->generation = r->issued = 1;
    r->next_order = 1;
    text_copy(r->hash, sizeof(r->hash), HASH);
    text_copy(r->write_key, sizeof(r->write_key), "aescbckey");
    text_copy(r->write_provider, sizeof(r->write_provider), "aescbc");
    int rc = cluster_rotation_encode(r, &body, err);
    return rc == 0 ? store_txn_put(s, t, CLUSTER_KEY_ROTATION, NULL, &body, 0, err) : rc;
}

static void make_spec(const struct bench *b, struct cluster_spec *spec)
{
    for (int64_t i = 0; i < b->count; i++) {
        server_name(i, spec->servers[i].name);
        snprintf(spec->servers[i].api, sizeof(spec->servers[i].api), "https://192.0.2.%" PRId64 ":6443",
                 i + 1);
    }
    spec->servers_count = (size_t)b->count;
    spec->resources_count = 1;
    text_copy(spec->resources[0], sizeof(spec->resources[0]), "secrets");
}

static int put_all(struct store *s, struct bench *b, const struct cluster_spec *spec, struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
    _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
    int rc = cluster_spec_encode(spec, &body, err);
    rc = rc ? rc : store_txn_put(s, t, CLUSTER_KEY_SPEC, NULL, &body, 0, err);
    rc = rc ? rc : put_rotation(s, t, err);
    for (int64_t i = 0; rc == 0 && i < b->count; i++)
        rc = put_server(s, t, i, err);
    return rc ? rc : etcd_txn_commit(t, DEADLINE_MS, NULL, err);
}

static int look_once(struct store *s, const struct planner_self *self, struct samples *times,
                     struct error *err)
{
    _cleanup_free_ struct cluster_snapshot *snapshot = malloc(sizeof(*snapshot));
    struct decision d;
    int64_t begun = mono_us();
    int rc = snapshot ? store_snapshot(s, DEADLINE_MS, snapshot, err) : error_no_memory(err);
    if (rc < 0)
        return rc;
    rotation_decide(snapshot, self, &d);
    samples_add(times, mono_us() - begun);
    if (snapshot->servers_count != self->spec->servers_count)
        return error_set(err, ERR_STATE, "the snapshot has %zu servers", snapshot->servers_count);
    return 0;
}

static int remove_all(struct store *s, struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(prefix, store_cluster(s), CLUSTER_KEY_ALL, NULL);
    return etcd_delete(store_etcd(s), prefix, true, DEADLINE_MS, NULL, err);
}

int bench_planner(struct bench *b, struct error *err)
{
    _cleanup_(store_freep) struct store *s = NULL;
    _cleanup_free_ struct cluster_spec *spec = calloc(1, sizeof(*spec));
    struct samples times = {0};
    if (!spec)
        return error_no_memory(err);
    if (b->count < 1 || b->count > CLUSTER_SERVERS_MAX)
        return error_set(err, ERR_UNSUPPORTED, "at most %d servers", CLUSTER_SERVERS_MAX);
    snprintf(b->config->cluster, sizeof(b->config->cluster), "bench-%" PRId64, b->count);
    make_spec(b, spec);
    struct planner_self self = {
        .server = "s1", .fence = 1, .spec = spec, .passes_max = 3, .attempts_max = 30};
    int64_t begun = mono_us();
    int rc = store_open(b->config, &s, err);
    rc = rc ? rc : put_all(s, b, spec, err);
    for (int i = 0; rc == 0 && i < LOOKS; i++)
        rc = look_once(s, &self, &times, err);
    rc = rc ? rc : remove_all(s, err);
    if (rc == 0) {
        char more[128];
        snprintf(more, sizeof(more), "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f",
                 samples_ms(&times, 0.5), samples_ms(&times, 0.99), samples_ms(&times, 1));
        print_rate(LOOKS, mono_us() - begun, more);
    }
    samples_free(&times);
    return rc;
}
