/* What one look of a coordinator at N servers costs: their keys on a real etcd, read, authenticated, decoded,
 * decided upon. The servers are simulated: keys such as their agents publish, in a cluster of its own;
 * between two looks as many publish again as do in the second that a coordinator waits at most. */
#include "bench.h"

#include <inttypes.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <rotation/rotation.h>
#include <store/view.h>

#define LOOKS       200
#define GROUP       40        /* servers in one transaction */
#define BODY_MAX    (1 << 20) /* bytes of a record */
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
    r.vector_generation = 1;
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

static int put_cluster(struct store *s, const struct cluster_spec *spec, struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
    _cleanup_(buf_freep) struct buf body = BUF_INIT(BODY_MAX);
    int rc = cluster_spec_encode(spec, &body, err);
    rc = rc ? rc : store_txn_put(s, t, CLUSTER_KEY_SPEC, NULL, &body, 0, err);
    rc = rc ? rc : put_rotation(s, t, err);
    return rc ? rc : etcd_txn_commit(t, DEADLINE_MS, NULL, err);
}

/* Servers from..from + count - 1, around the end to the first ones. */
static int put_servers(struct store *s, const struct bench *b, int64_t from, int64_t count, struct error *err)
{
    int rc = 0;
    for (int64_t done = 0; rc == 0 && done < count; done += GROUP) {
        _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
        for (int64_t i = done; rc == 0 && i < count && i < done + GROUP; i++)
            rc = put_server(s, t, (from + i) % b->count, err);
        rc = rc ? rc : etcd_txn_commit(t, DEADLINE_MS, NULL, err);
    }
    return rc;
}

static int look_once(struct store_view *v, const struct planner_self *self, int64_t *ret_us,
                     struct error *err)
{
    struct cluster_snapshot *snapshot = NULL;
    struct decision d;
    int64_t begun = mono_us();
    int rc = store_view_look(v, DEADLINE_MS, &snapshot, err);
    if (rc < 0)
        return rc;
    rotation_decide(snapshot, self, &d);
    *ret_us = mono_us() - begun;
    if (snapshot->servers_count != self->spec->servers_count)
        return error_set(err, ERR_STATE, "the snapshot has %zu servers", snapshot->servers_count);
    if (d.action != ACTION_WAIT)
        return error_set(err, ERR_STATE, "not idle: %s", d.row);
    return 0;
}

/* What stays in memory: the peak is that of deriving the token's keys, which is over before the first look.
 */
static int64_t resident_kb(void)
{
    char text[128] = "";
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    const char *pages = fgets(text, sizeof(text), f) ? strchr(text, ' ') : NULL;
    fclose(f);
    return pages ? strtoll(pages, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024) : 0;
}

/* The first look reads everything; its time is *ret_first_us. Agents publish twice a lease. */
static int look_often(struct store *s, const struct bench *b, const struct planner_self *self,
                      int64_t *ret_first_us, int64_t *ret_resident_kb, struct samples *times,
                      struct error *err)
{
    _cleanup_(store_view_freep) struct store_view *v = NULL;
    int64_t lease_s = b->config->lease_ttl_s, beats = (2 * b->count + lease_s - 1) / lease_s, us = 0;
    int rc = store_view_new(s, &v, err);
    rc = rc ? rc : look_once(v, self, ret_first_us, err);
    for (int64_t i = 0; rc == 0 && i < LOOKS; i++) {
        rc = put_servers(s, b, i * beats, beats, err);
        rc = rc ? rc : look_once(v, self, &us, err);
        samples_add(times, us);
    }
    *ret_resident_kb = resident_kb();
    return rc;
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
    int64_t resident = 0;
    if (!spec)
        return error_no_memory(err);
    if (b->count < 1 || b->count > CLUSTER_SERVERS_MAX)
        return error_set(err, ERR_UNSUPPORTED, "at most %d servers", CLUSTER_SERVERS_MAX);
    snprintf(b->config->cluster, sizeof(b->config->cluster), "bench-%" PRId64, b->count);
    make_spec(b, spec);
    struct planner_self self = {
        .server = "s1", .fence = 1, .spec = spec, .passes_max = 3, .attempts_max = 30};
    int64_t begun = mono_us(), first_us = 0;
    int rc = store_open(b->config, &s, err);
    rc = rc ? rc : put_cluster(s, spec, err);
    rc = rc ? rc : put_servers(s, b, 0, b->count, err);
    rc = rc ? rc : look_often(s, b, &self, &first_us, &resident, &times, err);
    rc = rc ? rc : remove_all(s, err);
    if (rc == 0) {
        char more[192];
        snprintf(more, sizeof(more),
                 "\"first_ms\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"resident_kb\":%" PRId64,
                 (double)first_us / 1000, samples_ms(&times, 0.5), samples_ms(&times, 0.99),
                 samples_ms(&times, 1), resident);
        print_rate(LOOKS, mono_us() - begun, more);
    }
    samples_free(&times);
    return rc;
}
