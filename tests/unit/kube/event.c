#include "event.h"

#include "test.h"

#define META(rest) "\"object\":{\"kind\":\"PartialObjectMetadata\",\"metadata\":{" rest "}}}"

static int parse(const char *text, struct kube_event *e)
{
    return kube_parse_event("s1", text, strlen(text), "a/b", e, NULL);
}

static void test_objects(void **state)
{
    struct kube_event e = {0};

    (void)state;
    assert_int_equal(parse("{\"type\":\"MODIFIED\"," META("\"resourceVersion\":\"12\",\"annotations\":{"
                                                          "\"a/b\":\"42\",\"c\":\"7\"}"),
                           &e),
                     0);
    assert_int_equal(e.type, KUBE_EVENT_OBJECT);
    assert_int_equal(e.number, 42);
    assert_string_equal(e.version, "12");
    assert_int_equal(parse("{\"type\":\"ADDED\"," META("\"resourceVersion\":\"13\""), &e), 0);
    assert_int_equal(e.number, 0);
    assert_int_equal(parse("{\"type\":\"ADDED\"," META("\"resourceVersion\":\"14\",\"annotations\":{"
                                                       "\"a/b\":\"4x\"}"),
                           &e),
                     0);
    assert_int_equal(e.number, 0);
    assert_int_equal(parse("{\"type\":\"BOOKMARK\"," META("\"resourceVersion\":\"15\""), &e), 0);
    assert_int_equal(e.type, KUBE_EVENT_BOOKMARK);
    assert_int_equal(parse("{\"type\":\"DELETED\"," META("\"resourceVersion\":\"16\""), &e), 0);
    assert_int_equal(e.type, KUBE_EVENT_DELETED);
}

static void test_errors(void **state)
{
    struct kube_event e = {0};

    (void)state;
    assert_int_equal(parse("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":"
                           "\"too old\"}}",
                           &e),
                     0);
    assert_int_equal(e.type, KUBE_EVENT_ERROR);
    assert_int_equal(e.status, 410);
    assert_string_equal(e.why, "too old");
}

static void test_nonsense(void **state)
{
    static const char *const bad[] = {
        "{",
        "[]",
        "{\"type\":\"GUESSED\"," META("\"resourceVersion\":\"1\""),
        "{\"type\":\"ADDED\"}",
        "{\"type\":\"ADDED\"," META("\"resourceVersion\":7"),
        "{\"type\":\"ADDED\"," META("\"resourceVersion\":\"\""),
        "{\"type\":\"ADDED\"," META("\"resourceVersion\":\"1234567890123456789012345678901234567890123456789"
                                    "0123456789012345\""),
    };
    struct kube_event e = {.status = 7};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse(bad[i], &e), ERR_INVALID);
    assert_int_equal(e.status, 7);
}

struct lines {
    char text[256];
    size_t stop_at, count;
};

static bool add_line(void *arg, const char *text, size_t len)
{
    struct lines *l = arg;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof(l->text) - at, "<%.*s>", (int)len, text);
    return ++l->count != l->stop_at;
}

static void test_lines_in_pieces_of_any_size(void **state)
{
    static const char stream[] = "one\n\ntwo and a half\nthree\nrest";

    (void)state;
    for (size_t piece = 1; piece <= sizeof(stream); piece++) {
        struct sink partial = {.max = 32};
        struct lines l = {0};

        for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
            size_t left = sizeof(stream) - 1 - at;

            assert_true(kube_cut_lines(&partial, stream + at, left < piece ? left : piece, add_line, &l));
        }
        assert_string_equal(l.text, "<one><two and a half><three>");
        assert_string_equal(sink_text(&partial), "rest");
        sink_free(&partial);
    }
}

static void test_lines_have_a_bound(void **state)
{
    struct sink partial = {.max = 8};
    struct lines l = {.stop_at = 2};

    (void)state;
    assert_true(kube_cut_lines(&partial, "12345678\n1234", 13, add_line, &l));
    assert_false(kube_cut_lines(&partial, "56789", 5, add_line, &l));
    sink_reset(&partial);
    assert_false(kube_cut_lines(&partial, "a\nb\n", 4, add_line, &l)); /* told to stop */
    assert_string_equal(l.text, "<12345678><a>");
    sink_free(&partial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_lines_in_pieces_of_any_size),
        cmocka_unit_test(test_lines_have_a_bound),
    };

    return cmocka_run_group_tests_name("kube event", tests, NULL, NULL);
}
