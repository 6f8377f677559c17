#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <base/secret.h>

static void bounded_and_never_moves(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *s = secret_new(8);
    assert_non_null(s);
    const uint8_t *where = s->data;
    assert_int_equal(secret_add(s, "12345", 5, NULL), 0);
    assert_int_equal(secret_add(s, "6789", 4, NULL), ERR_TOO_LARGE);
    assert_int_equal(s->len, 5);
    assert_int_equal(secret_add(s, "678", 3, NULL), 0);
    assert_ptr_equal(s->data, where);
    assert_int_equal(s->data[8], 0);
    secret_free(NULL);
}

static void compares(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *a = secret_copy("abc", 3);
    _cleanup_(secret_freep) struct secret *b = secret_copy("abd", 3);
    _cleanup_(secret_freep) struct secret *c = secret_copy("abcd", 4);
    assert_true(secret_equal(a, a));
    assert_false(secret_equal(a, b));
    assert_false(secret_equal(a, c));
    assert_true(mem_equal_ct("xy", "xy", 2));
    assert_false(mem_equal_ct("xy", "xz", 2));
}

/* The kernel's own word: pages of a secret are left out of core dumps ("dd" in VmFlags). */
static void left_out_of_dumps(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *s = secret_copy("k", 1);
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    char line[512];
    int inside = 0, found = 0;
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)s->data >= from && (uintptr_t)s->data < to;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " dd") != NULL;
    }
    fclose(f);
    assert_true(found);
}

/* Mappings are used again: what was in one is gone, and one is never two secrets' at the same time. */
static void used_again(void **state)
{
    (void)state;
    struct secret *all[40];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < array_len(all); i++) {
            all[i] = secret_new(i % 4 * 4000);
            assert_non_null(all[i]);
            assert_int_equal(all[i]->len, 0);
            assert_int_equal(all[i]->cap, i % 4 * 4000);
            for (size_t k = 0; k <= all[i]->cap; k++)
                assert_int_equal(all[i]->data[k], 0);
            memset(all[i]->data, (int)i + 1, all[i]->cap);
            all[i]->len = all[i]->cap;
        }
        for (size_t i = 0; i < array_len(all); i++)
            for (size_t k = 0; k < all[i]->len; k++)
                assert_int_equal(all[i]->data[k], i + 1);
        for (size_t i = 0; i < array_len(all); i++)
            secret_free(all[i]);
        left_out_of_dumps(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounded_and_never_moves),
        cmocka_unit_test(compares),
        cmocka_unit_test(left_out_of_dumps),
        cmocka_unit_test(used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
