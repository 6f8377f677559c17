#include "reply.h"
#include "url.h"

#include "fake_api.h"
#include "test.h"

#define LIST(meta, items)                                                                                    \
    "{\"kind\":\"PartialObjectMetadataList\",\"metadata\":{" meta "},\"items\":" items "}"

static int page(const char *text, bool namespaced, struct kube_page *p, struct error *e)
{
    return kube_parse_page("s1: listing secrets", text, strlen(text), namespaced, p, e);
}

static void test_page(void **state)
{
    struct kube_page p = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(page(LIST("\"continue\":\"abc\",\"remainingItemCount\":7",
                        "[{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}},"
                        "{\"metadata\":{\"name\":\"b\",\"namespace\":\"m\",\"labels\":{\"x\":\"y\"}}}]"),
                   true, &p, &e),
              e);
    assert_int_equal(p.count, 2);
    assert_string_equal(p.objects[0].namespace, "n");
    assert_string_equal(p.objects[1].name, "b");
    assert_string_equal(p.next, "abc");
    assert_int_equal(p.remaining, 7);
    kube_page_free(&p);
    assert_int_equal(p.count, 0);
    assert_null(p.next);
    kube_page_free(NULL);

    assert_ok(page(LIST("", "[{\"metadata\":{\"name\":\"system:x\"}}]"), false, &p, &e), e);
    assert_string_equal(p.objects[0].namespace, "");
    assert_null(p.next);
    kube_page_free(&p);
}

static void test_empty_pages(void **state)
{
    struct kube_page p = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(page(LIST("\"continue\":\"\"", "[]"), true, &p, &e), e);
    assert_int_equal(p.count, 0);
    assert_null(p.next);
    assert_ok(page(LIST("\"remainingItemCount\":-3", "null"), true, &p, &e), e);
    assert_int_equal(p.remaining, 0);
    assert_ok(page("{\"kind\":\"PartialObjectMetadataList\",\"metadata\":{}}", true, &p, &e), e);
}

static void test_malformed_pages(void **state)
{
    static const char *const bad[] = {
        "",
        "not json",
        "[]",
        "{}",
        "{\"kind\":\"SecretList\",\"items\":[]}",
        LIST("", "{}"),
        LIST("", "3"),
        LIST("", "[3]"),
        LIST("", "[{}]"),
        LIST("", "[{\"metadata\":{\"name\":\"a\"}}]"),
        LIST("", "[{\"metadata\":{\"namespace\":\"n\"}}]"),
        LIST("", "[{\"metadata\":{\"name\":7,\"namespace\":\"n\"}}]"),
        LIST("", "[{\"metadata\":{\"name\":\"..\",\"namespace\":\"n\"}}]"),
        LIST("", "[{\"metadata\":{\"name\":\"a/../b\",\"namespace\":\"n\"}}]"),
        LIST("", "[{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}}"),
    };
    char name[KUBE_NAME_MAX + 1], text[1024];
    struct kube_page p = {0};

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        struct error e = ERROR_INIT;

        if (page(bad[i], true, &p, &e) != ERR_INVALID)
            fail_msg("accepted: %s", bad[i]);
        assert_has(e.text, "s1: listing secrets");
        assert_null(p.objects);
    }
    assert_int_equal(page(LIST("", "[{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}}]"), false, &p, NULL),
                     ERR_INVALID);
    memset(name, 'a', sizeof(name));
    name[KUBE_NAME_MAX] = '\0';
    snprintf(text, sizeof(text), LIST("", "[{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\"}}]"), name);
    assert_int_equal(page(text, true, &p, NULL), ERR_INVALID);
    name[KUBE_NAME_MAX - 1] = '\0';
    snprintf(text, sizeof(text), LIST("", "[{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\"}}]"), name);
    assert_int_equal(page(text, true, &p, NULL), 0);
    assert_string_equal(p.objects[0].name, name);
    kube_page_free(&p);
}

static void test_page_bounds(void **state)
{
    struct buf b = BUF_INIT(KUBE_REPLY_MAX);
    struct kube_page p = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_int_equal(buf_adds(&b, "{\"kind\":\"PartialObjectMetadataList\",\"items\":[0", NULL), 0);
    for (int i = 0; i < KUBE_PAGE_MAX; i++)
        assert_int_equal(buf_adds(&b, ",0", NULL), 0);
    assert_int_equal(buf_adds(&b, "]}", NULL), 0);
    assert_int_equal(page(buf_str(&b), true, &p, &e), ERR_INVALID);
    assert_has(e.text, "limit");

    buf_reset(&b);
    assert_int_equal(
        buf_adds(&b, "{\"kind\":\"PartialObjectMetadataList\",\"metadata\":{\"continue\":\"", NULL), 0);
    for (int i = 0; i <= KUBE_CONTINUE_MAX; i++)
        assert_int_equal(buf_adds(&b, "c", NULL), 0);
    assert_int_equal(buf_adds(&b, "\"}}", NULL), 0);
    assert_int_equal(page(buf_str(&b), true, &p, &e), ERR_INVALID);
    assert_has(e.text, "continue");
    buf_free(&b);
}

static void line(long http, const char *body, const char *want)
{
    char out[KUBE_LINE_MAX];

    kube_status_line(http, body, strlen(body), out, sizeof(out));
    assert_string_equal(out, want);
}

static void test_status_lines(void **state)
{
    (void)state;
    line(403, FAKE_STATUS(403, "Forbidden", ",\"message\":\"secrets \\\"a\\\" is forbidden:\\n no\""),
         "403 Forbidden: secrets \"a\" is forbidden:  no");
    line(503, "upstream is away", "503 Service Unavailable");
    line(500, "", "500 Internal Server Error");
    line(418, "{}", "418 unexpected status");
    /* the message repeats the refused value: field and reason alone */
    line(422,
         FAKE_STATUS(422, "Invalid",
                     ",\"message\":\"Widget is invalid: spec.password: Invalid value: \\\"hunter2\\\"\","
                     "\"details\":{\"causes\":[{\"reason\":\"FieldValueInvalid\",\"field\":\"spec.password\","
                     "\"message\":\"Invalid value: \\\"hunter2\\\"\"},{\"reason\":\"FieldValueRequired\","
                     "\"field\":\"data[tls.key]\"}]}"),
         "422 Invalid: spec.password FieldValueInvalid, data[tls.key] FieldValueRequired");
    line(422, FAKE_STATUS(422, "Invalid", ",\"message\":\"hunter2\""), "422 Invalid");
}

static void test_status_line_is_bounded(void **state)
{
    char body[4096] = "{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"", out[64];
    size_t len = strlen(body);

    (void)state;
    while (len + 8 < sizeof(body)) { /* two-byte characters, so that a cut could fall inside of one */
        memcpy(body + len, "\xc3\xa4", 3);
        len += 2;
    }
    memcpy(body + len, "\"}", 3);
    for (size_t size = 20; size < sizeof(out); size++) {
        kube_status_line(403, body, strlen(body), out, size);
        assert_true(strlen(out) < size);
        assert_true(((unsigned char)out[strlen(out) - 1] & 0xc0) != 0xc0);
    }
}

static void test_expired_status(void **state)
{
    static const char canned[] =
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{\"continue\":\"next-inconsistent\"},"
        "\"status\":\"Failure\",\"message\":\"The provided continue parameter is too "
        "old\",\"reason\":\"Expired\","
        "\"code\":410}";
    struct kube_status s;

    (void)state;
    assert_true(kube_parse_status(canned, strlen(canned), &s));
    assert_string_equal(s.reason, "Expired");
    assert_string_equal(s.next, "next-inconsistent");
    assert_false(s.named);
    kube_status_clear(&s);
    assert_false(kube_parse_status("404 page not found\n", 19, &s));
    assert_false(kube_parse_status("{\"kind\":\"Secret\"}", 17, &s));
    assert_false(kube_parse_status("", 0, &s));
    assert_string_equal(s.reason, "");
}

static void test_failed_checks(void **state)
{
    char out[KUBE_LINE_MAX];

    (void)state;
    kube_failed_checks("[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n"
                       "[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed\n",
                       out, sizeof(out));
    assert_string_equal(out, "etcd, poststarthook/rbac/bootstrap-roles");
    kube_failed_checks("ok", out, sizeof(out));
    assert_string_equal(out, "");
    kube_failed_checks("[-]", out, sizeof(out));
    assert_string_equal(out, "");
}

static void test_group(void **state)
{
    static const char good[] =
        "{\"kind\":\"APIGroup\",\"name\":\"batch\",\"versions\":[{\"groupVersion\":\"batch/v1\"},"
        "{\"groupVersion\":\"batch/v1beta1\"}],\"preferredVersion\":{\"groupVersion\":\"batch/v1beta1\"}}";
    char versions[KUBE_VERSIONS_MAX][KUBE_NAME_MAX];
    struct error e = ERROR_INIT;
    size_t count = 0;

    (void)state;
    assert_ok(kube_parse_group("/apis/batch", good, strlen(good), versions, &count, &e), e);
    assert_int_equal(count, 2);
    assert_string_equal(versions[0], "batch/v1beta1");
    assert_string_equal(versions[1], "batch/v1");
    assert_int_equal(kube_parse_group("/apis/batch", "{}", 2, versions, &count, &e), ERR_INVALID);
    assert_int_equal(kube_parse_group("/apis/batch", "<", 1, versions, &count, &e), ERR_INVALID);
}

static void test_resources(void **state)
{
    static const char good[] =
        "{\"kind\":\"APIResourceList\",\"resources\":[{\"name\":\"secrets/x\",\"namespaced\":false},"
        "{\"name\":\"secrets\",\"namespaced\":true},{\"name\":\"nodes\",\"namespaced\":false},"
        "{\"name\":\"odd\"}]}";
    struct error e = ERROR_INIT;
    bool namespaced = false;

    (void)state;
    assert_ok(kube_parse_resources("/api/v1", good, strlen(good), "secrets", &namespaced, &e), e);
    assert_true(namespaced);
    assert_ok(kube_parse_resources("/api/v1", good, strlen(good), "nodes", &namespaced, &e), e);
    assert_false(namespaced);
    assert_int_equal(kube_parse_resources("/api/v1", good, strlen(good), "pods", &namespaced, &e),
                     ERR_NOT_FOUND);
    assert_int_equal(kube_parse_resources("/api/v1", good, strlen(good), "odd", &namespaced, &e),
                     ERR_INVALID);
    assert_int_equal(kube_parse_resources("/api/v1", "{}", 2, "secrets", &namespaced, &e), ERR_INVALID);
}

static void test_retry_after(void **state)
{
    (void)state;
    assert_int_equal(kube_retry_after_ms(0, 1234), 1234);
    assert_int_equal(kube_retry_after_ms(-5, 0), 0);
    assert_int_equal(kube_retry_after_ms(3, 1234), 3000);
    assert_int_equal(kube_retry_after_ms(INT64_MAX, 0), KUBE_RETRY_AFTER_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_empty_pages),
        cmocka_unit_test(test_malformed_pages),
        cmocka_unit_test(test_page_bounds),
        cmocka_unit_test(test_status_lines),
        cmocka_unit_test(test_status_line_is_bounded),
        cmocka_unit_test(test_expired_status),
        cmocka_unit_test(test_failed_checks),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_retry_after),
    };

    return cmocka_run_group_tests_name("kube reply", tests, NULL, NULL);
}
