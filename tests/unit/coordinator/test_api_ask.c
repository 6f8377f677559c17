#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <api/ask.h>
#include <api/who.h>
#include <base/cleanup.h>
#include <base/text.h>

typedef Secretsencrypt__V1__WriteRequest message;

static message start(const char *kind)
{
    message m = SECRETSENCRYPT__V1__WRITE_REQUEST__INIT;
    m.kind = (char *)kind;
    return m;
}

static void check(enum api_call call, const message *m, int code, const char *part)
{
    struct error err = ERROR_INIT;
    struct cluster_request *r = calloc(1, sizeof(*r));
    assert_int_equal(ask_request(call, m, r, &err), code);
    if (code < 0)
        assert_non_null(strstr(err.text, part));
    free(r);
}

static void what_is_asked_for_is_taken(void **state)
{
    (void)state;
    struct cluster_request *r = calloc(1, sizeof(*r));
    message m = start("rotate-keys");
    m.skip = m.has_max_rate = true;
    m.max_rate = 500;
    m.engine = (char *)"datastore";
    m.offline = true;
    m.reason = (char *)"quarterly";
    assert_int_equal(ask_request(API_START, &m, r, NULL), 0);
    assert_int_equal(r->kind, OP_ROTATE_KEYS);
    assert_true(r->skip && r->restart && r->offline && !r->force && !r->now);
    assert_int_equal(r->max_rate, 500);
    assert_string_equal(r->reason, "quarterly");
    char text[CLUSTER_TEXT_MAX];
    ask_text(API_START, r, text, sizeof(text));
    assert_string_equal(text, "rotate-keys --skip --offline");

    char *servers[] = {(char *)"s1", (char *)"s3"};
    m = start("restart");
    m.servers = servers;
    m.n_servers = 2;
    assert_int_equal(ask_request(API_START, &m, r, NULL), 0);
    assert_int_equal(r->servers_count, 2);
    assert_string_equal(r->servers[1], "s3");
    assert_int_equal(r->max_rate, -1);
    ask_text(API_START, r, text, sizeof(text));
    assert_string_equal(text, "restart s1 s3");

    m = start("");
    assert_int_equal(ask_request(API_THROTTLE, &m, r, NULL), 0);
    assert_int_equal(r->max_rate, 0); /* no limit, and not "not said" */
    assert_int_equal(ask_request(API_LOCK, &m, r, NULL), 0);
    assert_int_equal(r->ttl_s, 3600);
    free(r);
}

static void nobody_starts_what_is_none(void **state)
{
    (void)state;
    static const char *const kinds[] = {"",     "adopt", "abort",  "pause",       "repair",
                                        "lock", "king",  "ROTATE", "rotate-keys "};
    for (size_t i = 0; i < array_len(kinds); i++) {
        message m = start(kinds[i]);
        check(API_START, &m, ERR_INVALID, "is no operation that can be started");
    }
    message m = start("rotate");
    check(API_PAUSE, &m, ERR_INVALID, "'kind' has no meaning");
}

static void members_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    message m = start("");
    m.force = true;
    check(API_PAUSE, &m, ERR_INVALID, "'force' has no meaning for pause");
    m = start("");
    m.server = (char *)"s1";
    check(API_ABORT, &m, ERR_INVALID, "'server'");
    m = start("rotate");
    m.skip = true;
    check(API_START, &m, ERR_INVALID, "'skip' has no meaning for rotate");
    m = start("restart");
    m.no_restart = true;
    check(API_START, &m, ERR_INVALID, "'no_restart'");
    m = start("rotate-keys");
    m.max_rate = 7; /* without has_max_rate it is a mistake for throttle's; with it, it is fine */
    check(API_START, &m, 0, "");
    m = start("rotate");
    m.max_rate = 7;
    check(API_START, &m, ERR_INVALID, "'max_rate'");
}

static void values_are_bounded(void **state)
{
    (void)state;
    char longest[2000];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    char *servers[CLUSTER_SUBSET_MAX + 1];
    for (size_t i = 0; i < array_len(servers); i++)
        servers[i] = (char *)"s1";
    message m = start("restart");
    m.servers = servers;
    m.n_servers = array_len(servers);
    check(API_START, &m, ERR_INVALID, "servers: more than");
    m = start("rotate-keys");
    m.reason = longest;
    check(API_START, &m, ERR_INVALID, "reason: longer than");
    m.reason = (char *)"a\nb";
    check(API_START, &m, ERR_INVALID, "control character");
    m.reason = (char *)"caf\xe9";
    check(API_START, &m, ERR_INVALID, "reason: not UTF-8");
    m = start("rotate-keys");
    m.engine = (char *)"magic";
    check(API_START, &m, ERR_INVALID, "not one of api, datastore");
    m = start("rotate-keys");
    m.offline = true;
    check(API_START, &m, ERR_INVALID, "needs the engine datastore");
    m = start("");
    m.max_rate = -1;
    check(API_THROTTLE, &m, ERR_INVALID, "max_rate");
    m = start("");
    check(API_REPAIR, &m, ERR_INVALID, "needs a server");
    m.ttl_s = 4;
    check(API_LOCK, &m, ERR_INVALID, "ttl_s");
    m.ttl_s = 7 * 24 * 3600 + 1;
    check(API_LOCK, &m, ERR_INVALID, "ttl_s");
}

static void the_same_again(void **state)
{
    (void)state;
    struct cluster_request *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
    message m = start("rotate-keys");
    assert_int_equal(ask_request(API_START, &m, a, NULL), 0);
    *b = *a;
    b->time_ms = 99;
    b->answer = ANSWER_ACCEPTED;
    text_copy(b->lease, sizeof(b->lease), "7");
    text_copy(b->by, sizeof(b->by), "CN=ci via 10.0.0.9");
    text_copy(b->operation, sizeof(b->operation), "op-1");
    assert_true(ask_same(a, b));
    b->skip = true;
    assert_false(ask_same(a, b));
    *b = *a;
    text_copy(b->reason, sizeof(b->reason), "another");
    assert_false(ask_same(a, b));
    *b = *a;
    b->kind = OP_ROTATE;
    assert_false(ask_same(a, b));
    free(a);
    free(b);
}

static void names_are_shortened_and_limits_kept(void **state)
{
    (void)state;
    struct who w;
    struct error err = ERROR_INIT;
    who_init(&w, "O=team, CN=ci", "10.0.0.9:4711", API_ROLE_OPERATOR, 0);
    assert_string_equal(w.by, "O=team, CN=ci via 10.0.0.9");
    who_init(&w, "OU=a unit with quite a long name, O=an organisation too, CN=somebody",
             "[fd00:1234:5678:9abc::7]:4711", API_ROLE_OPERATOR, 0);
    assert_true(strlen(w.by) < CLUSTER_NAME_MAX);
    assert_non_null(strstr(w.by, " via [fd00:"));

    /* Those who begin alike are told apart, whoever is called like two is neither, and nothing is cut within
     * a character. */
    struct who other;
    who_init(&other, "OU=a unit with quite a long name, O=an organisation too, CN=somebody else",
             "10.0.0.9:1", API_ROLE_OPERATOR, 0);
    assert_false(who_same_name(w.by, other.by));
    who_init(&w, "OU=a unit with quite a long name, O=an organisation too, CN=somebody else", "10.0.0.10:2",
             API_ROLE_OPERATOR, 0);
    assert_true(who_same_name(w.by, other.by));
    assert_false(who_same_name("CN=ci via 10.0.0.9", "CN=ci via x via 10.0.0.9"));
    assert_false(who_same_name("root@s1", "root@s1"));
    char umlauts[] = "CN=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    for (size_t i = 4; i < sizeof(umlauts) - 2; i += 2)
        memcpy(umlauts + i, "\xc3\xa4", 2);
    who_init(&w, umlauts, "10.0.0.9:1", API_ROLE_OPERATOR, 0);
    assert_true(strlen(umlauts) > 38 && text_is_utf8(umlauts, strlen(umlauts)));
    assert_true(text_is_utf8(w.by, strlen(w.by)));

    struct limits *l = NULL;
    unsigned more = 0;
    assert_int_equal(limits_new(60, &l, NULL), 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(limits_take(l, "a", 1000, NULL), 0);
    assert_int_equal(limits_take(l, "a", 1000, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "try again in 1 s"));
    assert_int_equal(limits_take(l, "b", 1000, NULL), 0); /* nobody suffers for another */
    assert_int_equal(limits_take(l, "a", 2000, NULL), 0); /* one a second comes back */
    assert_int_equal(limits_take(l, "a", 2000, NULL), ERR_UNAVAILABLE);
    assert_true(limits_tell(l, "a", 5000, &more));
    assert_false(limits_tell(l, "a", 5500, &more));
    assert_false(limits_tell(l, "a", 5600, &more));
    assert_true(limits_tell(l, "a", 6000, &more));
    assert_int_equal(more, 2);
    /* What is told goes into the trail, until there was too much of it. */
    uint64_t all = 0;
    for (int i = 0; i < LIMITS_KEPT; i++)
        assert_true(limits_keep(l, "a", 7000, 0, &all));
    assert_int_equal(all, 0);
    assert_false(limits_keep(l, "a", 7000, 3, &all));
    assert_false(limits_keep(l, "a", 7000 + LIMITS_KEPT_MS - 1, 0, &all));
    assert_true(limits_keep(l, "b", 7000, 0, &all));
    assert_true(limits_keep(l, "a", 7000 + LIMITS_KEPT_MS, 2, &all));
    assert_int_equal(all, 7); /* 1 + 3 and 1 that were left out, and 2 */
    assert_false(limits_keep(l, "a", 7000 + LIMITS_KEPT_MS, 0, &all));
    /* More callers than are counted: the newest counts, and nothing is out of bounds. */
    for (int i = 0; i < 2000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "caller %d", i);
        assert_int_equal(limits_take(l, name, 10000 + i, NULL), 0);
    }
    limits_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_for_is_taken),
        cmocka_unit_test(nobody_starts_what_is_none),
        cmocka_unit_test(members_that_mean_nothing_are_refused),
        cmocka_unit_test(values_are_bounded),
        cmocka_unit_test(the_same_again),
        cmocka_unit_test(names_are_shortened_and_limits_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
