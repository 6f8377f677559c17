#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hosts_are_taken_from_urls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
