#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <base/buf.h>

#include "proofs/apiservers.h"

static void hosts_are_taken_from_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *want; /* NULL: none */
    } cases[] = {
        {"https://10.0.0.11:6443", "10.0.0.11"},
        {"https://s1.example.org", "s1.example.org"},
        {"https://s1/path", "s1"},
        {"https://[fd00::1]:6443", "fd00::1"},
        {"https://[::1]", "::1"},
        {"10.0.0.1:6443", "10.0.0.1"},
        {"https://", NULL},
        {"https://[::1", NULL},
        {"https://[]:1", NULL},
        {"https://a-name-longer-than-the-buffer.example", NULL},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        char out[20] = "";
        bool ok = apiservers_host(cases[i].url, out, sizeof(out));
        if (ok != (cases[i].want != NULL) || (ok && strcmp(out, cases[i].want) != 0))
            fail_msg("%s: %d '%s'", cases[i].url, (int)ok, out);
    }
}

static const char endpoints[] = "{\"kind\":\"Endpoints\",\"subsets\":[{\"addresses\":[{\"ip\":\"10.0.0.1\"},{"
                                "\"ip\":\"127.0.0.1\"},{\"ip\":"
                                "\"fd00::2\"}],\"ports\":[{\"port\":6443}]},{\"addresses\":[%s]}]}";

static void strangers_are_found_among_the_endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *more, *want; /* "" : none */
    } cases[] = {
        {"", ""},
        {"{\"ip\":\"10.0.0.2\"}", ""}, /* advertised */
        {"{\"ip\":\"10.0.0.9\"}", "10.0.0.9 is alive in the Endpoints kubernetes of namespace default"},
        {"{\"ip\":\"10.0.0.9\"},{\"ip\":\"10.0.0.8\"}", "10.0.0.9, 10.0.0.8 are alive in the Endpoints"},
        {"{\"hostname\":\"x\"},7,null", ""},
    };
    static struct config config = {.servers_count = 2};
    config.servers[0].api = "https://10.0.0.1:6443";
    config.servers[1].api = "https://[fd00::2]:6443";
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(buf_freep) struct buf text = BUF_INIT(4096);
        struct error e = ERROR_INIT;
        char why[CLUSTER_TEXT_MAX] = "unset";
        config.servers[0].address = i == 1 ? "10.0.0.2" : "";
        assert_int_equal(buf_addf(&text, &e, endpoints, cases[i].more), 0);
        assert_int_equal(apiservers_unknown_in(&text, &config, why, &e), 0);
        if (i == 1) /* the first server's own address is another one now */
            assert_non_null(strstr(why, "10.0.0.1 is alive"));
        else if (*cases[i].want ? strstr(why, cases[i].want) == NULL : *why)
            fail_msg("%s: '%s'", cases[i].more, why);
    }
    /* A server that is only a member of etcd has no API server that could be there. */
    _cleanup_(buf_freep) struct buf two = BUF_INIT(4096);
    struct error none = ERROR_INIT;
    char said[CLUSTER_TEXT_MAX] = "unset";
    config.servers[0].role = "etcd";
    assert_int_equal(buf_addf(&two, &none, endpoints, ""), 0);
    assert_int_equal(apiservers_unknown_in(&two, &config, said, &none), 0);
    assert_non_null(strstr(said, "10.0.0.1 is alive"));
    config.servers[0].role = NULL;
    _cleanup_(buf_freep) struct buf broken = BUF_INIT(4096);
    struct error e = ERROR_INIT;
    char why[CLUSTER_TEXT_MAX];
    assert_int_equal(buf_adds(&broken, "{", &e), 0);
    assert_true(apiservers_unknown_in(&broken, &config, why, &e) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hosts_are_taken_from_urls),
                                       cmocka_unit_test(strangers_are_found_among_the_endpoints)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
