#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <key_book.h>

#define DAY_MS (24LL * 3600 * 1000)

static struct cluster_keys book;

static int start(void **state)
{
    (void)state;
    memset(&book, 0, sizeof(book));
    return 0;
}

static const struct cluster_key_info *key(const char *name)
{
    for (size_t i = 0; i < book.keys_count; i++)
        if (strcmp(book.keys[i].name, name) == 0)
            return &book.keys[i];
    fail_msg("%s is not in the book", name);
    return NULL;
}

/* `names`: "*" in front of the key that writes. */
static void update(const char *const *names, size_t count, struct key_book_entry now)
{
    struct key_view views[CLUSTER_KEYS_MAX + 1];
    memset(views, 0, sizeof(views));
    for (size_t i = 0; i < count; i++) {
        views[i].active = names[i][0] == '*';
        views[i].name = names[i] + views[i].active;
        views[i].provider = PROVIDER_AESCBC;
    }
    key_book_update(&book, views, count, &now);
}

#define UPDATE(generation_, now_, revision_, ...)                                                            \
    update((const char *const[]){__VA_ARGS__}, array_len(((const char *const[]){__VA_ARGS__})),              \
           (struct key_book_entry){                                                                          \
               .generation = (generation_), .now_ms = (now_), .revision = (revision_), .escrow_days = 90})

/* prepare, rotate, drop: what becomes of the old key and of the new one. */
static void a_rotation_from_start_to_end(void **state)
{
    (void)state;
    UPDATE(1, 1000, 100, "*old");
    assert_int_equal(book.keys_count, 1);
    assert_string_equal(key("old")->provider, "aescbc");
    assert_int_equal(key("old")->state, KEY_ACTIVE);
    assert_int_equal(key("old")->created_ms, 1000);
    assert_int_equal(key("old")->since_ms, 1000);
    assert_int_equal(key("old")->since_revision, 100);
    UPDATE(2, 2000, 140, "*old", "new");
    assert_int_equal(key("new")->state, KEY_READABLE);
    assert_int_equal(key("new")->generation, 2);
    assert_int_equal(key("new")->since_revision, 0);
    assert_int_equal(key("new")->until_ms, 0);
    assert_int_equal(key("old")->since_ms, 1000); /* nothing changed for it */
    assert_int_equal(key("old")->writes, 0);
    UPDATE(3, 3000, 150, "*new", "old");
    assert_int_equal(key("old")->state, KEY_READABLE);
    assert_int_equal(key("old")->writes, 50);
    assert_int_equal(key("old")->since_ms, 3000);
    assert_int_equal(key("old")->since_revision, 0);
    assert_int_equal(key("new")->state, KEY_ACTIVE);
    assert_int_equal(key("new")->since_revision, 150);
    assert_int_equal(key("new")->generation, 2); /* that brought it */
    assert_int_equal(key("new")->created_ms, 2000);
    UPDATE(4, 4000, 900, "*new");
    assert_int_equal(book.keys_count, 2);
    assert_int_equal(key("old")->state, KEY_RETIRED);
    assert_int_equal(key("old")->until_ms, 4000 + 90 * DAY_MS);
    assert_int_equal(key("old")->writes, 50);
    assert_int_equal(key("old")->generation, 1);
    assert_int_equal(key("new")->since_revision, 150);
}

/* The coordinator may die and do it again: the same config once more changes nothing. */
static void the_same_again_changes_nothing(void **state)
{
    (void)state;
    UPDATE(1, 1000, 100, "*old", "other");
    UPDATE(2, 2000, 200, "*new", "other");
    static struct cluster_keys before;
    before = book;
    UPDATE(2, 5000, 500, "*new", "other");
    UPDATE(3, 6000, 600, "other", "*new");
    assert_memory_equal(&before, &book, sizeof(book));
}

static void a_key_of_an_adopted_config_has_no_birthday(void **state)
{
    (void)state;
    static const char *const names[] = {"*k", "r"};
    update(names, 2, (struct key_book_entry){.generation = 1, .now_ms = 7, .revision = 9, .adopted = true});
    assert_int_equal(key("k")->created_ms, 0);
    assert_int_equal(key("k")->since_ms, 7);
    assert_int_equal(key("k")->state, KEY_ACTIVE);
    assert_int_equal(key("r")->state, KEY_READABLE);
}

/* An abort makes the old key write again: both spans count. */
static void writes_add_up_over_an_abort(void **state)
{
    (void)state;
    UPDATE(1, 1000, 100, "*old");
    UPDATE(2, 2000, 130, "*new", "old");
    UPDATE(3, 3000, 135, "*old", "new");
    UPDATE(4, 4000, 150, "*old");
    assert_int_equal(key("new")->state, KEY_RETIRED);
    assert_int_equal(key("new")->writes, 5);
    UPDATE(5, 5000, 165, "*third", "old");
    assert_int_equal(key("old")->writes, 30 + 30);
}

/* What was counted goes before revisions, of which only those count that came after it. */
static void a_count_is_taken_over(void **state)
{
    (void)state;
    UPDATE(1, 1000, 100, "*old");
    static const char *const names[] = {"*new", "old"};
    struct key_book_entry now = {.generation = 2, .now_ms = 2000, .revision = 9000};
    now.counted_since = 100;
    now.counted = 40;
    now.counted_to = 8990;
    update(names, 2, now);
    assert_int_equal(key("old")->writes, 50);
    now.generation = 3;
    now.revision = 9500; /* the count is of another key, or of another time of this one */
    static const char *const back[] = {"*old", "new"};
    update(back, 2, now);
    assert_int_equal(key("new")->writes, 500);
}

/* A switch to plain writing, straight from active to retired, ends the count as well. */
static void an_active_key_that_is_dropped_has_its_writes_counted(void **state)
{
    (void)state;
    UPDATE(1, 1000, 100, "*old");
    update(NULL, 0,
           (struct key_book_entry){.generation = 2, .now_ms = 2000, .revision = 111, .escrow_days = 1});
    assert_int_equal(key("old")->state, KEY_RETIRED);
    assert_int_equal(key("old")->writes, 11);
    assert_int_equal(key("old")->until_ms, 2000 + DAY_MS);
}

static void an_unknown_or_older_revision_counts_nothing(void **state)
{
    (void)state;
    UPDATE(1, 1000, 0, "*a");
    UPDATE(2, 2000, 500, "*b", "a");
    assert_int_equal(key("a")->writes, 0); /* since when is not known */
    UPDATE(3, 3000, 0, "*c", "a", "b");
    assert_int_equal(key("b")->writes, 0); /* up to when is not known */
    UPDATE(4, 4000, 900, "*d", "a", "b", "c");
    UPDATE(5, 5000, 800, "*a", "b", "c", "d"); /* a datastore that was put back */
    assert_int_equal(key("d")->writes, 0);
}

static void a_retired_key_that_comes_back_is_no_longer_due(void **state)
{
    (void)state;
    UPDATE(1, 1000, 100, "*old", "other");
    UPDATE(2, 2000, 120, "*new", "other");
    assert_int_equal(key("old")->state, KEY_RETIRED);
    UPDATE(3, 3000, 130, "*new", "other", "old");
    assert_int_equal(book.keys_count, 3);
    assert_int_equal(key("old")->state, KEY_READABLE);
    assert_int_equal(key("old")->since_ms, 3000);
    assert_int_equal(key("old")->until_ms, 0);
    assert_int_equal(key("old")->writes, 20);
    assert_int_equal(key("old")->generation, 1);
}

static void one_name_under_two_providers_is_two_keys(void **state)
{
    (void)state;
    const struct key_view views[] = {{.name = "k", .provider = PROVIDER_AESGCM, .active = true},
                                     {.name = "k", .provider = PROVIDER_AESCBC}};
    const struct key_book_entry now = {.generation = 1, .now_ms = 5, .escrow_days = 1};
    key_book_update(&book, views, 2, &now);
    assert_int_equal(book.keys_count, 2);
    assert_string_equal(book.keys[0].provider, "aesgcm");
    assert_int_equal(book.keys[0].state, KEY_ACTIVE);
    assert_string_equal(book.keys[1].provider, "aescbc");
    assert_int_equal(book.keys[1].state, KEY_READABLE);
    key_book_update(&book, views, 1, &now);
    assert_int_equal(book.keys[0].state, KEY_ACTIVE);
    assert_int_equal(book.keys[1].state, KEY_RETIRED);
}

/* Four hundred rotations: the record stays full, keeps the keys in use, and forgets the ones that were
 * retired longest. */
static void a_full_book_forgets_the_keys_retired_longest(void **state)
{
    (void)state;
    static char names[400][16];
    for (int i = 0; i < 400; i++) {
        snprintf(names[i], sizeof(names[i]), "*k%03d", i);
        UPDATE(i + 1, 1000 + i, 10 + i, names[i], "in use");
    }
    assert_int_equal(book.keys_count, CLUSTER_KEY_BOOK_MAX);
    assert_int_equal(key("in use")->state, KEY_READABLE);
    assert_int_equal(key("in use")->created_ms, 1000);
    assert_int_equal(key("k399")->state, KEY_ACTIVE);
    for (int i = 399 - (CLUSTER_KEY_BOOK_MAX - 2); i < 399; i++)
        assert_int_equal(key(names[i] + 1)->state, KEY_RETIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_rotation_from_start_to_end, start),
        cmocka_unit_test_setup(the_same_again_changes_nothing, start),
        cmocka_unit_test_setup(a_key_of_an_adopted_config_has_no_birthday, start),
        cmocka_unit_test_setup(writes_add_up_over_an_abort, start),
        cmocka_unit_test_setup(a_count_is_taken_over, start),
        cmocka_unit_test_setup(an_active_key_that_is_dropped_has_its_writes_counted, start),
        cmocka_unit_test_setup(an_unknown_or_older_revision_counts_nothing, start),
        cmocka_unit_test_setup(a_retired_key_that_comes_back_is_no_longer_due, start),
        cmocka_unit_test_setup(one_name_under_two_providers_is_two_keys, start),
        cmocka_unit_test_setup(a_full_book_forgets_the_keys_retired_longest, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
