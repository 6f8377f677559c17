/* How two layouts differ: every difference, each in words that say where and which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <report/differ.h>

#include "fixture.h"

#define A "k 000000000000000a a\n"
#define B "k 000000000000000b b\n"
#define C "k 000000000000000c c\n"

static struct cluster_report one, two;
static struct differences found;

static void report(struct cluster_report *r, const char *server, const char *hash, const char *layout)
{
    memset(r, 0, sizeof(*r));
    text_copy(r->server, sizeof(r->server), server);
    text_copy(r->hash, sizeof(r->hash), hash);
    text_copy(r->config_id, sizeof(r->config_id), hash);
    assert_true(text_copy(r->layout, sizeof(r->layout), layout));
}

static const char *compare(void)
{
    static char text[8192];
    char line[DIFFERENCE_TEXT_MAX];
    struct error err = ERROR_INIT;
    text[0] = 0;
    assert_int_equal(differ_compare(&one, &two, &found, &err), 0);
    for (size_t i = 0; i < found.count; i++) {
        difference_text(&found.list[i], "on s1", line);
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s: %s\n", difference_name(found.list[i].kind), line);
    }
    return text;
}

static void says_each(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *expected;
    } rows[] = {
        {"e\nr s\np aescbc\n" A B, "e\nr s\np aescbc\n" A,
         "key-missing: aescbc key b is missing, which is number 2 on s1\n"},
        {"e\nr s\np aescbc\n" A, "e\nr s\np aescbc\n" A B,
         "key-extra: aescbc key 2 (b) is not there on s1\n"},
        {"e\nr s\np aescbc\n" A B, "e\nr s\np aescbc\n" A "k 00000000000000ff b\n",
         "other-key: aescbc key 2 (b) is another key than on s1\n"},
        {"e\nr s\np aescbc\n" A B C, "e\nr s\np aescbc\n" A C B,
         "key-order: its aescbc keys stand in another order than on s1: a, c, b instead of a, b, c\n"},
        {"e\nr s\np aescbc\n" A "p identity\n", "e\nr s\np identity\np aescbc\n" A,
         "provider-order: its providers stand in another order than on s1: identity, aescbc instead of "
         "aescbc, "
         "identity\n"},
        {"e\nr s\np aescbc\n" A "p identity\n", "e\nr s\np aescbc\n" A,
         "provider-missing: provider identity is missing, which is number 2 on s1\n"},
        {"e\nr s\np aescbc\n" A, "e\nr s\np secretbox\n" B "p aescbc\n" A,
         "provider-extra: provider 1 (secretbox) is not there on s1\n"},
        {"e\nr s\nr t\np identity\n", "e\nr s\nr u\np identity\n",
         "resources: it is for other resources than on s1: lacks t; has besides u\n"},
        {"e\nr s\nr t\np identity\n", "e\nr t\nr s\np identity\n",
         "resource-order: the names of resources stand in another order than on s1\n"},
        {"e\nr s\np identity\ne\nr t\np identity\n", "e\nr s\np identity\n",
         "item-missing: for t: nothing stands there for them, as it does on s1\n"},
        {"e\nr s\np identity\n", "e\nr s\np identity\ne\nr t\np identity\n",
         "item-extra: for t: an element for them that is not there on s1\n"},
        {"e\nr s\np identity\ne\nr *.*\np aescbc\n" A, "e\nr *.*\np aescbc\n" A "e\nr s\np identity\n",
         "item-order: the elements of `resources` stand in another order than on s1\n"},
        {"e\nr s\np kms\nn v\nv v2\nu unix:///a\n", "e\nr s\np kms\nn v\nv v2\nu unix:///b\n",
         "plugin: KMS plugin v has another endpoint than on s1\n"},
        {"e\nr s\np kms\nn v\nv v1\nu unix:///a\n", "e\nr s\np kms\nn v\nv v2\nu unix:///a\n",
         "plugin: KMS plugin v has another apiVersion than on s1\n"},
        {"e\nr s\np identity\n", "e\nr s\np identity\n",
         "settings: the same resources, providers and keys as on s1; something else differs, as a KMS "
         "plugin's "
         "timeout\n"},
        /* the second of a kind is held against the second */
        {"e\nr s\np aescbc\n" A "p aescbc\n" B, "e\nr s\np aescbc\n" A "p aescbc\nk 00000000000000ff b\n",
         "other-key: aescbc key 1 (b) is another key than on s1\n"},
        /* so is the second of a name */
        {"e\nr s\np aescbc\n" A "k 000000000000001a a\n", "e\nr s\np aescbc\n" A "k 00000000000000ff a\n",
         "other-key: aescbc key 2 (a) is another key than on s1\n"},
        {"e\nr s\np aescbc\n" A A, "e\nr s\np aescbc\n" A,
         "key-missing: aescbc key a is missing, which is number 2 on s1\n"},
        {"e\nr s\np aescbc\n" A B, "e\nr s\np aescbc\n" A B A,
         "key-extra: aescbc key 3 (a) is not there on s1\n"},
        /* a wrong key among several elements */
        {"e\nr s\np aescbc\n" A "e\nr t\np aescbc\n" A,
         "e\nr s\np aescbc\n" A "e\nr t\np aescbc\nk 00000000000000ff a\n",
         "other-key: for t: aescbc key 1 (a) is another key than on s1\n"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        report(&one, "s1", OLD_HASH, rows[i].a);
        report(&two, "s2", NEW_HASH, rows[i].b);
        assert_string_equal(compare(), rows[i].expected);
    }
}

static void says_all_and_not_the_first_alone(void **state)
{
    (void)state;
    report(&one, "s1", OLD_HASH, "e\nr s\np aescbc\n" A B C "p identity\n");
    report(&two, "s2", NEW_HASH, "e\nr s\np identity\np aescbc\n" C A "k 000000000000000d d\n");
    assert_string_equal(compare(),
                        "key-extra: aescbc key 3 (d) is not there on s1\n"
                        "key-missing: aescbc key b is missing, which is number 2 on s1\n"
                        "key-order: its aescbc keys stand in another order than on s1: c, a instead of a, c\n"
                        "provider-order: its providers stand in another order than on s1: identity, aescbc "
                        "instead of aescbc, identity\n");
    char line[160];
    differences_text(&found, "on s1", line, sizeof(line));
    assert_string_equal(
        line, "aescbc key 3 (d) is not there on s1; aescbc key b is missing, which is number 2 on s1; "
              "and 2 more");
    char whole[1024];
    differences_text(&found, "on s1", whole, sizeof(whole));
    assert_null(strstr(whole, "more"));
    for (size_t size = 1; size < sizeof(whole); size++) {
        memset(whole, 'x', sizeof(whole));
        differences_text(&found, "on s1", whole, size);
        assert_true(strlen(whole) < size);
    }
}

static void says_what_is_no_difference_in_content(void **state)
{
    (void)state;
    report(&one, "s1", OLD_HASH, "e\nr s\np identity\n");
    report(&two, "s2", OLD_HASH, "");
    assert_string_equal(compare(), "");
    report(&two, "s2", NEW_HASH, "e\nr s\np identity\n");
    memcpy(two.config_id, one.config_id, sizeof(one.config_id));
    assert_string_equal(compare(), "format: formatting only: it says the same as on s1, in other bytes\n");
}

static void says_when_it_cannot_be_said(void **state)
{
    (void)state;
    static const struct {
        const char *layout, *why, *expected;
    } rows[] = {
        {"", "", "its agent does not say what stands in its file; it may be an older one"},
        {"", "its layout is too long: more than 8191 bytes or 512 lines", "too long"},
        {"nonsense\n", "", "layout, line 1: unknown"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        report(&one, "s1", OLD_HASH, "e\nr s\np identity\n");
        report(&two, "s2", NEW_HASH, rows[i].layout);
        text_copy(two.layout_why, sizeof(two.layout_why), rows[i].why);
        const char *text = compare();
        assert_int_equal(found.count, 1);
        assert_int_equal(found.list[0].kind, DIFFER_UNKNOWN);
        assert_non_null(strstr(text, "s2: "));
        assert_non_null(strstr(text, rows[i].expected));
    }
    report(&two, "s2", "", "");
    text_copy(two.file_why, sizeof(two.file_why), "/etc/enc.json: No such file or directory");
    assert_string_equal(compare(),
                        "no-file: no file to compare: s2: /etc/enc.json: No such file or directory\n");
}

/* More than are kept are counted. */
static void many_differences(void **state)
{
    (void)state;
    char layout[CLUSTER_LAYOUT_MAX] = "e\nr s\np aescbc\n";
    for (int i = 0; i < DIFFERENCES_MAX + 5; i++) {
        size_t len = strlen(layout);
        snprintf(layout + len, sizeof(layout) - len, "k %016x k%d\n", (unsigned)i, i);
    }
    report(&one, "s1", OLD_HASH, "e\nr s\np aescbc\n");
    report(&two, "s2", NEW_HASH, layout);
    compare();
    assert_int_equal(found.count, DIFFERENCES_MAX);
    assert_int_equal(found.more, 5);
    char line[512];
    differences_text(&found, "on s1", line, sizeof(line));
    assert_non_null(strstr(line, " more"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_each),
        cmocka_unit_test(says_all_and_not_the_first_alone),
        cmocka_unit_test(says_what_is_no_difference_in_content),
        cmocka_unit_test(says_when_it_cannot_be_said),
        cmocka_unit_test(many_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
