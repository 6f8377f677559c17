#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <api/call.h>

static void paths_are_told_apart(void **state)
{
    (void)state;
    for (int i = 0; i < API_CALLS; i++) {
        assert_int_equal(api_call_parse(api_call_path((enum api_call)i)), i);
        assert_non_null(api_call_request((enum api_call)i));
        assert_non_null(api_call_reply((enum api_call)i));
    }
    assert_string_equal(api_call_name(API_START), "Start");
    assert_int_equal(api_call_parse("/secretsencrypt.v1.Coordinator/Stop"), -1);
    assert_int_equal(api_call_parse("Start"), -1);
    assert_int_equal(api_call_parse(""), -1);
}

/* The service's own list of methods is the table's. */
static void the_proto_has_the_same_calls(void **state)
{
    (void)state;
    const ProtobufCServiceDescriptor *d = &secretsencrypt__v1__coordinator__descriptor;
    assert_int_equal(d->n_methods, API_CALLS);
    for (unsigned i = 0; i < d->n_methods; i++) {
        char path[128];
        snprintf(path, sizeof(path), "/%s/%s", d->name, d->methods[i].name);
        int call = api_call_parse(path);
        assert_true(call >= 0);
        assert_ptr_equal(d->methods[i].input, api_call_request((enum api_call)call));
        assert_ptr_equal(d->methods[i].output, api_call_reply((enum api_call)call));
    }
}

static const char *id_of(const char *cluster, const char *who, const char *key, char out[CLUSTER_ID_MAX])
{
    assert_int_equal(api_request_id(cluster, who, key, out, NULL), 0);
    return out;
}

static void an_id_is_the_keys_the_callers_and_the_clusters(void **state)
{
    (void)state;
    char a[CLUSTER_ID_MAX], b[CLUSTER_ID_MAX];
    id_of("demo", "CN=ci", "run-1", a);
    assert_int_equal(strlen(a), 36);
    assert_true(api_id_is_keyed(a));
    assert_string_equal(id_of("demo", "CN=ci", "run-1", b), a);
    assert_string_not_equal(id_of("demo", "CN=ci", "run-2", b), a);
    assert_string_not_equal(id_of("demo", "CN=other", "run-1", b), a);
    assert_string_not_equal(id_of("other", "CN=ci", "run-1", b), a);
    /* Where one part ends and the next begins counts, too. */
    id_of("demo", "CN=c", "irun-1", b);
    assert_string_not_equal(b, id_of("demo", "CN=ci", "run-1", a));
    assert_false(api_id_is_keyed("0b0e3a3c-5a0c-4c3a-9d1e-0123456789ab"));
    assert_false(api_id_is_keyed("8"));
}

static void a_key_stands_for_an_operation_alone(void **state)
{
    (void)state;
    struct cluster_request *r = calloc(1, sizeof(*r));
    id_of("demo", "CN=ci", "run-1", r->id);
    r->kind = OP_RESTART;
    r->answer = ANSWER_ACCEPTED;
    assert_int_equal(api_answer_ttl_s(r), API_ANSWER_TTL_S);
    assert_false(api_request_is_spent(r, 10 * API_REFUSAL_MS));
    r->answer = ANSWER_REFUSED; /* nothing was begun */
    assert_int_equal(api_answer_ttl_s(r), API_DONE_TTL_S);
    assert_false(api_request_is_spent(r, API_REFUSAL_MS - 1));
    assert_true(api_request_is_spent(r, API_REFUSAL_MS));
    r->answer = ANSWER_ACCEPTED;
    for (int kind = OP_PAUSE; kind <= OP_UNLOCK; kind++) { /* which can be had as often as one likes */
        r->kind = (enum operation_kind)kind;
        assert_int_equal(api_answer_ttl_s(r), API_DONE_TTL_S);
    }
    r->kind = OP_RESTART;
    r->id[14] = '4'; /* no key */
    assert_int_equal(api_answer_ttl_s(r), API_DONE_TTL_S);
    r->answer = ANSWER_NONE;
    assert_false(api_request_is_spent(r, INT64_MAX));
    free(r);
}

static void keys_are_short_and_printable(void **state)
{
    (void)state;
    char longest[API_KEY_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[API_KEY_MAX] = 0;
    assert_true(api_key_valid(longest));
    longest[API_KEY_MAX] = 'a';
    longest[API_KEY_MAX + 1] = 0;
    assert_false(api_key_valid(longest));
    assert_true(api_key_valid("pipeline 4711/rotate"));
    assert_false(api_key_valid(""));
    assert_false(api_key_valid("a\nb"));
    assert_false(api_key_valid("\xc3\xa4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_told_apart),
        cmocka_unit_test(the_proto_has_the_same_calls),
        cmocka_unit_test(an_id_is_the_keys_the_callers_and_the_clusters),
        cmocka_unit_test(a_key_stands_for_an_operation_alone),
        cmocka_unit_test(keys_are_short_and_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
