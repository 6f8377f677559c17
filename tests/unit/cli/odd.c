/* Which servers are the odd ones out; and the texts of `diff` against tests/golden/diff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <report/diff.h>
#include <report/exits.h>
#include <report/odd.h>

#include "fixture.h"

#define LAYOUT(second) "e\nr secrets\np aescbc\nk 0000000000000001 new\nk " second " old\np identity\n"
#define RIGHT          LAYOUT("0000000000000002")
#define WRONG          LAYOUT("00000000000000ff")

static struct odd_verdict odd;

static struct cluster_snapshot *cluster(int count)
{
    struct cluster_snapshot *s = fixture_cluster(count, "s");
    for (int i = 0; i < count; i++)
        fixture_layout(s, i, RIGHT);
    return s;
}

/* Nothing was taken over yet. */
static struct cluster_snapshot *fresh_cluster(int count)
{
    struct cluster_snapshot *s = cluster(count);
    s->bundles_count = 0;
    memset(&s->rotation, 0, sizeof(s->rotation));
    for (int i = 0; i < count; i++)
        s->servers[i].report.generation = 0;
    return s;
}

static void expect(const struct cluster_snapshot *s, const char *kinds)
{
    char got[128] = "";
    odd_find(s, &odd);
    for (size_t i = 0; i < s->servers_count; i++) {
        size_t len = strlen(got);
        snprintf(got + len, sizeof(got) - len, "%s%s", i ? " " : "", odd_name(odd.servers[i].kind));
        assert_true((odd.servers[i].kind == ODD_NO) == (odd.servers[i].why[0] == 0));
        bool told = odd.servers[i].kind == ODD_DRIFT || odd.servers[i].kind == ODD_NOT_ISSUED ||
                    odd.servers[i].kind == ODD_NEWER;
        assert_true(odd_drifted(s, &s->servers[i]) == told);
    }
    assert_string_equal(got, kinds);
}

static void all_are_well(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(3);
    expect(s, "no no no");
    assert_int_equal(odd.odd, 0);
    assert_int_equal(odd.with, 3);
    assert_true(odd.issued);
}

static void a_file_that_somebody_changed(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(3);
    fixture_foreign(s, 2, WRONG);
    expect(s, "no no drift");
    assert_int_equal(odd.odd, 1);
    assert_string_equal(odd.servers[2].why, "aescbc key 2 (old) is another key than on s1, s2 and as issued");
}

/* What was issued counts, not what most have. */
static void a_majority_that_was_changed(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(3);
    fixture_foreign(s, 0, WRONG);
    fixture_foreign(s, 1, WRONG);
    expect(s, "drift drift no");
    assert_string_equal(odd.servers[0].why, "aescbc key 2 (old) is another key than on s3 and as issued");
    fixture_foreign(s, 2, WRONG);
    expect(s, "drift drift drift");
    assert_null(odd.model);
    assert_non_null(strstr(odd.servers[0].why, "no server has that one"));
    /* The leader, who can open what was issued, has found more; of another file that says nothing. */
    s->drift.servers_count = 1;
    text_copy(s->drift.servers[0].server, CLUSTER_NAME_MAX, "s1");
    text_copy(s->drift.servers[0].what, CLUSTER_TEXT_MAX, "aescbc key 2 (old) is another key than as issued");
    text_copy(s->drift.servers[0].hash, CLUSTER_HASH_MAX, NEW_HASH);
    odd_find(s, &odd);
    assert_non_null(strstr(odd.servers[0].why, "no server has that one"));
    text_copy(s->drift.servers[0].hash, CLUSTER_HASH_MAX, FOREIGN_HASH);
    odd_find(s, &odd);
    assert_string_equal(odd.servers[0].why, "aescbc key 2 (old) is another key than as issued");
    assert_non_null(strstr(odd.servers[1].why, "no server has that one"));
}

/* While a phase brings another config, both are right; so is what a halted one had begun to bring. */
static void both_are_right_during_a_phase(void **state)
{
    (void)state;
    static const enum operation_state states[] = {OP_STATE_RUNNING, OP_STATE_PAUSED, OP_STATE_HALTED};
    _cleanup_free_ struct cluster_snapshot *s = cluster(3);
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_PROMOTE, STAGE_ROTATE);
    fixture_at_target(s, 0);
    for (size_t i = 0; i < array_len(states); i++) {
        s->rotation.op.state = states[i];
        expect(s, "no no no");
    }
    fixture_foreign(s, 2, WRONG);
    expect(s, "no no drift");
    assert_string_equal(odd.servers[2].why, "aescbc key 2 (old) is another key than on s2 and as issued");
    s->rotation.op.state = OP_STATE_FINISHED; /* without what it brought: s1 has what is not due now */
    expect(s, "not-issued no drift");
}

static void an_older_generation(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(3);
    s->bundles_count = 2;
    s->bundles[1].generation = 2;
    text_copy(s->bundles[1].hash, CLUSTER_HASH_MAX, NEW_HASH);
    text_copy(s->rotation.hash, CLUSTER_HASH_MAX, NEW_HASH);
    s->rotation.generation = 2;
    for (int i = 0; i < 2; i++)
        text_copy(s->servers[i].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    expect(s, "no no not-issued");
}

/* The state store was restored from a backup: what the servers have was issued, and it does not know of it.
 */
static void a_store_of_before(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(3);
    for (int i = 0; i < 3; i++) {
        fixture_foreign(s, i, WRONG);
        s->servers[i].report.generation = 3;
    }
    expect(s, "newer newer newer");
    assert_string_equal(odd.servers[0].why,
                        "it has generation 3, and the state store knows of none after 1: the state store was "
                        "restored from an older backup, or put back");
    s->servers[2].report.generation = 0; /* an agent that has lost its memory */
    expect(s, "newer newer drift");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_PROMOTE, STAGE_ROTATE);
    s->rotation.op.target = 3; /* made by a server, and not noted yet */
    expect(s, "drift drift drift");
}

/* The state store was lost, or is another one: what the servers have was issued, and it knows of nothing. */
static void a_store_that_was_lost(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fresh_cluster(3);
    for (int i = 0; i < 2; i++)
        s->servers[i].report.generation = 4;
    expect(s, "newer newer no"); /* the third one's agent has lost its memory */
    assert_string_equal(odd.servers[1].why,
                        "it has generation 4, and the state store knows of none: the state "
                        "store has lost its records");
    fixture_operation(s, OP_ADOPT, PHASE_ADOPT, STAGE_START);
    s->rotation.op.target = s->rotation.issued = 1;
    expect(s, "newer newer no");
    s->servers[0].report.generation = s->servers[1].report.generation = 1; /* the first day */
    expect(s, "no no no");
}

static void before_anything_was_issued(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fresh_cluster(3);
    expect(s, "no no no");
    fixture_foreign(s, 1, WRONG);
    expect(s, "no minority no");
    assert_string_equal(odd.servers[1].why, "aescbc key 2 (old) is another key than on s1, s3");
    _cleanup_free_ struct cluster_snapshot *two = fresh_cluster(2);
    fixture_foreign(two, 1, WRONG);
    expect(two, "tie tie");
    assert_string_equal(odd.servers[1].why, "1 of 2 differ: no majority; this file is on s2");
    _cleanup_free_ struct cluster_snapshot *four = fresh_cluster(4);
    fixture_foreign(four, 1, WRONG);
    fixture_foreign(four, 2, WRONG);
    expect(four, "tie tie tie tie");
    assert_string_equal(odd.servers[0].why, "2 of 4 differ: no majority; this file is on s1, s4");
}

/* Each is named with what is its own, and a pair is not all that is looked at. */
static void two_of_five(void **state)
{
    (void)state;
    for (int n = 0; n < 2; n++) {
        _cleanup_free_ struct cluster_snapshot *s = n ? fresh_cluster(5) : cluster(5);
        fixture_foreign(s, 1, WRONG);
        fixture_foreign(s, 4, "e\nr secrets\np aescbc\nk 0000000000000001 new\np identity\n");
        text_copy(s->servers[4].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
        expect(s, n ? "no minority no no minority" : "no drift no no drift");
        assert_non_null(strstr(odd.servers[1].why, "aescbc key 2 (old) is another key than on s1, s3, s4"));
        assert_non_null(
            strstr(odd.servers[4].why, "aescbc key old is missing, which is number 2 on s1, s3, s4"));
        s->servers[0].reports = false; /* two of the four that are left */
        expect(s, n ? "silent tie tie tie tie" : "silent drift no no drift");
        assert_int_equal(odd.silent, 1);
        assert_int_equal(odd.odd, n ? 4 : 2);
    }
}

static void who_does_not_count(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(5);
    s->servers[1].reports = false;
    text_copy(s->servers[1].report_why, CLUSTER_TEXT_MAX, "silent: its agent publishes nothing");
    s->spec.servers[2].role = ROLE_ETCD;
    fixture_foreign(s, 2, WRONG);
    s->servers[4].in_spec = false;
    s->spec.servers_count = 4;
    fixture_foreign(s, 4, WRONG);
    expect(s, "no silent no no no");
    assert_int_equal(odd.odd, 0);
    assert_int_equal(odd.silent, 1);
}

static void a_file_that_is_gone(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(3);
    s->servers[0].report.hash[0] = 0;
    text_copy(s->servers[0].report.file_why, CLUSTER_TEXT_MAX, "/etc/enc.json: No such file or directory");
    expect(s, "drift no no");
    assert_string_equal(odd.servers[0].why,
                        "no file to compare: s1: /etc/enc.json: No such file or directory");
}

/* Where there are many, how many is said. */
static void many_servers(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = cluster(9);
    fixture_foreign(s, 8, WRONG);
    odd_find(s, &odd);
    assert_string_equal(odd.servers[8].why,
                        "aescbc key 2 (old) is another key than on 8 other servers and as issued");
}

/* ---------- diff ---------- */

static struct cluster_snapshot *case_same(void)
{
    return cluster(3);
}

/* s2 was formatted anew, s3's second key is another one, and it is in front. */
static struct cluster_snapshot *case_drift(void)
{
    struct cluster_snapshot *s = cluster(4);
    fixture_foreign(s, 1, RIGHT);
    text_copy(s->servers[1].report.config_id, CLUSTER_HASH_MAX, OLD_ID);
    fixture_foreign(s, 2,
                    "e\nr secrets\np identity\np aescbc\nk 00000000000000ff old\nk 0000000000000001 new\n");
    text_copy(s->servers[2].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    s->servers[3].reports = false;
    text_copy(s->servers[3].report_why, CLUSTER_TEXT_MAX, "silent: its agent publishes nothing");
    return s;
}

/* The one server there is. */
static struct cluster_snapshot *case_nobody(void)
{
    struct cluster_snapshot *s = cluster(1);
    fixture_foreign(s, 0, WRONG);
    s->drift.servers_count = 1;
    text_copy(s->drift.servers[0].server, CLUSTER_NAME_MAX, "s1");
    text_copy(s->drift.servers[0].what, CLUSTER_TEXT_MAX, "aescbc key 2 (old) is another key than as issued");
    text_copy(s->drift.servers[0].hash, CLUSTER_HASH_MAX, FOREIGN_HASH);
    return s;
}

static struct cluster_snapshot *case_tie(void)
{
    struct cluster_snapshot *s = fresh_cluster(2);
    fixture_foreign(s, 1, "e\nr secrets\np aescbc\nk 0000000000000001 new\np identity\n");
    return s;
}

static struct cluster_snapshot *case_phase(void)
{
    struct cluster_snapshot *s = cluster(3);
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_PROMOTE, STAGE_ROTATE);
    fixture_at_target(s, 0);
    fixture_layout(s, 0,
                   "e\nr secrets\np aescbc\nk 0000000000000002 old\nk 0000000000000001 new\np identity\n");
    return s;
}

static void diff_goldens(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cluster_snapshot *(*make)(void);
        struct diff_ask ask;
        int code;
    } cases[] = {
        {"same", case_same, {NULL, NULL}, EXIT_DONE},
        {"drift", case_drift, {NULL, NULL}, EXIT_MISMATCH},
        {"two-servers", case_drift, {"s2", "s3"}, EXIT_MISMATCH},
        {"two-same", case_same, {"s2", "s3"}, EXIT_DONE},
        {"silent", case_drift, {"s1", "s4"}, EXIT_SERVER},
        {"silent-reference", case_drift, {"s4", "s1"}, EXIT_SERVER},
        {"nobody", case_nobody, {NULL, NULL}, EXIT_MISMATCH},
        {"tie", case_tie, {NULL, NULL}, EXIT_MISMATCH},
        {"phase", case_phase, {NULL, NULL}, EXIT_MISMATCH},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_free_ struct cluster_snapshot *s = cases[i].make();
        _cleanup_(buf_freep) struct buf text = BUF_INIT(65536), json = BUF_INIT(65536);
        char why[CLUSTER_TEXT_MAX], name[64];
        assert_int_equal(render_diff_text(s, &cases[i].ask, &text, NULL), 0);
        assert_int_equal(render_diff_json(s, &cases[i].ask, &json, NULL), 0);
        snprintf(name, sizeof(name), "diff/%s.txt", cases[i].name);
        fixture_compare(name, &text);
        snprintf(name, sizeof(name), "diff/%s.json", cases[i].name);
        fixture_compare(name, &json);
        assert_int_equal(diff_code(s, &cases[i].ask, why), cases[i].code);
        assert_true((cases[i].code == EXIT_DONE) == (why[0] == 0));
    }
}

static void diff_of_nobody(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = case_same();
    struct error err = ERROR_INIT;
    assert_int_equal(diff_check(s, &(struct diff_ask){"s1", "s9"}, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "s9: no server of that name"));
    assert_int_equal(diff_check(s, &(struct diff_ask){"s1", "s2"}, NULL), 0);
    for (int i = 0; i < 3; i++)
        s->servers[i].reports = false;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(65536);
    assert_int_equal(render_diff_text(s, &(struct diff_ask){NULL, NULL}, &text, NULL), 0);
    assert_non_null(strstr(buf_str(&text), "No server reports what it has\n"));
    char why[CLUSTER_TEXT_MAX];
    assert_int_equal(diff_code(s, &(struct diff_ask){"s1", "s1"}, why), EXIT_SERVER);
    assert_non_null(strstr(why, "1 server reports nothing"));
    s->servers_count = s->spec.servers_count = 0; /* nobody has said yet which servers there are */
    assert_int_equal(diff_code(s, &(struct diff_ask){NULL, NULL}, why), EXIT_SERVER);
    assert_non_null(strstr(why, "no server reports what it has"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_well),
        cmocka_unit_test(a_file_that_somebody_changed),
        cmocka_unit_test(a_majority_that_was_changed),
        cmocka_unit_test(both_are_right_during_a_phase),
        cmocka_unit_test(an_older_generation),
        cmocka_unit_test(a_store_of_before),
        cmocka_unit_test(a_store_that_was_lost),
        cmocka_unit_test(before_anything_was_issued),
        cmocka_unit_test(two_of_five),
        cmocka_unit_test(who_does_not_count),
        cmocka_unit_test(a_file_that_is_gone),
        cmocka_unit_test(many_servers),
        cmocka_unit_test(diff_goldens),
        cmocka_unit_test(diff_of_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
