#include "house.h"

#include "notes.h"

static struct door_note last;
static unsigned told;

static void on_tell(void *arg, const struct door_note *note)
{
    (void)arg;
    last = *note;
    told++;
}

static void one_a_second_and_none_is_lost(void **state)
{
    (void)state;
    struct notes n = {.tell = on_tell};
    told = 0;
    for (int i = 0; i < 100; i++)
        notes_add(&n, 5000 + i, DOOR_NOTE_HANDSHAKE, "1.2.3.4:5", "", i == 99 ? "the last" : "garbage");
    assert_int_equal(told, 1);
    assert_int_equal(last.left_out, 0);
    assert_int_equal(notes_next_ms(&n), 6000);
    notes_flush(&n, 5999);
    assert_int_equal(told, 1);
    notes_flush(&n, 6000);
    assert_int_equal(told, 2);
    assert_string_equal(last.why, "the last");
    assert_int_equal(last.left_out, 98); /* with the two that were told: 100 */
    assert_int_equal(notes_next_ms(&n), -1);
}

static void the_next_one_tells_of_those_before(void **state)
{
    (void)state;
    struct notes n = {.tell = on_tell};
    told = 0;
    for (int i = 0; i < 4; i++)
        notes_add(&n, 1000, DOOR_NOTE_FULL, "a", "", "x");
    notes_add(&n, 2000, DOOR_NOTE_FULL, "b", "CN=b", "y");
    assert_int_equal(told, 2);
    assert_int_equal(last.left_out, 3);
    assert_string_equal(last.from, "b");
    assert_string_equal(last.subject, "CN=b");
}

static void kinds_do_not_hide_each_other(void **state)
{
    (void)state;
    struct notes n = {.tell = on_tell};
    told = 0;
    for (int kind = 0; kind < DOOR_NOTE_KINDS; kind++) {
        notes_add(&n, 1000, (enum door_note_kind)kind, "", "", "x");
        assert_string_not_equal(door_note_name((enum door_note_kind)kind), "?");
    }
    assert_int_equal(told, DOOR_NOTE_KINDS);
    assert_string_equal(door_note_name(DOOR_NOTE_KINDS), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_a_second_and_none_is_lost),
        cmocka_unit_test(the_next_one_tells_of_those_before),
        cmocka_unit_test(kinds_do_not_hide_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
