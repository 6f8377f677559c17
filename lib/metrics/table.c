/* Every family there is, in the order of the page. docs/metrics.md, the alerts' and the dashboard's tests go
 * by this table. */
#include "internal.h"

#include <string.h>

#define SE        "secrets_encrypt_"
#define GAUGE     METRIC_GAUGE
#define COUNTER   METRIC_COUNTER
#define INFO      METRIC_INFO
#define SINGLE(f) .single = (f)
#define SERVER(f) .server = (f)
#define WRITE(f)  .write = (f)
#define PROCESS   .process = true

const struct metric metric_rows[] = {
    /* --- servers --- */
    {SE "server", INFO, "", "server,stage,hash", "Stage and hash that the server publishes",
     WRITE(write_server_info)},
    {SE "agent", INFO, "", "server,version,driver", "The agent on the server", WRITE(write_agent_info)},
    {SE "hash_mismatch", GAUGE, "", "",
     "1: not every server publishes the same stage and hash; for a while during a rotation that is as it "
     "should "
     "be",
     SINGLE(single_hash_mismatch)},
    {SE "server_odd", GAUGE, "", "server",
     "1: the server has another encryption config than the others, or than it should have",
     SERVER(server_odd)},
    {SE "drift", GAUGE, "", "server", "1: the server's encryption config is not one that was issued to it",
     SERVER(server_drift)},
    {SE "server_difference", INFO, "", "server,difference,of,provider,key,place",
     "How a server that is odd differs from the others or from what was issued: at most 8 a server, as diff "
     "says it",
     WRITE(write_server_differences)},
    {SE "server_reporting", GAUGE, "", "server", "1: the server's agent publishes an authentic report",
     SERVER(server_reporting)},
    {SE "server_ready", GAUGE, "", "server", "1: the server's API server says that it is ready",
     SERVER(server_ready)},
    {SE "server_report_age_seconds", GAUGE, "seconds", "server", "Since the agent's last report",
     SERVER(server_report_age)},
    {SE "server_generation", GAUGE, "", "server",
     "Generation of the server's config; 0: none that was issued", SERVER(server_generation)},
    {SE "server_loaded_generation", GAUGE, "", "server",
     "Generation that its API server was started with; 0: not known", SERVER(server_loaded)},
    {SE "server_last_restart_timestamp_seconds", GAUGE, "seconds", "server",
     "When its API server was started", SERVER(server_restarted)},
    {SE "restarts", COUNTER, "", "server", "Restarts of the API server that its agent made on order",
     SERVER(server_restarts)},
    {SE "servers", GAUGE, "", "", "Servers in the cluster's list", SINGLE(single_servers)},
    {SE "servers_unlisted", GAUGE, "", "", "Servers that publish and are not in the list",
     SINGLE(single_strangers)},
    {SE "unknown_api_servers", GAUGE, "", "",
     "1: the datastore's records name a live API server that is not in the list", SINGLE(single_unknown_api)},
    {SE "preflight_checks", GAUGE, "", "server,result",
     "What the agent found when it last looked whether a rotation would go through",
     WRITE(write_preflight_checks)},
    {SE "preflight_age_seconds", GAUGE, "seconds", "server", "Since the agent last looked",
     WRITE(write_preflight_age)},
    /* --- the operation --- */
    {SE "operation", INFO, "", "operation,kind,phase", "The operation that runs or ran last",
     WRITE(write_operation_info)},
    {SE "operation_stage", GAUGE, "", "stage", "1 at the stage that the cluster is in",
     WRITE(write_operation_stage)},
    {SE "operation_state", GAUGE, "", "state", "1 at the operation's state", WRITE(write_operation_state)},
    {SE "operation_duration_seconds", GAUGE, "seconds", "", "Since the operation began, or how long it took",
     SINGLE(single_operation_duration)},
    {SE "operation_phase_duration_seconds", GAUGE, "seconds", "", "Since its present phase began",
     SINGLE(single_phase_duration)},
    {SE "operation_waiting_seconds", GAUGE, "seconds", "row,server",
     "For how long the same row of the planner decides, and about which server",
     WRITE(write_operation_waiting)},
    {SE "generation", GAUGE, "", "", "The newest generation that every server has loaded",
     SINGLE(single_generation)},
    {SE "generation_issued", GAUGE, "", "", "The newest generation that was issued", SINGLE(single_issued)},
    {SE "requests_waiting", GAUGE, "", "", "Requests that nobody has answered", SINGLE(single_requests)},
    {SE "lock_age_seconds", GAUGE, "seconds", "",
     "Since other maintenance took the lock; none: nobody has it", SINGLE(single_lock_age)},
    {SE "proof_state", GAUGE, "", "phase,state", "1 at the state of the phase's proof",
     WRITE(write_proof_state)},
    {SE "proof_age_seconds", GAUGE, "seconds", "phase,method", "Since the phase's proof was made or tried",
     WRITE(write_proof_age)},
    {SE "proof_attempts", GAUGE, "", "phase", "How often the proof was begun in this step",
     WRITE(write_proof_attempts)},
    /* --- rewriting --- */
    {SE "reencrypt_objects", COUNTER, "", "",
     "Objects that the rewrite has been through; begins anew with it", SINGLE(single_reencrypt_objects)},
    {SE "reencrypt_gone", COUNTER, "", "", "Of these: deleted by somebody meanwhile",
     SINGLE(single_reencrypt_gone)},
    {SE "reencrypt_failures", COUNTER, "", "", "Of these: could not be rewritten",
     SINGLE(single_reencrypt_failures)},
    {SE "reencrypt_remaining", GAUGE, "", "", "Objects still to be rewritten, by the servers' estimate",
     SINGLE(single_reencrypt_remaining)},
    {SE "reencrypt_rate", GAUGE, "", "", "Objects a second, over the last few seconds",
     SINGLE(single_reencrypt_rate)},
    {SE "reencrypt_held_back", GAUGE, "", "", "1: something keeps the rewrite from going faster",
     SINGLE(single_reencrypt_held)},
    /* --- keys and values --- */
    {SE "encryption_enabled", GAUGE, "", "", "1: new values are written under a key", SINGLE(single_enabled)},
    {SE "key", INFO, "", "provider,key,state", "Keys that are or were in use", WRITE(write_key_info)},
    {SE "key_age_seconds", GAUGE, "seconds", "provider,key", "Age of keys on the servers, where it is known",
     WRITE(write_key_age)},
    {SE "key_writes", GAUGE, "", "provider,key", "At most so many values were written under the key",
     WRITE(write_key_writes)},
    {SE "values_under_key", GAUGE, "", "provider,key", "Stored values by key, by the last scan",
     WRITE(write_key_values)},
    {SE "scan_values", GAUGE, "", "", "Values that the last scan looked at", SINGLE(single_scan_values)},
    {SE "scan_stale_values", GAUGE, "", "", "Of these: under another key than the one that writes",
     SINGLE(single_scan_stale)},
    {SE "scan_plain_values", GAUGE, "", "", "Of these: not encrypted", SINGLE(single_scan_plain)},
    {SE "scan_timestamp_seconds", GAUGE, "seconds", "", "When the last scan was made",
     SINGLE(single_scan_time)},
    {SE "escrow_keys", GAUGE, "", "", "Retired keys that are kept, sealed", SINGLE(single_escrow)},
    {SE "next_rotation_timestamp_seconds", GAUGE, "seconds", "", "When the next rotation comes by itself",
     SINGLE(single_next_rotation)},
    {SE "rotation_held", GAUGE, "", "", "1: a rotation that is due does not begin; the schedule says why",
     SINGLE(single_rotation_held)},
    /* --- coordinators: of the process that is asked --- */
    {SE "coordinator", INFO, "", "version,cluster,server", "The coordinator that was asked",
     WRITE(write_coordinator_info), PROCESS},
    {SE "leader", GAUGE, "", "", "1: this coordinator leads", SINGLE(single_leader), PROCESS},
    {SE "leading_server", INFO, "", "server", "The server whose coordinator leads, by the state store",
     WRITE(write_leader_info)},
    {SE "coordinators", GAUGE, "", "", "Coordinators that live, by the state store",
     SINGLE(single_candidates)},
    {SE "snapshot_timestamp_seconds", GAUGE, "seconds", "",
     "When this coordinator read the state store last; a minute later the page tells nothing of the cluster",
     SINGLE(single_snapshot_time), PROCESS},
    {SE "ticks", COUNTER, "", "", "Turns of this coordinator while it led", SINGLE(single_ticks), PROCESS},
    {SE "tick_failures", COUNTER, "", "", "Of these: did not go through", SINGLE(single_tick_failures),
     PROCESS},
    {SE "leaderships", COUNTER, "", "", "How often this coordinator began to lead",
     SINGLE(single_leaderships), PROCESS},
    {SE "log_lines", COUNTER, "", "level", "Lines that this coordinator logged", WRITE(write_log_lines),
     PROCESS},
    {SE "etcd_up", GAUGE, "", "", "1: the state store answered this coordinator", SINGLE(single_etcd_up),
     PROCESS},
    {SE "etcd_request_seconds", METRIC_HISTOGRAM, "seconds", "call,le",
     "Calls to the state store and the datastore, with their repetitions", WRITE(write_etcd_seconds),
     PROCESS},
    {SE "etcd_request_failures", COUNTER, "", "call", "Of these: etcd did not answer, or refused",
     WRITE(write_etcd_failures), PROCESS},
    {"process_cpu_seconds", COUNTER, "seconds", "", "Processor time that this coordinator took",
     SINGLE(single_cpu), PROCESS},
    {"process_start_time_seconds", GAUGE, "seconds", "", "When this coordinator was started",
     SINGLE(single_started), PROCESS},
    {"process_resident_memory_bytes", GAUGE, "bytes", "", "Memory that it takes", SINGLE(single_resident),
     PROCESS},
    {"process_open_fds", GAUGE, "", "", "Open files and connections", SINGLE(single_open_fds), PROCESS},
    {"process_max_fds", GAUGE, "", "", "As many as it may open", SINGLE(single_max_fds), PROCESS},
};
const size_t metric_rows_count = array_len(metric_rows);

static const struct {
    const char *name, *suffix;
} types[] = {
    [METRIC_GAUGE] = {"gauge", ""},
    [METRIC_COUNTER] = {"counter", "_total"},
    [METRIC_INFO] = {"info", "_info"},
    [METRIC_HISTOGRAM] = {"histogram", ""},
};

const char *metric_type_name(enum metric_type type)
{
    return types[type].name;
}

const char *metric_suffix(enum metric_type type)
{
    return types[type].suffix;
}

/* ---------- docs/metrics.md ---------- */

static const char intro[] =
    "# Metrics\n"
    "\n"
    "Every coordinator shows the cluster and itself at `/metrics`, in OpenMetrics 1.0. Whoever leads is "
    "asked "
    "and whoever\n"
    "stands by: all of them read the same records, so what is said of servers, operation and keys is the "
    "same "
    "from each, and\n"
    "rules take the `max by (cluster, …)` of it. There is no key material in it, and no text that people "
    "wrote.\n"
    "\n"
    "- `deploy/prometheus/scrape.yml`: how to scrape it, behind TLS or on loopback. Set `cluster` there: "
    "rules group by it.\n"
    "- `deploy/prometheus/secrets-encrypt.rules.yml`: alerts; each names the [runbook](runbook.md#alerts)'s "
    "part that "
    "helps:\n"
    "  its `runbook_url` leads to the packaged page, and the file's head has the command that sets another "
    "place.\n"
    "- `deploy/grafana/secrets-encrypt.json`: a dashboard.\n"
    "\n"
    "The package puts them into `/usr/share/secrets-encrypt/`.\n"
    "\n"
    "Series are few: about ten for each server, three for each key. Server names are those of the cluster's "
    "list and of\n"
    "servers whose reports are authentic; whoever can write the state store and has no token makes no "
    "series. "
    "In names of\n"
    "keys a byte that is not printable UTF-8 shows as `\\xff`, and a backslash as two.\n"
    "\n"
    "A metric is absent where there is nothing to tell: no rotation yet, no scan, a server that does not "
    "report.\n"
    "`secrets_encrypt_values_under_key` and `…_scan_…` are of the last scan: a rotation makes one.\n"
    "\n"
    "The table is made from the program's own (`docs/draw.sh`); a test compares. *This coordinator*: of the "
    "one that was\n"
    "asked, not of the cluster.\n";

static int draw_labels(struct buf *out, const struct metric *m, struct error *err)
{
    const char *labels = m->labels ? m->labels : "";
    int rc = *labels ? buf_adds(out, "`", err) : 0;
    for (const char *p = labels; *p && rc == 0; p++)
        rc = *p == ',' ? buf_adds(out, "`, `", err) : buf_add(out, p, 1, err);
    return rc == 0 && *labels ? buf_adds(out, "`", err) : rc;
}

static int draw_row(struct buf *out, const struct metric *m, struct error *err)
{
    int rc =
        buf_addf(out, err, "| `%s%s` | %s | ", m->name, metric_suffix(m->type), metric_type_name(m->type));
    if (rc == 0)
        rc = draw_labels(out, m, err);
    return rc == 0 ? buf_addf(out, err, " | %s |\n", m->help) : rc;
}

static int draw_rows(struct buf *out, const char *title, bool process, struct error *err)
{
    int rc = buf_addf(out, err, "\n## %s\n\n| metric | type | labels | says |\n|---|---|---|---|\n", title);
    for (size_t i = 0; i < metric_rows_count && rc == 0; i++)
        if (metric_rows[i].process == process)
            rc = draw_row(out, &metric_rows[i], err);
    return rc;
}

int metrics_draw(struct buf *out, struct error *err)
{
    int rc = buf_adds(out, intro, err);
    if (rc == 0)
        rc = draw_rows(out, "The cluster", false, err);
    return rc == 0 ? draw_rows(out, "This coordinator", true, err) : rc;
}
