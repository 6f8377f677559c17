#include "touch_tools.h"

static struct fake_request last;

static void keep(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    (void)arg;
    last = *q;
    a->body = "{\"kind\":\"Table\"}";
}

static void test_what_is_sent(void **state)
{
    static const struct kube_resource roles = {"clusterroles.rbac.authorization.k8s.io",
                                               "/apis/rbac.authorization.k8s.io/v1", "clusterroles", false};
    struct fake_api *f = fake_start(keep, NULL);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 4);
    struct kube_object role = {"", "system:node"};
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(touch_all(t, 1, &tally, &e), e);
    assert_string_equal(last.method, "PATCH");
    assert_has(last.path, "/api/v1/namespaces/n/secrets/s0?");
    assert_has(last.path, "fieldManager=secrets-encrypt");
    assert_has(last.path, "includeObject=None");
    assert_string_equal(last.body, "{}");
    assert_has(last.headers, "Content-Type: application/merge-patch+json\r\n");
    assert_has(last.headers, "Accept: application/json;as=Table;g=meta.k8s.io;v=v1\r\n");
    assert_has(last.headers, "Authorization: Bearer t0ken\r\n");
    assert_ok(kube_touch(t, &roles, &role, 1, tally_add, &tally, &e), e);
    assert_has(last.path, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode?");
    assert_int_equal(tally.touched, 2);
    kube_toucher_free(t);
    fake_stop(f);
}

static void test_impossible_names_are_not_sent(void **state)
{
    struct fake_api *f = fake_start(keep, NULL);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 4);
    struct kube_object objects[] = {{"n", ".."}, {"", "a"}, {"n/m", "a"}};
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_touch(t, &secrets, objects, array_len(objects), tally_add, &tally, &e), e);
    assert_int_equal(tally.failed, 3);
    assert_int_equal(fake_requests(f), 0);
    kube_toucher_free(t);
    fake_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_impossible_names_are_not_sent),
    };

    return cmocka_run_group_tests_name("kube touch slot", tests, NULL, NULL);
}
