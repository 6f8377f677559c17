/* Where nodes stand: the text between start and end, and how they hang together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/buf.h>
#include <yaml/places.h>

static struct yaml_places *read_places(const char *text)
{
    struct yaml_places *p = NULL;
    struct error err = ERROR_INIT;
    if (yaml_places_new(text, strlen(text), "test", &p, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return p;
}

static void assert_at(const char *text, const struct yaml_place *n, const char *part, size_t column)
{
    assert_non_null(n);
    if (n->end - n->start != strlen(part) || strncmp(text + n->start, part, strlen(part)) != 0)
        fail_msg("'%.*s' and not '%s'", (int)(n->end - n->start), text + n->start, part);
    assert_int_equal(n->column, column);
}

static void block(void **state)
{
    (void)state;
    const char *text = "# first\n"
                       "a:  \"x\\ty\" # why\n"
                       "list:\n"
                       "- one\n"
                       "-   b: 'it''s'\n"
                       "    c: {d: [1, 2]} # end\n"
                       "\n"
                       "empty: # nothing\n"
                       "last: two\n"
                       "  words\n"
                       "\n"
                       "# over\n";
    _cleanup_(yaml_places_freep) struct yaml_places *p = read_places(text);
    const struct yaml_place *root = yaml_places_root(p), *list = yaml_place_get(root, "list");
    assert_int_equal(root->kind, PLACE_MAPPING);
    assert_false(root->flow);
    assert_int_equal(root->children, 8);
    assert_int_equal(root->start, strlen("# first\n"));
    assert_int_equal(root->end, strstr(text, "\n\n# over") - text);
    assert_at(text, yaml_place_get(root, "a"), "\"x\\ty\"", 4);
    assert_string_equal(yaml_place_get(root, "a")->text, "x\ty");
    assert_at(text, list, "- one\n-   b: 'it''s'\n    c: {d: [1, 2]}", 0);
    assert_int_equal(list->kind, PLACE_SEQUENCE);
    assert_at(text, yaml_place_at(list, 0), "one", 2);
    const struct yaml_place *second = yaml_place_at(list, 1);
    assert_at(text, second, "b: 'it''s'\n    c: {d: [1, 2]}", 4);
    assert_ptr_equal(second->parent, list);
    assert_null(yaml_place_at(list, 2));
    const struct yaml_place *flow = yaml_place_get(second, "c");
    assert_at(text, flow, "{d: [1, 2]}", 7);
    assert_true(flow->flow);
    assert_at(text, yaml_place_get(flow, "d"), "[1, 2]", 11);
    const struct yaml_place *empty = yaml_place_get(root, "empty");
    assert_true(empty->kind == PLACE_SCALAR && empty->start == empty->end);
    assert_int_equal(empty->start, strstr(text, " # nothing") - text);
    assert_at(text, yaml_place_get(root, "last"), "two\n  words", 6);
    assert_string_equal(yaml_place_get(root, "last")->text, "two words");
    assert_null(yaml_place_get(root, "none"));
    assert_null(yaml_place_get(list, "a"));
    assert_null(yaml_place_at(NULL, 0));
}

/* Bytes, and not characters: of two, three and four bytes, after CRLF. */
static void characters_of_several_bytes(void **state)
{
    (void)state;
    const char *text = "ä: ö€😀 # ß\r\nb: [ü, {é: z}]\r\nc: d";
    _cleanup_(yaml_places_freep) struct yaml_places *p = read_places(text);
    const struct yaml_place *root = yaml_places_root(p);
    assert_at(text, yaml_place_get(root, "ä"), "ö€😀", 3);
    assert_at(text, yaml_place_get(root, "b"), "[ü, {é: z}]", 3);
    assert_at(text, yaml_place_get(yaml_place_at(yaml_place_get(root, "b"), 1), "é"), "z", 11);
    assert_at(text, yaml_place_get(root, "c"), "d", 3);
}

static void block_scalars(void **state)
{
    (void)state;
    const char *text = "a: |\n  x\n  y\nb: z\n";
    _cleanup_(yaml_places_freep) struct yaml_places *p = read_places(text);
    assert_true(yaml_place_get(yaml_places_root(p), "a")->literal);
    assert_false(yaml_place_get(yaml_places_root(p), "b")->literal);
}

static void many_nodes(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(1000000);
    struct yaml_places *p = NULL;
    struct error err = ERROR_INIT;
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_addf(&text, NULL, "- e%d\n", i), 0);
    assert_int_equal(yaml_places_new(text.data, text.len, "test", &p, &err), 0);
    assert_string_equal(yaml_place_at(yaml_places_root(p), 4999)->text, "e4999");
    assert_int_equal(yaml_places_root(p)->children, 5000);
    yaml_places_free(p);
    buf_reset(&text);
    for (int i = 0; i < YAML_PLACES_MAX; i++)
        assert_int_equal(buf_adds(&text, "- e\n", NULL), 0);
    p = NULL;
    assert_int_equal(yaml_places_new(text.data, text.len, "test", &p, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "too many nodes"));
    assert_null(p);
}

static void refusals(void **state)
{
    (void)state;
    static const char *const texts[] = {"a: *b", "a: b\n---\nc: d\n", "a: [", "a: b: c"};
    for (size_t i = 0; i < array_len(texts); i++) {
        struct yaml_places *p = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(yaml_places_new(texts[i], strlen(texts[i]), "test", &p, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "test: not valid YAML at line"));
        assert_null(p);
    }
    _cleanup_(yaml_places_freep) struct yaml_places *empty = read_places("");
    assert_null(yaml_places_root(empty));
    yaml_places_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block),         cmocka_unit_test(characters_of_several_bytes),
        cmocka_unit_test(block_scalars), cmocka_unit_test(many_nodes),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
