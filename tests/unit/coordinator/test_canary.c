#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <base/text.h>
#include <json/json.h>

#include "proofs/canary.h"

static struct config config = {.datastore_prefix = "/registry", .canary_namespace = "kube-system"};

static struct job_options *options(const char *operation, int64_t step)
{
    static struct job_options o;
    memset(&o, 0, sizeof(o));
    o.config = &config;
    o.step = step;
    text_copy(o.operation, sizeof(o.operation), operation);
    return &o;
}

static struct canary make(const char *resource, const char *operation, int server)
{
    struct canary c;
    assert_int_equal(canary_make(options(operation, 12), canary_kind(resource), server, &c, NULL), 0);
    return c;
}

static void names_tell_operation_step_and_server(void **state)
{
    (void)state;
    struct canary c = make("secrets", "1a2b3c4d-5e6f-4000-8000-0123456789ab", -1);
    assert_string_equal(c.name, "secrets-encrypt-canary-1a2b3c4d-12");
    assert_string_equal(c.etcd_key, "/registry/secrets/kube-system/secrets-encrypt-canary-1a2b3c4d-12");
    assert_string_equal(c.collection, "/api/v1/namespaces/kube-system/secrets");
    assert_string_equal(c.path, "/api/v1/namespaces/kube-system/secrets/secrets-encrypt-canary-1a2b3c4d-12");
    c = make("configmaps", "1a", 2); /* short, and what no name may hold */
    assert_string_equal(c.name, "secrets-encrypt-canary-1a000000-12-2");
    c = make("secrets", "A/../b c?", 0);
    assert_string_equal(c.name, "secrets-encrypt-canary-00000b0c-12-0");
    assert_null(canary_kind("widgets.example.org"));
}

static const char *member(const struct json *root, const char *a, const char *b)
{
    return json_string(b ? json_get(json_get(root, a), b) : json_get(root, a), "(none)");
}

static void a_stored_secret_is_a_whole_object(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(4096);
    _cleanup_(json_freep) struct json *root = NULL;
    struct canary c = make("secrets", "1a2b3c4d", -1);
    assert_int_equal(canary_object(&c, true, &out, NULL), 0);
    assert_int_equal(out.data[0], '{'); /* by which an API server knows JSON */
    assert_int_equal(json_parse(out.data, out.len, "canary", &root, NULL), 0);
    assert_string_equal(member(root, "kind", NULL), "Secret");
    assert_string_equal(member(root, "apiVersion", NULL), "v1");
    assert_string_equal(member(root, "type", NULL), "secrets-encrypt/canary");
    assert_string_equal(member(root, "metadata", "name"), c.name);
    assert_string_equal(member(root, "metadata", "namespace"), "kube-system");
    assert_int_equal(strlen(member(root, "metadata", "uid")), 36);
    assert_int_equal(strlen(member(root, "metadata", "creationTimestamp")), 20);
    assert_true(canary_is(&c, &out));
}

static void a_configmap_to_be_created_has_no_uid(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(4096);
    _cleanup_(json_freep) struct json *root = NULL;
    struct canary c = make("configmaps", "1a2b3c4d", 1);
    assert_int_equal(canary_object(&c, false, &out, NULL), 0);
    assert_int_equal(json_parse(out.data, out.len, "canary", &root, NULL), 0);
    assert_string_equal(member(root, "kind", NULL), "ConfigMap");
    assert_string_equal(member(root, "type", NULL), "(none)");
    assert_string_equal(member(root, "metadata", "uid"), "(none)");
    assert_string_equal(member(root, "data", "marker"), c.marker);
}

static void another_canary_is_not_this_one(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(4096), text = BUF_INIT(64);
    struct canary a = make("secrets", "1a2b3c4d", -1), b = make("secrets", "1a2b3c4d", -1);
    assert_int_equal(canary_object(&a, true, &out, NULL), 0);
    assert_string_not_equal(a.marker, b.marker);
    assert_false(canary_is(&b, &out));
    assert_false(canary_is(&a, &text));
    assert_int_equal(buf_adds(&text, "{\"data\":{\"marker\":1}}", NULL), 0);
    assert_false(canary_is(&a, &text));
}

static void a_wrong_namespace_is_refused(void **state)
{
    (void)state;
    struct canary c;
    struct error e = ERROR_INIT;
    config.canary_namespace = "kube-system/../x";
    int rc = canary_make(options("1a2b3c4d", 1), canary_kind("secrets"), -1, &c, &e);
    config.canary_namespace = "kube-system";
    assert_int_equal(rc, ERR_STATE);
    assert_non_null(strstr(e.text, "canaries.namespace"));
}

static void resources_without_one_are_listed(void **state)
{
    (void)state;
    char out[64];
    struct job_options *o = options("1a2b3c4d", 1);
    text_copy(o->spec.resources[0], sizeof(o->spec.resources[0]), "secrets");
    text_copy(o->spec.resources[1], sizeof(o->spec.resources[1]), "widgets.example.org");
    text_copy(o->spec.resources[2], sizeof(o->spec.resources[2]), "services");
    o->spec.resources_count = 3;
    canary_missing(o, out, sizeof(out));
    assert_string_equal(out, "widgets.example.org, services");
    o->spec.resources_count = 1;
    canary_missing(o, out, sizeof(out));
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_tell_operation_step_and_server),
        cmocka_unit_test(a_stored_secret_is_a_whole_object),
        cmocka_unit_test(a_configmap_to_be_created_has_no_uid),
        cmocka_unit_test(another_canary_is_not_this_one),
        cmocka_unit_test(a_wrong_namespace_is_refused),
        cmocka_unit_test(resources_without_one_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
