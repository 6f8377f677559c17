#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <config/config.h>

#define GOOD                                                                                                 \
    "cluster: demo\n"                                                                                        \
    "servers: [{name: s1, api: 'https://10.0.0.1:6443'}]\n"                                                  \
    "state_store: {endpoints: ['http://127.0.0.1:2379']}\n"
#define FILES "cert_file: /c, key_file: /k, client_ca_file: /a"
#define ROLES "roles: [{role: viewer, group: team}]"

static void read_well(void **state)
{
    (void)state;
    static const char text[] = GOOD "api:\n"
                                    "  socket: \"\"\n"
                                    "  listen: ['10.0.0.1:6448', '[fd00::1]:6448']\n"
                                    "  cert_file: /c\n"
                                    "  key_file: /k\n"
                                    "  client_ca_file: /a\n"
                                    "  socket_group: ops\n"
                                    "  roles:\n"
                                    "    - {role: operator, subject: 'O=team, CN=ci'}\n"
                                    "    - {role: admin, san: 'dns:boss.example.org'}\n"
                                    "    - {role: viewer, group: on-call}\n";
    _cleanup_(config_freep) struct config *c = NULL;
    struct error err = ERROR_INIT;
    if (config_parse(text, strlen(text), "/c.yaml", CONFIG_FOR_CLI, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c->api.socket, "");
    assert_string_equal(c->api.socket_group, "ops");
    assert_int_equal(c->api.listen_count, 2);
    assert_string_equal(c->api.listen[1], "[fd00::1]:6448");
    assert_int_equal(c->api.roles_count, 3);
    assert_string_equal(c->api.roles[0].subject, "O=team, CN=ci");
    assert_string_equal(c->api.roles[0].san, "");
    assert_string_equal(c->api.roles[1].san, "dns:boss.example.org");
    assert_string_equal(c->api.roles[2].role, "viewer");
}

static void off_but_for_the_socket_unless_told(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *c = NULL;
    assert_int_equal(config_parse(GOOD, strlen(GOOD), "/c.yaml", CONFIG_FOR_CLI, &c, NULL), 0);
    assert_string_equal(c->api.socket, "/run/secrets-encrypt/api/api.sock");
    assert_string_equal(c->api.socket_group, "");
    assert_int_equal(c->api.listen_count, 0);
    assert_int_equal(c->api.roles_count, 0);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *api, *part;
    } rows[] = {
        {"{listen: ['10.0.0.1:6448'], " ROLES "}", "api.cert_file: missing"},
        {"{listen: ['10.0.0.1:6448'], cert_file: /c, key_file: /k, " ROLES "}",
         "api.client_ca_file: missing"},
        {"{listen: ['10.0.0.1:6448'], " FILES "}", "api.roles: missing"},
        {"{cert_file: /c}", "api.cert_file: given without key_file"},
        {"{listen: ['10.0.0.1'], " FILES ", " ROLES "}", "api.listen[0]: '10.0.0.1' is not host:port"},
        {"{listen: ['[fd00::1]'], " FILES ", " ROLES "}", "api.listen[0]: '[fd00::1]' is not host:port"},
        {"{listen: ['https://10.0.0.1:6448'], " FILES ", " ROLES "}", "is not host:port"},
        {"{listen: ['10.0.0.1:0'], " FILES ", " ROLES "}", "api.listen[0]: not a port"},
        {"{listen: ['a:1', 'a:1'], " FILES ", " ROLES "}", "api.listen[1]: the same as listen[0]"},
        {"{roles: [{role: king, group: team}]}", "api.roles[0].role: 'king' is not one of"},
        {"{roles: [{group: team}]}", "api.roles[0].role: missing"},
        {"{roles: [{role: viewer, subject: 'O = a, CN = b'}]}",
         "api.roles[0].subject: write it without spaces"},
        {"{roles: [{role: viewer}]}", "api.roles[0]: needs one of subject, san, group"},
        {"{roles: [{role: viewer, group: a, san: 'dns:b'}]}", "and not several"},
        {"{roles: [{role: viewer, san: boss.example.org}]}",
         "api.roles[0].san: 'boss.example.org' does not say"},
        {"{roles: [{role: viewer, sans: 'dns:b'}]}", "api.roles[0].sans: unknown field; did you mean san?"},
        {"{roles: {role: viewer}}", "api.roles: not a list"},
        {"{roles: [viewer]}", "api.roles[0]: not an object"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        char text[1024];
        struct config *c = NULL;
        struct error err = ERROR_INIT;
        snprintf(text, sizeof(text), GOOD "api: %s\n", rows[i].api);
        if (config_parse(text, strlen(text), "/c.yaml", CONFIG_FOR_CLI, &c, &err) == 0)
            fail_msg("accepted: %s", rows[i].api);
        if (!strstr(err.text, rows[i].part) || strncmp(err.text, "/c.yaml: ", 9) != 0)
            fail_msg("%s: %s", rows[i].api, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_well),
        cmocka_unit_test(off_but_for_the_socket_unless_told),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
