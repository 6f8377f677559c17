/* Maintenance windows, the gate on alerts and the schedule: what is read, and what is refused with which
 * line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <config/config.h>

#define GOOD                                                                                                 \
    "cluster: demo\nservers: [{name: s1, api: 'http://10.0.0.1:6443'}]\n"                                    \
    "state_store: {endpoints: ['http://127.0.0.1:2379']}\n"
#define WINDOW "{days: daily, from: \"02:00\", to: \"05:00\"}"

static int parse(const char *more, enum config_role role, struct config **ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(8192);
    assert_int_equal(buf_addf(&text, NULL, "%s%s", GOOD, more), 0);
    return config_parse(buf_str(&text), text.len, "/c.yaml", role, ret, err);
}

static void test_all_of_it(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *c = NULL;
    struct error err = ERROR_INIT;
    static const char text[] =
        "maintenance_window:\n"
        "  - {days: [sat, sun], from: 02:00, to: '05:00', time_zone: Europe/Berlin}\n"
        "  - " WINDOW "\n"
        "alert_gate: {url: 'https://prom:9090/prefix', query: up, ca_file: /ca, cert_file: /c, key_file: /k, "
        "token_file: /t, timeout: 7}\n"
        "rotate_every: 90d\nrotate_writes: 1000\n";
    if (parse(text, CONFIG_FOR_CLI, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(c->windows_count, 2);
    assert_string_equal(c->windows[0].days, "sat,sun");
    assert_string_equal(c->windows[0].from, "02:00");
    assert_string_equal(c->windows[0].to, "05:00");
    assert_string_equal(c->windows[0].time_zone, "Europe/Berlin");
    assert_string_equal(c->windows[1].days, "daily");
    assert_string_equal(c->windows[1].time_zone, "UTC");
    assert_string_equal(c->alert_url, "https://prom:9090/prefix");
    assert_string_equal(c->alert_token_file, "/t");
    assert_int_equal(c->alert_timeout_s, 7);
    assert_string_equal(c->rotate_every, "90d");
    assert_int_equal(c->rotate_writes, 1000);
}

static void test_defaults(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *c = NULL;
    assert_int_equal(parse("", CONFIG_FOR_CLI, &c, NULL), 0);
    assert_int_equal(c->windows_count, 0);
    assert_string_equal(c->alert_url, "");
    assert_string_equal(c->alert_query, "ALERTS{alertstate=\"firing\",severity=\"critical\"}");
    assert_string_equal(c->rotate_every, "");
    assert_int_equal(c->rotate_writes, 200000);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"maintenance_window: " WINDOW "\n", "maintenance_window: not a list"},
        {"maintenance_window: []\n", "maintenance_window: has 0 elements"},
        {"maintenance_window: [daily]\n", "maintenance_window[0]: not an object"},
        {"maintenance_window: [{days: daily, from: '02:00'}]\n", "maintenance_window[0].to: missing"},
        {"maintenance_window: [{days: daily, from: '02:00', too: '03:00'}]\n", "did you mean to?"},
        {"maintenance_window: [{days: [mon, {}], from: '02:00', to: '03:00'}]\n", "[0].days: not a text"},
        {"maintenance_window: [{days: [], from: '02:00', to: '03:00'}]\n", "[0].days: empty"},
        {"maintenance_window: [{days: [moon], from: '02:00', to: '03:00'}]\n", "[0].days: 'moon' is not"},
        {"maintenance_window: [" WINDOW ", {days: mon, from: '2:00', to: '03:00'}]\n", "[1].from: '2:00'"},
        {"maintenance_window: [{days: mon, from: 2, to: '03:00'}]\n", "[0].from: not a text"},
        {"maintenance_window: [{days: mon, from: '02:00', to: '02:00'}]\n", "[0].to: the same"},
        {"maintenance_window: [{days: mon, from: '02:00', to: '03:00', time_zone: '../../etc/passwd'}]\n",
         "[0].time_zone: '../../etc/passwd' is not"},
        {"maintenance_window: [{days: mon, from: '02:00', to: '03:00', time_zone: Europe/Berlim}]\n",
         "[0].time_zone: 'Europe/Berlim' is not among the time zones in /usr/share/zoneinfo; did you mean "
         "Europe/Berlin?"},
        {"alert_gate: {url: 'ftp://x'}\n", "alert_gate.url: not an http(s) URL"},
        {"alert_gate: {url: 'https://u:p@x'}\n", "alert_gate.url: holds a user name"},
        {"alert_gate: {url: 'https://x/api?query=1'}\n", "alert_gate.url: "},
        {"alert_gate: {url: 'http://x:9090', token_file: /t}\n", "alert_gate.token_file: needs a url"},
        {"alert_gate: {url: 'https://x', cert_file: /c}\n", "alert_gate.cert_file: given without key_file"},
        {"alert_gate: {url: 'https://x', query: ''}\n", "alert_gate.query: empty"},
        {"alert_gate: {url: 'https://x', timeout: 0}\n", "alert_gate.timeout: 0 is not within"},
        {"alert_gate: {ulr: 'https://x'}\n", "alert_gate.ulr: unknown field; did you mean url?"},
        {"rotate_every: 90d\n", "rotate_every: needs a maintenance_window"},
        {"rotate_every: 90\n", "rotate_every: not a text"},
        {"rotate_every: 90m\nmaintenance_window: [" WINDOW "]\n", "rotate_every: '90m' is not a time"},
        {"rotate_writes: -1\n", "rotate_writes: -1 is not within"},
    };
    for (size_t i = 0; i < array_len(bad); i++) {
        struct config *c = NULL;
        struct error err = ERROR_INIT;
        if (parse(bad[i].text, CONFIG_FOR_CLI, &c, &err) == 0)
            fail_msg("taken: %s", bad[i].text);
        if (!strstr(err.text, bad[i].part) || strncmp(err.text, "/c.yaml: ", 9) != 0)
            fail_msg("'%s' is not in: %s", bad[i].part, err.text);
    }
}

/* An agent has no use for a zone, and goes on where there are none. */
static void test_agents_read_no_zone(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *c = NULL;
    struct error err = ERROR_INIT;
    static const char more[] =
        "maintenance_window: [{days: mon, from: '02:00', to: '03:00', time_zone: Europe/Nowhere}]\n"
        "server: s1\nencryption_config: /e\nexec: {restart: [/r]}\n";
    if (parse(more, CONFIG_FOR_AGENT, &c, &err) < 0)
        fail_msg("%s", err.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_it),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_agents_read_no_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
