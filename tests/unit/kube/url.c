#include "url.h"

#include "test.h"

static void test_base(void **state)
{
    static const char *const good[][2] = {
        {"https://127.0.0.1:6443", "https://127.0.0.1:6443"},
        {"https://[::1]:6443/", "https://[::1]:6443"},
        {"https://rancher.example.org/k8s/clusters/c-1//", "https://rancher.example.org/k8s/clusters/c-1"},
    };
    static const char *const bad[] = {
        "",
        "http://127.0.0.1:8080",
        "127.0.0.1:6443",
        "https://",
        "https:///",
        "https://u:p@h",
        "https://h?x=1",
        "https://h#f",
        "https://h h",
        "https://h\n",
        "https://h\xc3\xa4",
        "file:///etc/passwd",
    };
    char out[KUBE_URL_MAX], longer[KUBE_URL_MAX + 20] = "https://";
    struct error e = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        assert_ok(kube_url_base("s1", good[i][0], out, &e), e);
        assert_string_equal(out, good[i][1]);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        assert_int_equal(kube_url_base("s1", bad[i], out, &e), ERR_INVALID);
        assert_has(e.text, "s1");
        assert_null(strstr(e.text, "u:p"));
    }
    assert_int_equal(kube_url_base("s1", NULL, out, &e), ERR_INVALID);
    memset(longer + 8, 'a', sizeof(longer) - 9);
    assert_int_equal(kube_url_base("s1", longer, out, &e), ERR_TOO_LARGE);
}

static void test_segment(void **state)
{
    char longest[KUBE_NAME_MAX + 1];

    (void)state;
    assert_true(kube_is_segment("a"));
    assert_true(kube_is_segment("system:node"));
    assert_true(kube_is_segment("bl\xc3\xa4h"));
    assert_true(kube_is_segment("..."));
    assert_false(kube_is_segment(""));
    assert_false(kube_is_segment("."));
    assert_false(kube_is_segment(".."));
    assert_false(kube_is_segment("a/b"));
    assert_false(kube_is_segment("a%2fb"));
    assert_false(kube_is_segment("a\nb"));
    assert_false(kube_is_segment("a\xff"));
    memset(longest, 'a', sizeof(longest));
    longest[KUBE_NAME_MAX] = '\0';
    assert_false(kube_is_segment(longest));
    longest[KUBE_NAME_MAX - 1] = '\0';
    assert_true(kube_is_segment(longest));
}

static void test_object(void **state)
{
    static const struct kube_resource secrets = {"secrets", "/api/v1", "secrets", true};
    static const struct kube_resource roles = {"clusterroles.rbac.authorization.k8s.io",
                                               "/apis/rbac.authorization.k8s.io/v1", "clusterroles", false};
    struct kube_object in_space = {"kube-system", "a.b~c_d-e"}, odd = {"", "system:x y?&#+\xc3\xa4"};
    struct buf b = BUF_INIT(4096);
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_url_object(&b, &secrets, &in_space, &e), e);
    assert_string_equal(buf_str(&b), "/api/v1/namespaces/kube-system/secrets/a.b~c_d-e");
    buf_reset(&b);
    assert_ok(kube_url_object(&b, &roles, &odd, &e), e);
    assert_string_equal(buf_str(&b), "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
                                     "system%3Ax%20y%3F%26%23%2B%C3%A4");
    assert_int_equal(kube_url_object(&b, &secrets, &odd, &e), ERR_INVALID);
    assert_int_equal(kube_url_object(&b, &roles, &in_space, &e), ERR_INVALID);
    assert_int_equal(kube_url_object(&b, &roles, &(struct kube_object){"", ".."}, &e), ERR_INVALID);
    assert_int_equal(kube_url_object(&b, &secrets, &(struct kube_object){"../..", "a"}, &e), ERR_INVALID);
    buf_free(&b);
}

static void test_page(void **state)
{
    static const struct kube_resource secrets = {"secrets", "/api/v1", "secrets", true};
    struct buf b = BUF_INIT(4096);
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_url_page(&b, &secrets, 500, NULL, &e), e);
    assert_string_equal(buf_str(&b), "/api/v1/secrets?limit=500");
    buf_reset(&b);
    assert_ok(kube_url_page(&b, &secrets, 1, "ab+/=&x", &e), e);
    assert_string_equal(buf_str(&b), "/api/v1/secrets?limit=1&continue=ab%2B%2F%3D%26x");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_segment),
        cmocka_unit_test(test_object),
        cmocka_unit_test(test_page),
    };

    return cmocka_run_group_tests_name("kube url", tests, NULL, NULL);
}
