#include "house.h"

static void refused(struct house *h, const char *address, int code, const char *why)
{
    struct error err = ERROR_INIT;
    struct door *d = NULL;
    struct door_options o = {.tcp = {address}, .tcp_count = 1, .files = {h->cert, h->key, h->ca}};
    int rc = door_new(&o, &d, &err);
    if (rc != code || !strstr(err.text, why))
        fail_msg("%s: wanted \"%s\", got %s: %s", address, why, error_code_name(rc), err.text);
    assert_null(d);
}

static void what_is_no_address(void **state)
{
    static const char *const bad[] = {"",       "7443",         ":7443",  "host",     "127.0.0.1:",
                                      "::1:74", "[::1]",        "[]:1",   "[::1:1",   "127.0.0.1:65536",
                                      "a:b",    "127.0.0.1:-1", "[a]]:1", "host:1x1", "1.2.3.4: 5"};
    for (size_t i = 0; i < array_len(bad); i++)
        refused(*state, bad[i], ERR_INVALID, "is no address to listen on");
}

static void one_that_is_taken(void **state)
{
    struct house *h = *state;
    char address[64];
    house_open(h, (struct door_limits){0});
    snprintf(address, sizeof(address), "127.0.0.1:%u", house_port(h));
    refused(h, address, ERR_CONFLICT, "another program does");
}

static void several_at_once(void **state)
{
    struct house *h = *state;
    struct error err = ERROR_INIT;
    struct door_options o = {.tcp = {"127.0.0.1:0", "[::1]:0"},
                             .tcp_count = 2,
                             .unix_path = h->unix_path,
                             .files = {h->cert, h->key, h->ca}};
    if (door_new(&o, &h->door, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(door_port(h->door, 0) > 0);
    assert_true(door_port(h->door, 1) > 0);
    assert_int_equal(door_port(h->door, 2), 0);
    assert_true(door_certificate_until_ms(h->door) > 0);
    o.tcp_count = DOOR_TCP_MAX + 1;
    struct door *d = NULL;
    assert_int_equal(door_new(&o, &d, &err), ERR_TOO_LARGE);
}

static void without_certificates(void **state)
{
    struct house *h = *state;
    snprintf(h->key, sizeof(h->key), "%s/none.key", h->dir);
    refused(h, "127.0.0.1:0", ERR_NOT_FOUND, "none.key");
    snprintf(h->key, sizeof(h->key), "%s/ci.key", h->dir);
    refused(h, "127.0.0.1:0", ERR_DENIED, "belongs to another certificate");
    snprintf(h->ca, sizeof(h->ca), "%s/ci.key", h->dir);
    snprintf(h->key, sizeof(h->key), "%s/server.key", h->dir);
    refused(h, "127.0.0.1:0", ERR_INVALID, "holds no certificate");
}

static int setup(void **state)
{
    *state = house_new();
    return 0;
}

static int teardown(void **state)
{
    house_free(*state);
    return 0;
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(what_is_no_address),
        test(one_that_is_taken),
        test(several_at_once),
        test(without_certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
