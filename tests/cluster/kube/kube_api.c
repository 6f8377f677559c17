/* lib/kube's calls against a real kube-apiserver. */
#include "helpers.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/clock.h>

static struct apifix *fix;

static int begin(void **state)
{
    (void)state;
    fix = apifix_new();
    if (!fix || !apifix_start(fix, 0, config_with_keys("1"))) {
        apifix_free(fix);
        fix = NULL;
        return -1;
    }
    return 0;
}

static int finish(void **state)
{
    (void)state;
    apifix_free(fix);
    return 0;
}

static int ready_with(struct kube_options o, struct error *e)
{
    _cleanup_(kube_closep) struct kube *k = NULL;

    assert_ok(kube_open(&o, &k, e), *e);
    return kube_ready(k, 5000, e);
}

static void test_ready(void **state)
{
    struct error e = ERROR_INIT;
    struct kube_options o = apifix_options(fix, 0);

    (void)state;
    assert_ok(ready_with(o, &e), e);
    o.token_file = NULL;
    o.cert_file = apifix_path(fix, "admin.pem");
    o.key_file = apifix_path(fix, "admin.key");
    assert_ok(ready_with(o, &e), e);
}

static void test_client_certificate(void **state)
{
    struct kube_options o = apifix_options(fix, 0);
    _cleanup_(kube_closep) struct kube *k = NULL;
    struct error e = ERROR_INIT;

    (void)state;
    o.token_file = NULL;
    o.cert_file = apifix_path(fix, "admin.pem");
    o.key_file = apifix_path(fix, "admin.key");
    assert_ok(kube_open(&o, &k, &e), e);
    must_request(k, "GET", "/api/v1/namespaces/default", NULL, 200);
}

static void test_wrong_ca(void **state)
{
    struct error e = ERROR_INIT;
    struct kube_options o = apifix_options(fix, 0);

    (void)state;
    o.ca_file = apifix_path(fix, "other-ca.pem");
    assert_int_equal(ready_with(o, &e), ERR_DENIED);
    assert_non_null(strstr(e.text, "s1 (https://127.0.0.1:"));
    assert_non_null(strstr(e.text, "certificate"));
    assert_non_null(strstr(e.text, "other-ca.pem"));
}

static void test_wrong_token(void **state)
{
    static const char wrong[] = "wrong-token-0123456789";
    struct kube_options o = apifix_options(fix, 0);
    _cleanup_(kube_closep) struct kube *k = NULL;
    struct kube_resource r;
    struct kube_page p;
    struct error e = ERROR_INIT;
    const char *path = apifix_path(fix, "wrong.token");

    (void)state;
    assert_true(apifix_write(fix, "wrong.token", wrong));
    o.token_file = path;
    assert_ok(kube_open(&o, &k, &e), e);
    assert_int_equal(kube_find_resource(k, "secrets", DEADLINE_MS, &r, &e), ERR_DENIED);
    assert_non_null(strstr(e.text, "401 Unauthorized"));
    assert_non_null(strstr(e.text, path));
    assert_null(strstr(e.text, wrong));

    r = (struct kube_resource){"secrets", "/api/v1", "secrets", true};
    e = (struct error)ERROR_INIT;
    assert_int_equal(kube_list_names(k, &r, 10, NULL, DEADLINE_MS, &p, &e), ERR_DENIED);
    assert_null(strstr(e.text, wrong));
}

/* A token that was renewed in its file is taken up without a new kube. */
static void test_token_is_read_again_after_401(void **state)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024);
    struct kube_options o = apifix_options(fix, 0);
    _cleanup_(kube_closep) struct kube *k = NULL;
    struct kube_resource r;
    struct error e = ERROR_INIT;

    (void)state;
    assert_true(apifix_write(fix, "renewed.token", "stale"));
    o.token_file = apifix_path(fix, "renewed.token");
    assert_ok(kube_open(&o, &k, &e), e);
    assert_true(apifix_run((const char *[]){"cat", apifix_path(fix, "admin.token"), NULL}, NULL, 0, &out));
    assert_true(apifix_write(fix, "renewed.token", buf_str(&out)));
    assert_ok(kube_find_resource(k, "secrets", DEADLINE_MS, &r, &e), e);
}

static void find(struct kube *k, const char *name, const char *path, const char *plural, bool namespaced)
{
    struct kube_resource r = {0};
    struct error e = ERROR_INIT;

    assert_ok(kube_find_resource(k, name, DEADLINE_MS, &r, &e), e);
    assert_string_equal(r.name, name);
    assert_string_equal(r.api_path, path);
    assert_string_equal(r.plural, plural);
    assert_int_equal(r.namespaced, namespaced);
}

static void test_find_resource(void **state)
{
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    struct kube_resource r;
    struct error e = ERROR_INIT;

    (void)state;
    find(k, "secrets", "/api/v1", "secrets", true);
    find(k, "namespaces", "/api/v1", "namespaces", false);
    find(k, "deployments.apps", "/apis/apps/v1", "deployments", true);
    find(k, "clusterroles.rbac.authorization.k8s.io", "/apis/rbac.authorization.k8s.io/v1", "clusterroles",
         false);
    /* of 1.20's autoscaling and batch: cronjobs are in the group's second version alone */
    find(k, "cronjobs.batch", "/apis/batch/v1beta1", "cronjobs", true);
    assert_int_equal(kube_find_resource(k, "nonesuch", DEADLINE_MS, &r, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "nonesuch"));
    assert_int_equal(kube_find_resource(k, "widgets.example.org", DEADLINE_MS, &r, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "widgets.example.org"));
    assert_int_equal(kube_find_resource(k, "*.apps", DEADLINE_MS, &r, &e), ERR_UNSUPPORTED);
}

/* Cluster-scoped names with a colon in them: list, then touch through the same paths. */
static void test_list_cluster_scoped(void **state)
{
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    struct kube_resource r;
    struct kube_page p = {0};
    struct error e = ERROR_INIT;
    bool colon = false;

    (void)state;
    assert_ok(kube_find_resource(k, "clusterroles.rbac.authorization.k8s.io", DEADLINE_MS, &r, &e), e);
    assert_ok(kube_list_names(k, &r, 500, NULL, DEADLINE_MS, &p, &e), e);
    assert_true(p.count > 10);
    for (size_t i = 0; i < p.count; i++) {
        assert_string_equal(p.objects[i].namespace, "");
        colon = colon || strchr(p.objects[i].name, ':');
    }
    assert_true(colon);
    kube_page_free(&p);
}

static void mark(const struct kube_page *p, bool seen[], size_t count)
{
    for (size_t i = 0; i < p->count; i++) {
        size_t n;

        if (strcmp(p->objects[i].namespace, "pages") != 0)
            continue;
        n = strtoul(p->objects[i].name + 1, NULL, 10);
        assert_true(n < count);
        assert_false(seen[n]);
        seen[n] = true;
    }
}

static void test_list_pages_and_expiry(void **state)
{
    enum { COUNT = 25 };
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    _cleanup_free_ char *token = NULL;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    bool seen[COUNT] = {false}, again[COUNT] = {false};
    struct kube_resource r;
    struct kube_page p = {0};
    struct error e = ERROR_INIT;
    char revision[32];
    const char *at;
    size_t pages = 0;

    (void)state;
    make_namespace(k, "pages");
    make_secrets(k, "pages", COUNT);
    assert_ok(kube_find_resource(k, "secrets", DEADLINE_MS, &r, &e), e);
    do {
        struct kube_page q = {0};

        assert_ok(kube_list_names(k, &r, 10, p.next, DEADLINE_MS, &q, &e), e);
        assert_true(q.count <= 10);
        if (pages == 0) /* 1.20 leaves the estimate out of lists of names */
            assert_true(q.remaining == 0 || q.remaining == COUNT - 10);
        kube_page_free(&p);
        p = q;
        mark(&p, seen, COUNT);
        if (pages++ == 0)
            token = strdup(p.next);
    } while (p.next);
    assert_int_equal(pages, 3);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(seen[i]);
    kube_page_free(&p);

    /* Compact past the first page's token: the server answers 410 with another one. */
    must_request(k, "DELETE", "/api/v1/namespaces/pages/secrets/s0", NULL, 200);
    assert_true(apifix_etcdctl(fix, (const char *[]){"get", "x", "-w", "json", NULL}, NULL, 0, &out));
    at = strstr(buf_str(&out), "\"revision\":");
    assert_non_null(at);
    snprintf(revision, sizeof(revision), "%ld", strtol(at + strlen("\"revision\":"), NULL, 10));
    assert_true(apifix_etcdctl(fix, (const char *[]){"compact", revision, NULL}, NULL, 0, NULL));
    {
        _cleanup_(buf_freep) struct buf path = BUF_INIT(8192);

        assert_int_equal(buf_addf(&path, NULL, "/api/v1/secrets?limit=10&continue=%s", token), 0);
        must_request(k, "GET", buf_str(&path), NULL, 410);
    }
    assert_ok(kube_list_names(k, &r, 10, token, DEADLINE_MS, &p, &e), e);
    mark(&p, again, COUNT);
    assert_true(p.count == 10);
    kube_page_free(&p);
}

static void test_list_of_unknown_resource(void **state)
{
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    struct kube_resource r = {"nonesuch", "/api/v1", "nonesuch", true};
    struct kube_page p = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_int_equal(kube_list_names(k, &r, 10, NULL, DEADLINE_MS, &p, &e), ERR_NOT_FOUND);
}

/* A whole server restart between two questions over one kept connection. */
static void test_ready_after_restart(void **state)
{
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_ready(k, 5000, &e), e);
    apifix_stop(fix, 0, SIGKILL);
    assert_true(apifix_start(fix, 0, config_with_keys("1")));
    assert_ok(kube_ready(k, 5000, &e), e);
}

static void test_stopped_server(void **state)
{
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    struct error e = ERROR_INIT;
    int64_t began;

    (void)state;
    assert_ok(kube_ready(k, 5000, &e), e);
    apifix_signal(fix, 0, SIGSTOP);
    began = clock_mono_ms();
    assert_int_equal(kube_ready(k, 1500, &e), ERR_TIMEOUT);
    assert_in_range(clock_mono_ms() - began, 1000, 3000);
    assert_non_null(strstr(e.text, "s1 (https://127.0.0.1:"));
    apifix_signal(fix, 0, SIGCONT);
    assert_ok(kube_ready(k, 10000, &e), e);

    apifix_stop(fix, 0, SIGKILL);
    began = clock_mono_ms();
    e = (struct error)ERROR_INIT;
    assert_int_equal(kube_ready(k, 1500, &e), ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - began < 2000);
    assert_non_null(strstr(e.text, "s1 (https://127.0.0.1:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_wrong_ca),
        cmocka_unit_test(test_wrong_token),
        cmocka_unit_test(test_token_is_read_again_after_401),
        cmocka_unit_test(test_find_resource),
        cmocka_unit_test(test_list_cluster_scoped),
        cmocka_unit_test(test_list_pages_and_expiry),
        cmocka_unit_test(test_list_of_unknown_resource),
        cmocka_unit_test(test_ready_after_restart),
        cmocka_unit_test(test_stopped_server),
    };

    return cmocka_run_group_tests_name("kube API", tests, begin, finish);
}
