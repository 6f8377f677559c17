#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <http/host.h>

static void hosts(void **state)
{
    static const struct {
        const char *host, *own;
        bool ours;
    } cases[] = {
        {"localhost", "127.0.0.1:9449", true},
        {"localhost:1", "127.0.0.1:9449", true},
        {"127.0.0.2", "127.0.0.2:9449", true},
        {"127.0.0.2:9449", "127.0.0.2:9449", true},
        {"[::1]", "[::1]:9449", true},
        {"[::1]:9449", "127.0.0.1:9449", true},
        {"127.0.0.3", "127.0.0.2:9449", false},
        {"", "127.0.0.1:9449", false},
        {":9449", "127.0.0.1:9449", false},
        {"localhost:", "127.0.0.1:9449", false},
        {"localhost:x", "127.0.0.1:9449", false},
        {"localhost:123456", "127.0.0.1:9449", false},
        {"[::1]x", "[::1]:9449", false},
        {"[::1", "[::1]:9449", false},
        {"localhost@evil", "127.0.0.1:9449", false},
        {"evil.example", "127.0.0.1:9449", false},
        {"127.0.0.1.evil", "127.0.0.1:1", false},
        {"localhost.", "127.0.0.1:9449", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (http_host_is_ours(cases[i].host, cases[i].own) != cases[i].ours)
            fail_msg("'%s' for %s", cases[i].host, cases[i].own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hosts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
