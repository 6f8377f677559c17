/* Every role x every call x every kind x every flag against a table written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <api/roles.h>
#include <base/cleanup.h>
#include <cluster/codec.h>

#define NOBODY   API_ROLE_NONE
#define VIEWER   API_ROLE_VIEWER
#define OPERATOR API_ROLE_OPERATOR
#define ADMIN    API_ROLE_ADMIN

static const struct {
    enum api_call call;
    enum api_role least;
} calls[] = {
    {API_STATUS, VIEWER}, {API_WATCH, VIEWER},    {API_EXPLAIN, VIEWER},    {API_KEYS, VIEWER},
    {API_AUDIT, VIEWER},  {API_PAUSE, OPERATOR},  {API_RESUME, OPERATOR},   {API_THROTTLE, OPERATOR},
    {API_LOCK, OPERATOR}, {API_UNLOCK, OPERATOR}, {API_WITHDRAW, OPERATOR}, {API_ABORT, ADMIN},
    {API_REPAIR, ADMIN},
};

static const struct {
    int kind;
    enum api_role least;
} starts[] = {
    {OP_PREPARE, OPERATOR}, {OP_ROTATE, OPERATOR},  {OP_REENCRYPT, OPERATOR}, {OP_ROTATE_KEYS, OPERATOR},
    {OP_ENABLE, OPERATOR},  {OP_RESTART, OPERATOR}, {OP_DISABLE, ADMIN},      {OP_RESTORE_KEY, ADMIN},
    {OP_ADOPT, ADMIN},      {OP_ABORT, ADMIN},      {OP_REPAIR, ADMIN},       {-1, ADMIN},
};

static void check(enum api_role role, const struct api_deed *d, enum api_role least)
{
    struct error err = ERROR_INIT;
    bool allowed = role != NOBODY && role >= least;
    assert_int_equal(api_role_check(role, d, &err), allowed ? 0 : ERR_DENIED);
    assert_true(allowed || *err.text);
}

/* Each flag, and each mixture of them, is an admin's. */
static void check_flags(enum api_role role, struct api_deed d, enum api_role least)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        d.force = bits & 1;
        d.skip = bits & 2;
        d.now = bits & 4;
        check(role, &d, bits ? ADMIN : least);
    }
}

static void every_call(void **state)
{
    (void)state;
    for (int role = NOBODY; role <= ADMIN; role++) {
        for (size_t i = 0; i < array_len(calls); i++)
            check_flags((enum api_role)role, (struct api_deed){.call = calls[i].call, .kind = -1},
                        calls[i].least);
        for (size_t i = 0; i < array_len(starts); i++)
            check_flags((enum api_role)role, (struct api_deed){.call = API_START, .kind = starts[i].kind},
                        starts[i].least);
    }
}

/* None was forgotten above: a new call has to be put into the test, too. */
static void every_call_is_in_the_table(void **state)
{
    (void)state;
    for (int call = 0; call < API_CALLS; call++) {
        bool found = call == API_START;
        for (size_t i = 0; i < array_len(calls); i++)
            found |= (int)calls[i].call == call;
        assert_true(found);
    }
    const struct api_deed unknown = {.call = (enum api_call)API_CALLS, .kind = -1};
    assert_int_equal(api_role_check(VIEWER, &unknown, NULL), ERR_DENIED);
    assert_int_equal(api_role_check(OPERATOR, &unknown, NULL), ERR_DENIED);
}

static struct config_api_role rule(const char *role, const char *subject, const char *san, const char *group)
{
    return (struct config_api_role){(char *)role, (char *)subject, (char *)san, (char *)group};
}

static enum api_role role_of(const struct config_api *c, const char *subject, const char *san,
                             const char *group)
{
    const struct api_caller caller = {.subject = subject,
                                      .groups = &group,
                                      .groups_count = group ? 1 : 0,
                                      .sans = &san,
                                      .sans_count = san ? 1 : 0};
    return api_role_of(c, &caller);
}

static void certificates(void **state)
{
    (void)state;
    struct config_api c = {.roles_count = 5};
    c.roles[0] = rule("viewer", "", "", "team");
    c.roles[1] = rule("operator", "O=team, CN=ci", "", "");
    c.roles[2] = rule("admin", "", "dns:boss.example.org", "");
    c.roles[3] = rule("viewer", "O=team, CN=ci", "", "");
    c.roles[4] = rule("king", "CN=king", "", "");
    assert_int_equal(role_of(&c, "CN=x", NULL, NULL), NOBODY);
    assert_int_equal(role_of(&c, "CN=x", NULL, "team"), VIEWER);
    assert_int_equal(role_of(&c, "O=team, CN=ci", NULL, "team"), OPERATOR); /* the highest of three */
    assert_int_equal(role_of(&c, "O=team, CN=ci", "dns:boss.example.org", "team"), ADMIN);
    assert_int_equal(role_of(&c, "CN=king", NULL, NULL), NOBODY); /* a role that there is not */
    /* Nothing but the whole text: no part, no other case, no other kind of name. */
    assert_int_equal(role_of(&c, "O=team, CN=ci2", NULL, NULL), NOBODY);
    assert_int_equal(role_of(&c, "CN=ci", NULL, NULL), NOBODY);
    assert_int_equal(role_of(&c, "o = team, cn = ci", NULL, NULL), NOBODY);
    assert_int_equal(role_of(&c, "CN=x", "uri:boss.example.org", NULL), NOBODY);
    assert_int_equal(role_of(&c, "CN=x", "dns:boss.example.org.evil", NULL), NOBODY);
    assert_int_equal(role_of(&c, "CN=team", NULL, NULL), NOBODY);
    assert_int_equal(role_of(&c, "", "", ""), NOBODY); /* empty names match no empty field */
}

static void nobody_without_a_rule(void **state)
{
    (void)state;
    struct config_api none = {0};
    const struct api_caller local = {.local = true, .subject = ""};
    assert_int_equal(role_of(&none, "CN=x", "dns:x", "x"), NOBODY);
    assert_int_equal(api_role_of(&none, &local), ADMIN);
    struct config_api empty = {.roles_count = 1};
    empty.roles[0] = rule("admin", "", "", "");
    assert_int_equal(role_of(&empty, "", "", ""), NOBODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call),
        cmocka_unit_test(every_call_is_in_the_table),
        cmocka_unit_test(certificates),
        cmocka_unit_test(nobody_without_a_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
