#include <kube/kube.h>

#include "fake_api.h"
#include "test.h"

#define PAGE(meta, name)                                                                                     \
    "{\"kind\":\"PartialObjectMetadataList\",\"metadata\":{" meta                                            \
    "},\"items\":[{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\"}}]}"
#define EXPIRED(meta) "{\"kind\":\"Status\",\"metadata\":{" meta "},\"reason\":\"Expired\",\"code\":410}"

static const struct {
    const char *path;
    int status;
    const char *body;
} pages[] = {
    {"/api/v1", 200, "{\"resources\":[{\"name\":\"secrets\",\"namespaced\":true}]}"},
    {"/apis/example.org", 200,
     "{\"preferredVersion\":{\"groupVersion\":\"example.org/"
     "v2\"},\"versions\":[{\"groupVersion\":\"example.org/v2\"},"
     "{\"groupVersion\":\"example.org/v1\"}]}"},
    {"/apis/example.org/v2", 200, "{\"resources\":[{\"name\":\"gadgets\",\"namespaced\":false}]}"},
    {"/apis/example.org/v1", 200, "{\"resources\":[{\"name\":\"widgets\",\"namespaced\":true}]}"},
    {"/apis/evil.org", 200, "{\"preferredVersion\":{\"groupVersion\":\"evil.org/../../v1\"}}"},
    {"/apis/html.org", 200, "<html>"},
    {"/api/v1/secrets?limit=5", 200, PAGE("\"continue\":\"old\"", "a")},
    {"/api/v1/secrets?limit=5&continue=old", 410, EXPIRED("\"continue\":\"fresh+/=\"")},
    {"/api/v1/secrets?limit=5&continue=fresh%2B%2F%3D", 200, PAGE("", "b")},
    {"/api/v1/secrets?limit=5&continue=dead", 410, EXPIRED("")},
    {"/api/v1/secrets?limit=5&continue=twice", 410, EXPIRED("\"continue\":\"twice\"")},
    {"/api/v1/secrets?limit=5&continue=html", 410, "gone"},
    {"/api/v1/secrets?limit=7", 200, "[]"},
    {"/api/v1/secrets?limit=9", 403, FAKE_STATUS(403, "Forbidden", ",\"message\":\"no list\"")},
    {"/api/v1/secrets?limit=2", 200, PAGE("", "small")},
};

static char *huge;

static void play(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    (void)arg;
    if (strcmp(q->path, "/api/v1/secrets?limit=8") == 0) {
        *a = (struct fake_reply){.status = 200, .body = huge, .body_len = KUBE_REPLY_MAX + 1};
        return;
    }
    if (strstr(q->path, "secrets?") &&
        !strstr(q->headers, "Accept: application/json;as=PartialObjectMetadataList;"
                            "g=meta.k8s.io;v=v1\r\n")) {
        a->status = 406;
        return;
    }
    for (size_t i = 0; i < array_len(pages); i++) {
        if (strcmp(pages[i].path, q->path) == 0) {
            a->status = pages[i].status;
            a->body = pages[i].body;
            return;
        }
    }
    a->status = 404;
    a->body = "404 page not found\n";
}

static struct fake_api *fake;
static struct kube *kube;

static int begin(void **state)
{
    struct kube_options o;

    (void)state;
    huge = calloc(1, KUBE_REPLY_MAX + 1);
    fake = fake_start(play, NULL);
    o = fake_options(fake);
    return huge ? kube_open(&o, &kube, NULL) : -1;
}

static int finish(void **state)
{
    (void)state;
    kube_close(kube);
    fake_stop(fake);
    free(huge);
    return 0;
}

static void test_find(void **state)
{
    struct kube_resource r = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_find_resource(kube, "secrets", 5000, &r, &e), e);
    assert_string_equal(r.api_path, "/api/v1");
    assert_true(r.namespaced);
    assert_ok(kube_find_resource(kube, "gadgets.example.org", 5000, &r, &e), e);
    assert_string_equal(r.api_path, "/apis/example.org/v2");
    assert_string_equal(r.plural, "gadgets");
    assert_false(r.namespaced);
    assert_ok(kube_find_resource(kube, "widgets.example.org", 5000, &r, &e), e);
    assert_string_equal(r.api_path, "/apis/example.org/v1"); /* not in the preferred version */
}

static void find_fails(const char *name, int code, const char *part)
{
    struct kube_resource r;
    struct error e = ERROR_INIT;

    assert_int_equal(kube_find_resource(kube, name, 5000, &r, &e), code);
    assert_has(e.text, part);
}

static void test_find_failures(void **state)
{
    (void)state;
    find_fails("pods", ERR_NOT_FOUND, "\"pods\"");
    find_fails("gizmos.example.org", ERR_NOT_FOUND, "gizmos.example.org");
    find_fails("x.nowhere.org", ERR_NOT_FOUND, "x.nowhere.org");
    find_fails("x.evil.org", ERR_INVALID, "version");
    find_fails("x.html.org", ERR_INVALID, "s1");
    find_fails("", ERR_INVALID, "resource");
    find_fails(".example.org", ERR_INVALID, "resource");
    find_fails("secrets.", ERR_INVALID, "resource");
    find_fails("../secrets", ERR_INVALID, "resource");
    find_fails("*.*", ERR_UNSUPPORTED, "*.*");
}

static const struct kube_resource secrets = {"secrets", "/api/v1", "secrets", true};

static int list(int limit, const char *next, struct kube_page *p, struct error *e)
{
    return kube_list_names(kube, &secrets, limit, next, 5000, p, e);
}

static void test_list(void **state)
{
    struct kube_page p = {0}, q = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(list(5, NULL, &p, &e), e);
    assert_string_equal(p.objects[0].name, "a");
    assert_ok(list(5, p.next, &q, &e), e); /* expired, and continued with the reply's own token */
    assert_string_equal(q.objects[0].name, "b");
    kube_page_free(&p);
    kube_page_free(&q);
}

static void test_list_failures(void **state)
{
    struct kube_page p = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_int_equal(list(5, "dead", &p, &e), ERR_COMPACTED);
    assert_int_equal(list(5, "twice", &p, &e), ERR_COMPACTED);
    assert_int_equal(list(5, "html", &p, &e), ERR_COMPACTED);
    assert_int_equal(list(7, NULL, &p, &e), ERR_INVALID);
    assert_has(e.text, "s1");
    assert_int_equal(list(9, NULL, &p, &e), ERR_DENIED);
    assert_has(e.text, "no list");
    assert_int_equal(list(0, NULL, &p, &e), ERR_INVALID);
    assert_null(p.objects);
}

/* A page that is too large to hold is asked for in smaller ones. */
static void test_list_shrinks(void **state)
{
    struct kube_page p = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(list(8, NULL, &p, &e), e);
    assert_string_equal(p.objects[0].name, "small");
    kube_page_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),         cmocka_unit_test(test_find_failures),
        cmocka_unit_test(test_list),         cmocka_unit_test(test_list_failures),
        cmocka_unit_test(test_list_shrinks),
    };

    return cmocka_run_group_tests_name("kube resource", tests, begin, finish);
}
