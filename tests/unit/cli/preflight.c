/* `preflight` against tests/golden/preflight: what agents found and what etcd answered, judged and rendered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <cli/preflight.h>

#include "fixture.h"

#define SERVERS 3

/* Three servers that are well; tests change what they are about. */
struct world {
    struct cluster_snapshot *snapshot;
    struct config config;
    struct preflight_agent agents[SERVERS];
    struct preflight_etcd etcds[2];
    struct preflight_hooks hooks;
    size_t etcds_count;
    struct preflight result;
};

static void add_check(struct preflight_agent *a, const char *name, enum check_result result, const char *text,
                      const char *remedy)
{
    struct cluster_check *k = &a->checks.checks[a->checks.checks_count++];
    k->result = result;
    text_copy(k->name, sizeof(k->name), name);
    text_copy(k->text, sizeof(k->text), text);
    text_copy(k->remedy, sizeof(k->remedy), remedy);
}

static void make_etcd(struct preflight_etcd *e, const char *name)
{
    e->name = name;
    e->count = 3;
    for (size_t i = 0; i < e->count; i++) {
        struct preflight_member *m = &e->members[i];
        snprintf(m->name, sizeof(m->name), "https://10.0.0.%zu:2379", i + 1);
        text_copy(m->version, sizeof(m->version), "3.5.21");
        m->answers = true;
        m->leader = 7;
        m->bytes = 120 * 1024 * 1024;
        m->in_use = 90 * 1024 * 1024;
    }
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    if (!w)
        return -1;
    w->snapshot = fixture_cluster(SERVERS, "s");
    w->snapshot->candidates_count = 3;
    w->config.lease_ttl_s = 10;
    w->config.servers_count = SERVERS;
    for (size_t i = 0; i < SERVERS; i++)
        text_copy(w->config.servers[i].name, CONFIG_NAME_MAX, w->snapshot->spec.servers[i].name);
    w->config.datastore_quota = INT64_C(2) << 30;
    for (size_t i = 0; i < SERVERS; i++) {
        text_copy(w->snapshot->servers[i].report.config_id, CLUSTER_HASH_MAX, OLD_HASH);
        w->agents[i].has = true;
        w->agents[i].checks.time_ms = NOW_MS - 60000;
        add_check(&w->agents[i], "encryption-config", CHECK_OK, "/etc/enc.json: mode 0600, owner 0", "");
        add_check(&w->agents[i], "disk-state", CHECK_OK, "/var/lib/secrets-encrypt: 900 MiB are free", "");
    }
    make_etcd(&w->etcds[0], "datastore");
    w->etcds_count = 1;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    preflight_free(&w->result);
    free(w->snapshot);
    free(w);
    return 0;
}

static void judge(struct world *w)
{
    const struct preflight_facts f = {&w->config, w->snapshot,    w->agents,
                                      w->etcds,   w->etcds_count, &w->hooks};
    preflight_free(&w->result);
    assert_int_equal(preflight_judge(&f, &w->result, NULL), 0);
}

static void compare(struct world *w, const char *name)
{
    char path[128];
    _cleanup_(buf_freep) struct buf text = BUF_INIT(65536), json = BUF_INIT(65536);
    judge(w);
    assert_int_equal(render_preflight_text(&w->result, &text, NULL), 0);
    snprintf(path, sizeof(path), "preflight/%s.txt", name);
    fixture_compare(path, &text);
    assert_int_equal(render_preflight_json(&w->result, &json, NULL), 0);
    snprintf(path, sizeof(path), "preflight/%s.json", name);
    fixture_compare(path, &json);
}

/* The one check of that name that is about `server` has this result, and its text holds the words. */
static void expect(struct world *w, const char *server, const char *name, enum check_result result,
                   const char *words)
{
    judge(w);
    for (size_t i = 0; i < w->result.count; i++) {
        const struct preflight_item *item = &w->result.items[i];
        if (strcmp(item->server, server) != 0 || strcmp(item->check.name, name) != 0)
            continue;
        if (item->check.result != result || !strstr(item->check.text, words))
            fail_msg("%s: %d, %s", name, item->check.result, item->check.text);
        assert_int_equal(*item->check.remedy == 0, result == CHECK_OK);
        return;
    }
    fail_msg("no check %s of '%s'", name, server);
}

static void all_is_well(void **state)
{
    struct world *w = *state;
    compare(w, "well");
    assert_int_equal(w->result.failed + w->result.warned, 0);
}

static void much_is_wrong(void **state)
{
    struct world *w = *state;
    w->agents[1].checks.checks[0].result = CHECK_FAIL;
    text_copy(w->agents[1].checks.checks[0].text, CLUSTER_TEXT_MAX,
              "/etc/enc.json: mode 0644: others can read the keys \033[31min it");
    text_copy(w->agents[1].checks.checks[0].remedy, CLUSTER_REMEDY_MAX, "chmod 600 /etc/enc.json");
    w->snapshot->servers[2].reports = false;
    text_copy(w->snapshot->servers[2].report_why, CLUSTER_TEXT_MAX, "silent: its agent publishes nothing");
    w->snapshot->leader[0] = 0;
    w->hooks.count = 1;
    w->hooks.hooks[0] =
        (struct preflight_hook){"validating", "policy", "deny.example.org", "secrets", "service a/b"};
    w->etcds[0].members[1].answers = false;
    text_copy(w->etcds[0].members[1].why, CLUSTER_TEXT_MAX, "etcd https://10.0.0.2:2379: connection refused");
    text_copy(w->etcds[0].alarms, CLUSTER_TEXT_MAX, "nospace (member 1f)");
    compare(w, "wrong");
}

static void an_operation_is_halted(void **state)
{
    struct world *w = *state;
    fixture_operation(w->snapshot, OP_ROTATE_KEYS, PHASE_READABLE, STAGE_PREPARE);
    w->snapshot->rotation.op.state = OP_STATE_HALTED;
    text_copy(w->snapshot->rotation.op.why, CLUSTER_TEXT_MAX, "s3 cannot read");
    expect(w, "", "operation", CHECK_FAIL, "rotate-keys is halted: s3 cannot read");
    w->snapshot->rotation.op.state = OP_STATE_RUNNING;
    expect(w, "", "operation", CHECK_WARN, "rotate-keys is running");
}

/* What nothing else names: the planner's own reason. */
static void the_planner_would_refuse(void **state)
{
    struct world *w = *state;
    w->snapshot->servers[1].report.ready = false;
    expect(w, "", "operation", CHECK_FAIL, "a rotation could not start now: ");
}

static void servers_differ(void **state)
{
    struct world *w = *state;
    text_copy(w->snapshot->servers[1].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    expect(w, "", "hashes", CHECK_FAIL, "hash does not match between s1 and s2");
    text_copy(w->snapshot->servers[2].report.version, 32, "0.2.0");
    expect(w, "", "agent-versions", CHECK_WARN, "s3 has 0.2.0");
    text_copy(w->snapshot->unknown_api, CLUSTER_TEXT_MAX, "10.0.0.9 is alive");
    expect(w, "", "api-servers", CHECK_FAIL, "10.0.0.9 is alive");
}

static void lists_differ(void **state)
{
    struct world *w = *state;
    w->config.servers_count = 2;
    expect(w, "", "servers", CHECK_FAIL, "s3 stands in the coordinator's list, but not in this");
    w->config.servers_count = 3;
    text_copy(w->config.servers[2].name, CONFIG_NAME_MAX, "s4");
    expect(w, "", "servers", CHECK_FAIL, "s4 stands in this configuration, but not in the coordinator's");
}

static void clocks_differ(void **state)
{
    struct world *w = *state;
    w->snapshot->servers[2].report.time_ms = NOW_MS - 1000 - 6000; /* a report's own age may be as much */
    expect(w, "", "clocks", CHECK_OK, "agree");
    w->snapshot->servers[2].report.time_ms = NOW_MS - 1000 - 9000;
    expect(w, "", "clocks", CHECK_WARN, "the clock of s3 is at least 4 s behind");
    w->snapshot->servers[2].report.time_ms = NOW_MS + 90000;
    expect(w, "", "clocks", CHECK_FAIL, "behind that of s3");
}

static void agents_without_checks(void **state)
{
    struct world *w = *state;
    w->agents[0].has = false;
    text_copy(w->agents[0].why, CLUSTER_TEXT_MAX, "its agent has not published its checks");
    expect(w, "s1", "agent", CHECK_FAIL, "has not published");
    w->agents[1].checks.time_ms = NOW_MS - 16 * 60 * 1000;
    expect(w, "s2", "agent", CHECK_WARN, "16 minutes old");
}

static void one_coordinator(void **state)
{
    struct world *w = *state;
    w->snapshot->candidates_count = 1;
    expect(w, "", "coordinator", CHECK_WARN, "no other coordinator");
}

static void room_in_etcd(void **state)
{
    struct world *w = *state;
    w->etcds[0].members[2].in_use = w->etcds[0].members[2].bytes = INT64_C(600) << 20;
    expect(w, "", "datastore-room", CHECK_WARN, "a rewrite of everything may wait");
    w->etcds[0].members[2].in_use = INT64_C(1100) << 20;
    expect(w, "", "datastore-room", CHECK_FAIL, "1100 MiB are in use of a quota of 2048");
    w->etcds[0].members[2].in_use = INT64_C(90) << 20;
    w->etcds[0].members[2].bytes = INT64_C(1900) << 20;
    expect(w, "", "datastore-room", CHECK_WARN, "the file has 1900 MiB");
    w->config.datastore_quota = 0;
    expect(w, "", "datastore-room", CHECK_WARN, "not known");
}

static void etcd_members(void **state)
{
    struct world *w = *state;
    w->etcds[0].members[1].learner = true;
    expect(w, "", "datastore-members", CHECK_WARN, "a learner");
    w->etcds[0].members[1].learner = false;
    w->etcds[0].members[2].behind = 5000;
    expect(w, "", "datastore-members", CHECK_WARN, "lags behind");
    w->etcds[0].members[2].leader = 9;
    expect(w, "", "datastore-members", CHECK_FAIL,
           "https://10.0.0.2:2379 and https://10.0.0.3:2379 follow different leaders");
    w->etcds[0].members[2].leader = 0;
    expect(w, "", "datastore-members", CHECK_FAIL,
           "2 of 3 members are well; https://10.0.0.3:2379 knows no leader");
    w->etcds[1] = w->etcds[0]; /* a state store of its own, which does not answer */
    w->etcds[0] = (struct preflight_etcd){.name = "state-store", .why = "connection refused"};
    w->etcds_count = 2;
    expect(w, "", "state-store-members", CHECK_FAIL, "connection refused");
    expect(w, "", "datastore-room", CHECK_OK, "90 MiB");
}

/* --- webhooks --- */

#define CONFIG(hooks) "{\"kind\":\"L\",\"items\":[{\"metadata\":{\"name\":\"c\"},\"webhooks\":[" hooks "]}]}"
#define RULES(op, group, resource)                                                                           \
    "\"rules\":[{\"operations\":[\"" op "\"],\"apiGroups\":[\"" group "\"],\"apiVersions\":[\"v1\"],"        \
    "\"resources\":[\"" resource "\"]}]"

static size_t count_hooks(const char *json)
{
    static const char *const resources[] = {"secrets", "widgets.example.org"};
    static struct preflight_hooks h;
    struct error err = ERROR_INIT;
    memset(&h, 0, sizeof(h));
    if (preflight_read_hooks(json, strlen(json), "validating", resources, 2, &h, &err) < 0)
        fail_msg("%s", err.text);
    return h.count + h.more;
}

static void hooks_that_matter(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        size_t count;
    } cases[] = {
        {"{\"items\":[]}", 0},
        {CONFIG("{\"name\":\"a\",\"failurePolicy\":\"Fail\"," RULES("UPDATE", "", "secrets") "}"), 1},
        {CONFIG("{\"name\":\"a\"," RULES("*", "*", "*") "}"), 1}, /* Fail is the default */
        {CONFIG("{\"name\":\"a\"," RULES("UPDATE", "", "*/*") "}"), 1},
        {CONFIG("{\"name\":\"a\",\"failurePolicy\":\"Ignore\"," RULES("UPDATE", "", "secrets") "}"), 0},
        {CONFIG("{\"name\":\"a\"," RULES("CREATE", "", "secrets") "}"), 0},
        {CONFIG("{\"name\":\"a\"," RULES("UPDATE", "", "configmaps") "}"), 0},
        {CONFIG("{\"name\":\"a\"," RULES("UPDATE", "apps", "secrets") "}"), 0},
        {CONFIG("{\"name\":\"a\"," RULES("UPDATE", "", "secrets/status") "}"), 0},
        {CONFIG("{\"name\":\"a\"," RULES("UPDATE", "example.org", "widgets") "}"), 1},
        {CONFIG(
             "{\"name\":\"a\"," RULES("UPDATE", "", "secrets") "},{\"name\":\"b\"," RULES("*", "", "*") "}"),
         2},
        {"{\"items\":[{},{\"webhooks\":null},{\"webhooks\":[{\"rules\":3}]}]}", 0},
    };
    for (size_t i = 0; i < array_len(cases); i++)
        if (count_hooks(cases[i].json) != cases[i].count)
            fail_msg("case %zu: %zu", i, count_hooks(cases[i].json));
}

static void a_flood_of_hooks(void **state)
{
    struct world *w = *state;
    static const char *const resources[] = {"secrets"};
    _cleanup_(buf_freep) struct buf b = BUF_INIT(65536);
    assert_int_equal(buf_adds(&b, "{\"items\":[{\"metadata\":{\"name\":\"c\"},\"webhooks\":[", NULL), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(buf_addf(&b, NULL, "%s{\"name\":\"h%d\"," RULES("*", "*", "*") "}", i ? "," : "", i),
                         0);
    assert_int_equal(buf_adds(&b, "]}]}", NULL), 0);
    assert_int_equal(preflight_read_hooks(buf_str(&b), b.len, "mutating", resources, 1, &w->hooks, NULL), 0);
    judge(w);
    assert_int_equal(w->result.warned, PREFLIGHT_HOOKS_MAX + 1);
    text_copy(w->hooks.why, sizeof(w->hooks.why), "not known: HTTP 403");
    expect(w, "", "webhooks", CHECK_WARN, "HTTP 403");
    struct error err = ERROR_INIT;
    assert_int_equal(preflight_read_hooks("{}", 2, "mutating", resources, 1, &w->hooks, &err), ERR_INVALID);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_is_well),
        TEST(much_is_wrong),
        TEST(an_operation_is_halted),
        TEST(the_planner_would_refuse),
        TEST(servers_differ),
        TEST(lists_differ),
        TEST(clocks_differ),
        TEST(agents_without_checks),
        TEST(one_coordinator),
        TEST(room_in_etcd),
        TEST(etcd_members),
        TEST(hooks_that_matter),
        TEST(a_flood_of_hooks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
