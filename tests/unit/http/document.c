/* The page's document: what is in it, and that it stays one line whatever names are like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <http/document.h>
#include <json/json.h>

#include "fixture.h"

static struct json *render(const struct document_input *in)
{
    struct buf out = BUF_INIT(4 * 1024 * 1024);
    struct error err = ERROR_INIT;
    struct json *root = NULL;
    if (document_render(in, &out, &err) < 0)
        fail_msg("%s", err.text);
    assert_ptr_equal(strchr(buf_str(&out), '\n'), buf_str(&out) + out.len - 1);
    assert_int_equal(json_parse(buf_str(&out), out.len, "the document", &root, &err), 0);
    buf_free(&out);
    return root;
}

static struct json *render_snapshot(const struct cluster_snapshot *s)
{
    const struct document_input in = {
        .snapshot = s, .cluster = "demo", .server = "s2", .stale_why = "", .audit_why = ""};
    return render(&in);
}

static const char *text_of(const struct json *o, const char *key)
{
    return json_string(json_get(o, key), "?");
}

static void servers_in_order(void **state)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    (void)state;
    text_copy(s->rotation.hash, CLUSTER_HASH_MAX, OLD_HASH);
    text_copy(s->servers[2].report.hash, CLUSTER_HASH_MAX,
              "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff");
    _cleanup_(json_freep) struct json *root = render_snapshot(s);
    const struct json *v = json_first(json_get(root, "servers"));
    assert_string_equal(text_of(v, "name"), "s1");
    assert_string_equal(text_of(v, "odd"), "");
    assert_string_equal(text_of(v, "hash"), s->servers[0].report.hash);
    v = json_next(json_next(v));
    assert_string_equal(text_of(v, "name"), "s3");
    assert_string_equal(text_of(v, "odd"), "drift");
    assert_non_null(strstr(text_of(v, "oddwhy"), "issued"));
    assert_false(json_bool(json_get(root, "match"), true));
    assert_string_equal(text_of(root, "server"), "s2");
    assert_string_equal(text_of(root, "kind"), "page");
    free(s);
}

static void assert_odd(const struct cluster_snapshot *s, const char *const *expected)
{
    _cleanup_(json_freep) struct json *root = render_snapshot(s);
    for (const struct json *v = json_first(json_get(root, "servers")); v; v = json_next(v))
        assert_string_equal(text_of(v, "odd"), *expected++);
}

/* Without a generation the majority counts; a half each is a tie; who is silent is not compared. */
static void odd_ones(void **state)
{
    struct cluster_snapshot *s = fixture_cluster(4, "s");
    (void)state;
    s->rotation.generation = 0;
    text_copy(s->servers[1].report.hash, CLUSTER_HASH_MAX, "aa");
    assert_odd(s, (const char *const[]){"", "minority", "", ""});
    text_copy(s->servers[2].report.hash, CLUSTER_HASH_MAX, "aa");
    assert_odd(s, (const char *const[]){"tie", "tie", "tie", "tie"});
    s->servers[1].reports = false;
    assert_odd(s, (const char *const[]){"", "", "minority", ""});
    free(s);
}

static const char *timeline_state(const struct json *root, const char *phase)
{
    const struct json *timeline = json_get(json_get(root, "operation"), "timeline");
    for (const struct json *p = json_first(timeline); p; p = json_next(p))
        if (strcmp(text_of(p, "phase"), phase) == 0)
            return text_of(p, "state");
    return "not there";
}

static void timeline(void **state)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    (void)state;
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_REWRITE, STAGE_ROTATE);
    s->rotation.op.state = OP_STATE_RUNNING;
    s->has_reencrypt = true;
    s->reencrypt = (struct cluster_reencrypt){
        .state = REENCRYPT_RUNNING, .done = 1000, .total = 5000, .rate = 800, .started_ms = 1};
    struct json *root = render_snapshot(s);
    assert_string_equal(timeline_state(root, phase_name(PHASE_APPEND)), "done");
    assert_string_equal(timeline_state(root, phase_name(PHASE_REWRITE)), "now");
    assert_string_equal(timeline_state(root, phase_name(PHASE_DROP)), "next");
    assert_int_equal(json_int(json_get(json_get(root, "reencrypt"), "left"), -1), 5000);
    assert_memory_equal(text_of(json_get(root, "operation"), "doing"), "until every ", 12);
    json_free(root);
    s->rotation.op.state = OP_STATE_HALTED;
    s->rotation.op.phase = PHASE_BRING_BACK;
    s->rotation.op.skip = true;
    root = render_snapshot(s);
    assert_string_equal(timeline_state(root, phase_name(PHASE_BRING_BACK)), "halted");
    assert_string_equal(timeline_state(root, phase_name(PHASE_REWRITE)), "next");
    assert_string_equal(timeline_state(root, phase_name(PHASE_DROP)), "not there");
    json_free(root);
    s->rotation.op.state = OP_STATE_FINISHED;
    s->rotation.op.phase = PHASE_DONE;
    root = render_snapshot(s);
    assert_string_equal(timeline_state(root, phase_name(PHASE_REWRITE)), "done");
    json_free(root);
    free(s);
}

static void odd_names(void **state)
{
    static const char nasty[] = "<img src=x onerror=alert(1)>\"'\n\xff";
    struct cluster_snapshot *s = fixture_cluster(1, "s");
    struct store_audit_entry entries[2] = {{.authentic = true}, {.authentic = false}};
    (void)state;
    text_copy(s->servers[0].name, CLUSTER_NAME_MAX, nasty);
    text_copy(entries[0].entry.what, CLUSTER_TEXT_MAX, nasty);
    text_copy(entries[1].entry.why, CLUSTER_TEXT_MAX, "forged");
    text_copy(entries[1].entry.who, CLUSTER_WHO_MAX, "not to be shown");
    const struct document_input in = {.snapshot = s,
                                      .cluster = "demo",
                                      .server = "s1",
                                      .stale_why = "away",
                                      .audit = entries,
                                      .audit_count = 2,
                                      .audit_why = ""};
    _cleanup_(json_freep) struct json *root = render(&in);
    assert_string_equal(text_of(json_first(json_get(root, "servers")), "name"),
                        "<img src=x onerror=alert(1)>\"'\n\xef\xbf\xbd");
    assert_string_equal(text_of(root, "stale"), "away");
    const struct json *e = json_next(json_first(json_get(root, "audit")));
    assert_false(json_bool(json_get(e, "authentic"), true));
    assert_string_equal(text_of(e, "who"), "?");
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_in_order),
        cmocka_unit_test(odd_ones),
        cmocka_unit_test(timeline),
        cmocka_unit_test(odd_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
