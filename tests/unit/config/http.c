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
#define TLS   "api: {" FILES ", roles: [{role: viewer, group: team}], listen: ['10.0.0.1:6448']}\n"

static void on_loopback_unless_told(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *c = NULL;
    assert_int_equal(config_parse(GOOD, strlen(GOOD), "/c.yaml", CONFIG_FOR_CLI, &c, NULL), 0);
    assert_string_equal(c->http.listen, "127.0.0.1:9449");
    assert_int_equal(c->http.tls_listen_count, 0);
}

static void what_is_accepted(void **state)
{
    static const char *const texts[] = {
        GOOD "http: {listen: ''}\n",
        GOOD "http: {listen: 'localhost:80'}\n",
        GOOD "http: {listen: '127.4.5.6:9449'}\n",
        GOOD "http: {listen: '[::1]:9449'}\n",
        GOOD TLS "http: {tls_listen: ['10.0.0.1:9450', 's1.example:9450']}\n",
    };
    (void)state;
    for (size_t i = 0; i < array_len(texts); i++) {
        _cleanup_(config_freep) struct config *c = NULL;
        struct error err = ERROR_INIT;
        if (config_parse(texts[i], strlen(texts[i]), "/c.yaml", CONFIG_FOR_CLI, &c, &err) < 0)
            fail_msg("%s: %s", texts[i], err.text);
    }
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"http: {listen: '10.0.0.1:9449'}\n", "http.listen: '10.0.0.1:9449' is not on loopback"},
        {"http: {listen: '0.0.0.0:9449'}\n", "give that address as http.tls_listen instead"},
        {"http: {listen: '[::]:9449'}\n", "is not on loopback"},
        {"http: {listen: 's1.example:9449'}\n", "is not on loopback"},
        {"http: {listen: '127.0.0.1.example:9449'}\n", "is not on loopback"},
        {"http: {listen: '127.0.0.1'}\n", "http.listen: '127.0.0.1' is not host:port"},
        {"http: {listen: '127.0.0.1:0'}\n", "http.listen: not a port"},
        {"http: {tls_listen: ['10.0.0.1:9450']}\n",
         "api.cert_file: missing; http.tls_listen needs a certificate"},
        {"api: {" FILES "}\nhttp: {tls_listen: ['10.0.0.1:9450']}\n", "nobody could use http.tls_listen"},
        {TLS "http: {tls_listen: ['10.0.0.1:6448']}\n", "http.tls_listen[0]: the same as api.listen[0]"},
        {TLS "http: {tls_listen: ['a:1', 'a:1']}\n", "http.tls_listen[1]: the same as tls_listen[0]"},
        {"http: {lisen: ''}\n", "http.lisen: unknown field; did you mean listen?"},
    };
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        char text[1024];
        struct config *c = NULL;
        struct error err = ERROR_INIT;
        snprintf(text, sizeof(text), GOOD "%s", rows[i].text);
        if (config_parse(text, strlen(text), "/c.yaml", CONFIG_FOR_CLI, &c, &err) == 0)
            fail_msg("accepted: %s", rows[i].text);
        if (!strstr(err.text, rows[i].part) || strncmp(err.text, "/c.yaml: ", 9) != 0)
            fail_msg("%s: %s", rows[i].text, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_loopback_unless_told),
        cmocka_unit_test(what_is_accepted),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
