/* What K3s says of itself, and what to ask it for next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <agent/k3s.h>
#include <base/cleanup.h>

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---------- encryption-state.json ---------- */

static void own_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum stage stage;
    } rows[] = {
        {"start-" HASH, STAGE_START},
        {"prepare-" HASH "\n", STAGE_PREPARE},
        {"rotate-" HASH "\r\n", STAGE_ROTATE},
        {"reencrypt_request-" HASH " \n", STAGE_REENCRYPT_REQUEST},
        {"reencrypt_active-" HASH, STAGE_REENCRYPT_ACTIVE},
        {"reencrypt_finished-" HASH, STAGE_REENCRYPT_FINISHED},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct driver_own own = {0};
        struct error err = ERROR_INIT;
        if (k3s_own_parse(rows[i].text, &own, &err) < 0)
            fail_msg("'%s': %s", rows[i].text, err.text);
        assert_int_equal(own.stage, rows[i].stage);
        assert_string_equal(own.hash, HASH);
    }
}

static void own_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "-",
        "start",
        "start-",
        "-" HASH,
        "start" HASH,
        "begin-" HASH,
        "Start-" HASH,
        " start-" HASH,
        "start--" HASH,
        "start-" HASH "0",
        "start-" HASH "-",
        "start-" HASH " x",
        "start-" HASH "\nstart-" HASH "x",
        "start-123",
        "start-0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "start-g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "reencrypt_finished_and_a_word_that_is_far_too_long_for_any_stage-" HASH,
        "{\"stage\":\"start\"}",
        "\xff\xfe-" HASH,
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct driver_own own = {.stage = STAGE_ROTATE, .hash = "kept"};
        struct error err = ERROR_INIT;
        if (k3s_own_parse(rows[i], &own, &err) != ERR_INVALID)
            fail_msg("'%s' was taken", rows[i]);
        assert_non_null(strstr(err.text, "does not hold"));
        assert_string_equal(own.hash, "kept");
    }
}

/* ---------- the supervisor's status ---------- */

static void status_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct k3s_status due;
    } rows[] = {
        {"{\"stage\":\"start\",\"enable\":true,\"hashmatch\":true,\"activekey\":\"aescbckey\"}",
         {STAGE_START, true, true, ""}},
        {"{\"stage\":\"rotate\",\"enable\":true,\"hasherror\":\"hash does not match between a and b\"}",
         {STAGE_ROTATE, true, false, "hash does not match between a and b"}},
        {"{\"stage\":\"reencrypt_finished\",\"enable\":false,\"hashmatch\":true,\"inactivekeys\":[\"x\",1,{}]"
         "}",
         {STAGE_REENCRYPT_FINISHED, false, true, ""}},
        {"{\"stage\":\"prepare\"}", {STAGE_PREPARE, false, false, ""}},
        /* what has another type counts as not there */
        {"{\"stage\":\"start\",\"enable\":\"true\",\"hashmatch\":1,\"hasherror\":[]}",
         {STAGE_START, false, false, ""}},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct k3s_status s = {.stage = STAGE_ROTATE, .enabled = true, .hashes_match = true, .why = "old"};
        struct error err = ERROR_INIT;
        if (k3s_status_parse(rows[i].text, strlen(rows[i].text), &s, &err) < 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_int_equal(s.stage, rows[i].due.stage);
        assert_int_equal(s.enabled, rows[i].due.enabled);
        assert_int_equal(s.hashes_match, rows[i].due.hashes_match);
        assert_string_equal(s.why, rows[i].due.why);
    }
}

static void status_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "null",
        "[]",
        "\"x\"",
        "{}",
        "{\"stage\":1}",
        "{",
        "{\"stage\":\"start\"",
        "{\"stage\":\"Start\"}",
        "{\"stage\":\"\"}",
        "{\"stage\":\"rotate_keys\"}",
        "404 page not found\n",
        "{\"stage\":null}",
        "{\"stage\":[\"start\"]}",
        "<html><body>Bad Gateway</body></html>",
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct k3s_status s = {0};
        struct error err = ERROR_INIT;
        if (k3s_status_parse(rows[i], strlen(rows[i]), &s, &err) == 0)
            fail_msg("'%s' was taken", rows[i]);
        assert_non_null(strstr(err.text, "the supervisor's status"));
    }
}

/* Texts of any length, cut off anywhere, and with any byte changed: never more than a refusal. */
static void status_survives_anything(void **state)
{
    (void)state;
    static const char text[] =
        "{\"stage\":\"start\",\"enable\":true,\"hashmatch\":false,\"hasherror\":\"no\"}";
    struct k3s_status s;
    for (size_t n = 0; n < sizeof(text) - 1; n++)
        assert_true(k3s_status_parse(text, n, &s, NULL) < 0);
    for (size_t at = 0; at < sizeof(text) - 1; at++)
        for (int c = 0; c < 256; c++) {
            char copy[sizeof(text)];
            memcpy(copy, text, sizeof(text));
            copy[at] = (char)c;
            if (k3s_status_parse(copy, sizeof(text) - 1, &s, NULL) == 0)
                assert_int_equal(s.stage, STAGE_START);
        }
}

static void status_is_bounded(void **state)
{
    (void)state;
    size_t large = 300 * 1024, long_why = 4096;
    char *text = malloc(large + 1), *why = malloc(long_why + 128);
    assert_non_null(text);
    assert_non_null(why);
    memset(text, ' ', large);
    memcpy(text, "{\"stage\":\"start\"}", 17);
    text[large] = 0;
    struct k3s_status s = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(k3s_status_parse(text, large, &s, &err), ERR_TOO_LARGE);
    /* a text that is too long for the record is not taken in part */
    int n = snprintf(why, long_why + 128, "{\"stage\":\"start\",\"hasherror\":\"%0*d\"}", (int)long_why, 7);
    assert_int_equal(k3s_status_parse(why, (size_t)n, &s, &err), 0);
    assert_true(strlen(s.why) < CLUSTER_TEXT_MAX);
    free(text);
    free(why);
}

/* ---------- what to ask for ---------- */

static void next_by_stage(void **state)
{
    (void)state;
    static const enum k3s_next D = K3S_DONE, P = K3S_PUT, W = K3S_WAIT, X = K3S_WRONG;
    static const struct {
        const char *call;
        enum k3s_next
            at[STAGE_REENCRYPT_FINISHED + 1]; /* start, prepare, rotate, request, active, finished */
    } rows[] = {
        {"prepare", {P, D, X, X, X, P}},
        {"rotate", {X, P, D, X, X, X}},
        {"reencrypt", {X, X, P, W, W, D}},
    };
    for (size_t i = 0; i < array_len(rows); i++)
        for (int stage = STAGE_START; stage <= STAGE_REENCRYPT_FINISHED; stage++)
            for (int other = 0; other < 4; other++) {
                const struct k3s_status s = {
                    .stage = (enum stage)stage, .enabled = other & 1, .hashes_match = other & 2};
                if (k3s_next(rows[i].call, &s) != rows[i].at[stage])
                    fail_msg("%s at stage %d: %d", rows[i].call, stage, k3s_next(rows[i].call, &s));
            }
}

static void next_by_state(void **state)
{
    (void)state;
    for (int stage = STAGE_START; stage <= STAGE_REENCRYPT_FINISHED; stage++)
        for (int on = 0; on < 2; on++) {
            const struct k3s_status s = {.stage = (enum stage)stage, .enabled = on};
            assert_int_equal(k3s_next("enable", &s), on ? K3S_DONE : K3S_PUT);
            assert_int_equal(k3s_next("disable", &s), on ? K3S_PUT : K3S_DONE);
        }
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        const char *call, *body, *forced;
    } rows[] = {
        {"prepare", "{\"stage\":\"prepare\",\"force\":false}", "{\"stage\":\"prepare\",\"force\":true}"},
        {"rotate", "{\"stage\":\"rotate\",\"force\":false}", "{\"stage\":\"rotate\",\"force\":true}"},
        {"reencrypt", "{\"stage\":\"reencrypt_active\",\"force\":false,\"skip\":false}",
         "{\"stage\":\"reencrypt_active\",\"force\":true,\"skip\":false}"},
        {"enable", "{\"enable\":true}", "{\"enable\":true}"},
        {"disable", "{\"enable\":false}", "{\"enable\":false}"},
    };
    static const char *const none[] = {"",         "rotate-keys", "Prepare",
                                       "prepare ", "../prepare",  "reencrypt_active"};
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_string_equal(k3s_body(rows[i].call, false), rows[i].body);
        assert_string_equal(k3s_body(rows[i].call, true), rows[i].forced);
    }
    for (size_t i = 0; i < array_len(none); i++) {
        assert_null(k3s_body(none[i], false));
        assert_null(k3s_body(none[i], true));
    }
}

/* ---------- where it keeps what ---------- */

static void places(void **state)
{
    (void)state;
    static struct config c; /* large */
    static char k3s[] = "k3s", rke2[] = "rke2", exec[] = "exec", empty[] = "", path[] = "config.yaml",
                file[] = "/d/server/cred/encryption-config.json", data[] = "/d",
                url[] = "https://127.0.0.1:9999", unit[] = "my-k3s";
    struct k3s_places p;
    struct error err = ERROR_INIT;
    c.path = path;
    c.encryption_config = file;
    c.k3s_data_dir = c.k3s_supervisor = c.service_unit = c.k3s_node = empty;
    snprintf(c.server, sizeof(c.server), "s1");
    c.driver = k3s;
    assert_int_equal(k3s_places(&c, &p, &err), 0);
    assert_string_equal(p.token, "/var/lib/rancher/k3s/server/token");
    assert_string_equal(p.ca, "/var/lib/rancher/k3s/server/tls/server-ca.crt");
    assert_string_equal(p.state, "/d/server/cred/encryption-state.json");
    assert_string_equal(p.supervisor, "https://127.0.0.1:6443");
    assert_string_equal(p.unit, "k3s");
    assert_string_equal(p.node, "s1");
    c.driver = rke2;
    assert_int_equal(k3s_places(&c, &p, &err), 0);
    assert_string_equal(p.token, "/var/lib/rancher/rke2/server/token");
    assert_string_equal(p.supervisor, "https://127.0.0.1:9345");
    assert_string_equal(p.unit, "rke2-server");
    c.k3s_data_dir = data;
    c.k3s_supervisor = url;
    c.service_unit = unit;
    c.k3s_node = k3s;
    assert_int_equal(k3s_places(&c, &p, &err), 0);
    assert_string_equal(p.token, "/d/server/token");
    assert_string_equal(p.supervisor, url);
    assert_string_equal(p.unit, unit);
    assert_string_equal(p.node, "k3s");
    c.driver = exec;
    assert_null(k3s_product(&c));
    assert_int_equal(k3s_places(&c, &p, &err), ERR_INTERNAL);
}

static void places_that_are_too_long(void **state)
{
    (void)state;
    static struct config c;
    static char k3s[] = "k3s", empty[] = "", path[] = "config.yaml", plain[] = "encryption-config.json",
                deep[PATH_MAX + 64];
    struct k3s_places p;
    struct error err = ERROR_INIT;
    memset(deep, 'x', sizeof(deep) - 1);
    deep[0] = '/';
    c.path = path;
    c.driver = k3s;
    c.k3s_supervisor = c.service_unit = c.k3s_node = empty;
    c.k3s_data_dir = deep;
    c.encryption_config = deep;
    assert_int_equal(k3s_places(&c, &p, &err), ERR_INVALID);
    c.k3s_data_dir = empty;
    assert_int_equal(k3s_places(&c, &p, &err), ERR_INVALID);
    c.encryption_config = plain;
    assert_int_equal(k3s_places(&c, &p, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_is_read),
        cmocka_unit_test(own_is_refused),
        cmocka_unit_test(status_is_read),
        cmocka_unit_test(status_is_refused),
        cmocka_unit_test(status_survives_anything),
        cmocka_unit_test(status_is_bounded),
        cmocka_unit_test(next_by_stage),
        cmocka_unit_test(next_by_state),
        cmocka_unit_test(bodies),
        cmocka_unit_test(places),
        cmocka_unit_test(places_that_are_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
