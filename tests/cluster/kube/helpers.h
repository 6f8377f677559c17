/* What the tests of lib/kube against a real API server share. */
#ifndef TESTS_CLUSTER_KUBE_HELPERS_H
#define TESTS_CLUSTER_KUBE_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <apiserver_fixture.h>
#include <kube/kube.h>

#define DEADLINE_MS 15000

/* An encryption config for Secrets: aescbc with key1 to keyN in this order of writing ("21": key2, then
 * key1), then identity. */
const char *config_with_keys(const char *order);

/* Opens server i as admin; fails the test when that fails. */
struct kube *open_server(struct apifix *f, size_t i);

/* A request that must end with `want`. */
void must_request(struct kube *k, const char *method, const char *path, const char *body, long want);

void make_namespace(struct kube *k, const char *namespace);
/* Secrets s0 … s<count-1>. */
void make_secrets(struct kube *k, const char *namespace, size_t count);

#define assert_ok(call, e)                                                                                   \
    do {                                                                                                     \
        if ((call) != 0)                                                                                     \
            fail_msg("%s: %s", #call, (e).text);                                                             \
    } while (0)

#endif
