#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/arena.h>
#include <cmocka.h>

#define PIECES 2000

/* Pieces of all sizes, each filled with its number: what overlaps is overwritten. */
static void pieces_do_not_overlap(void **state)
{
    (void)state;
    static const size_t rooms[] = {0, 1, 1000, 1 << 20};
    for (size_t r = 0; r < array_len(rooms); r++) {
        _cleanup_(arena_freep) struct arena *a = arena_new(rooms[r]);
        uint8_t *pieces[PIECES];
        size_t sizes[PIECES];
        for (size_t i = 0; i < PIECES; i++) {
            sizes[i] = i % 97 == 0 ? i * 300 : i % 61;
            pieces[i] = arena_alloc(a, sizes[i]);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
            memset(pieces[i], (int)(i % 251), sizes[i]);
        }
        for (size_t i = 0; i < PIECES; i++)
            for (size_t k = 0; k < sizes[i]; k++)
                assert_int_equal(pieces[i][k], i % 251);
    }
}

static void the_first_piece_finds_its_arena(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 24, 100000}; /* the last one fits the first chunk too */
    for (size_t i = 0; i < array_len(sizes); i++) {
        struct arena *a = arena_new(sizes[i]);
        void *first = arena_alloc(a, sizes[i]);
        assert_ptr_equal(arena_of_first(first), a);
        assert_ptr_not_equal(arena_of_first(arena_alloc(a, 1)), a);
        arena_free(a);
    }
}

static void copies_end_in_a_nul(void **state)
{
    (void)state;
    _cleanup_(arena_freep) struct arena *a = arena_new(0);
    char *text = arena_copy(a, "abc", 2), *empty = arena_copy(a, NULL, 0);
    assert_string_equal(text, "ab");
    assert_string_equal(empty, "");
}

/* What is joined lives on, also what is added to the first one afterwards. */
static void joined_arenas_are_one(void **state)
{
    (void)state;
    struct arena *a = arena_new(10), *b = arena_new(10);
    char *in_a = arena_copy(a, "first", 5), *in_b = arena_copy(b, "second", 6);
    char *large = arena_alloc(b, 1 << 20);
    memset(large, 'x', 1 << 20);
    arena_join(a, b);
    arena_join(a, NULL);
    char *later = arena_copy(a, "third", 5), *larger = arena_alloc(a, 1 << 20);
    memset(larger, 'y', 1 << 20);
    assert_string_equal(in_a, "first");
    assert_string_equal(in_b, "second");
    assert_string_equal(later, "third");
    assert_int_equal(large[(1 << 20) - 1], 'x');
    arena_free(a); /* valgrind and the sanitizers see that nothing is left */
    arena_free(NULL);
}

static void sizes_that_nobody_has_are_refused(void **state)
{
    (void)state;
    _cleanup_(arena_freep) struct arena *a = arena_new(0);
    assert_null(arena_new(SIZE_MAX));
    assert_null(arena_new(SIZE_MAX / 2));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX - 7));
    assert_null(arena_copy(a, "", SIZE_MAX));
    assert_string_equal(arena_copy(a, "still", 5), "still");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(the_first_piece_finds_its_arena),
        cmocka_unit_test(copies_end_in_a_nul),
        cmocka_unit_test(joined_arenas_are_one),
        cmocka_unit_test(sizes_that_nobody_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
