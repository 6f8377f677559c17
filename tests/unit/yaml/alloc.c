/* libyaml's memory goes through the room's allocator, which wipes what it frees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>

static bool wiped = true;
static size_t freed;

static void watched_free(void *p)
{
    const unsigned char *bytes = p;
    for (size_t i = 0; i < malloc_usable_size(p); i++)
        wiped = wiped && bytes[i] == 0;
    freed++;
    free(p);
}

#define free watched_free
#include "../../../lib/yaml/alloc.c"
#undef free

#include <yaml/yaml.h>

static void libyaml_frees_through_it(void **state)
{
    (void)state;
    static const char text[] =
        "secret: c2VjcmV0IGtleSB0aGF0IGlzIHZlcnkgbG9uZyBzbyB0aGF0IGJ1ZmZlcnMgZ3Jvdw==\n";
    struct json *j = NULL;
    struct error err = ERROR_INIT;
    size_t before = freed;
    assert_int_equal(yaml_parse(text, strlen(text), "test", &j, &err), 0);
    json_free(j);
    assert_true(freed - before > 10);
    assert_true(wiped);
}

static void realloc_moves_and_wipes(void **state)
{
    (void)state;
    char *p = yaml_malloc(10);
    memcpy(p, "123456789", 10);
    size_t before = freed;
    p = yaml_realloc(p, 1000);
    assert_string_equal(p, "123456789");
    p = yaml_realloc(p, 5);
    assert_memory_equal(p, "12345", 5);
    assert_int_equal(freed - before, 2);
    yaml_free(p);
    assert_true(wiped);
    yaml_free(NULL);
    p = yaml_realloc(NULL, 5);
    assert_non_null(p);
    yaml_free(p);
}

static void sizes_of_zero_give_a_block(void **state)
{
    (void)state;
    void *p = yaml_malloc(0);
    assert_non_null(p);
    yaml_free(p);
}

static void strdup_copies(void **state)
{
    (void)state;
    assert_null(yaml_strdup(NULL));
    unsigned char *p = yaml_strdup((const unsigned char *)"text");
    assert_string_equal((char *)p, "text");
    yaml_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libyaml_frees_through_it),
        cmocka_unit_test(realloc_moves_and_wipes),
        cmocka_unit_test(sizes_of_zero_give_a_block),
        cmocka_unit_test(strdup_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
