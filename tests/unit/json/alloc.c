/* The allocator wipes what it frees, also when cJSON frees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool wiped;
static size_t freed;

/* Looks at a block just before it goes back to the heap: the header holds its size. */
static void watched_free(void *p)
{
    size_t size = *(size_t *)p;
    const unsigned char *bytes = (const unsigned char *)p + 16;
    for (size_t i = 0; i < size; i++)
        wiped = wiped && bytes[i] == 0;
    freed++;
    free(p);
}

#define free watched_free
#include "../../../lib/json/alloc.c"
#undef free

static int setup(void **state)
{
    (void)state;
    wiped = true;
    freed = 0;
    return 0;
}

static void wipes_on_release(void **state)
{
    (void)state;
    char *p = json_alloc(100);
    assert_non_null(p);
    memset(p, 'k', 100);
    json_release(p);
    assert_int_equal(freed, 1);
    assert_true(wiped);
}

static void release_of_null_is_safe(void **state)
{
    (void)state;
    json_release(NULL);
    assert_int_equal(freed, 0);
}

static void text_is_copied_and_ended(void **state)
{
    (void)state;
    char *p = json_alloc_text("secret!", 6);
    assert_string_equal(p, "secret");
    json_release(p);
    assert_true(wiped);
}

static void keeps_alignment(void **state)
{
    (void)state;
    for (size_t n = 0; n < 64; n++) {
        void *p = json_alloc(n);
        assert_int_equal((uintptr_t)p % 16, 0);
        json_release(p);
    }
}

static void refuses_sizes_that_wrap(void **state)
{
    (void)state;
    assert_null(json_alloc(SIZE_MAX));
    assert_null(json_alloc(SIZE_MAX - 8));
}

static void cjson_frees_through_it(void **state)
{
    (void)state;
    json_alloc_install();
    cJSON *n = cJSON_CreateString("a key's value");
    cJSON *copy = cJSON_Duplicate(n, 1);
    char *text = cJSON_PrintUnformatted(n);
    assert_non_null(text);
    size_t before = freed; /* the printer's own buffers are gone by now */
    cJSON_free(text);
    cJSON_Delete(n);
    cJSON_Delete(copy);
    assert_int_equal(freed - before, 5); /* the text, two nodes, two strings */
    assert_true(wiped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(wipes_on_release, setup),
        cmocka_unit_test_setup(release_of_null_is_safe, setup),
        cmocka_unit_test_setup(text_is_copied_and_ended, setup),
        cmocka_unit_test_setup(keeps_alignment, setup),
        cmocka_unit_test_setup(refuses_sizes_that_wrap, setup),
        cmocka_unit_test_setup(cjson_frees_through_it, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
