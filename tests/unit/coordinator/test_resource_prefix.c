#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>

#include "resource_prefix.h"

static void where_objects_stand(void **state)
{
    (void)state;
    static const struct {
        const char *resource;
        const char *prefix;
    } cases[] = {
        {"secrets", "/registry/secrets/"},
        {"configmaps", "/registry/configmaps/"},
        {"services", "/registry/services/specs/"},
        {"endpoints", "/registry/services/endpoints/"},
        {"nodes", "/registry/minions/"},
        {"deployments.apps", "/registry/deployments/"},
        {"ingresses.networking.k8s.io", "/registry/ingress/"},
        {"roles.rbac.authorization.k8s.io", "/registry/roles/"},
        {"widgets.example.org", "/registry/example.org/widgets/"},
        {"secrets.example.org", "/registry/example.org/secrets/"}, /* not to be taken for core Secrets */
        {"volumesnapshots.snapshot.storage.k8s.io", "/registry/snapshot.storage.k8s.io/volumesnapshots/"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        char out[256];
        resource_prefix("/registry", cases[i].resource, out, sizeof(out));
        assert_string_equal(out, cases[i].prefix);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(where_objects_stand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
