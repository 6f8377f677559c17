/* Every input of both tables: the safety rules hold whatever the rows' order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <agent/decide.h>
#include <base/cleanup.h>

#define ROWS_MAX 128

static const char *seen_rows[ROWS_MAX];
static size_t seen_count;

static void see(const char *id)
{
    for (size_t i = 0; i < seen_count; i++)
        if (strcmp(seen_rows[i], id) == 0)
            return;
    assert_true(seen_count < ROWS_MAX);
    seen_rows[seen_count++] = id;
}

static bool writes(enum order_kind k)
{
    return k == ORDER_APPLY || k == ORDER_WRITE || k == ORDER_REPAIR;
}

static void check_ends(const struct job_view *v, const struct job_row *r)
{
    bool ends = r->action == ACT_DONE || r->action == ACT_FAIL || r->action == ACT_REFUSE ||
                r->action == ACT_ADOPT || r->action == ACT_SEAL;
    if (ends)
        assert_int_equal(r->next, STEP_ENDED);
    if (r->action == ACT_DONE)
        assert_int_equal(r->state, ORDER_DONE);
    if (r->action == ACT_FAIL)
        assert_int_equal(r->state, ORDER_FAILED);
    if (r->action == ACT_REFUSE) {
        assert_int_equal(r->state, ORDER_REFUSED);
        assert_int_equal(v->step, STEP_TAKEN); /* refused means untouched */
    }
    if (!ends && r->action != ACT_WAIT)
        assert_int_not_equal(r->next, STEP_ENDED);
}

static void check_done(const struct job_view *v, const struct job_row *r)
{
    if (r->action != ACT_DONE)
        return;
    assert_int_equal(v->file, FILE_TARGET);
    if (v->step == STEP_WAITING || v->kind == ORDER_APPLY || v->kind == ORDER_RESTART ||
        v->kind == ORDER_REPAIR || v->kind == ORDER_FOLLOW)
        assert_true(v->loaded == LOADED_TARGET && v->ready);
    if (v->kind == ORDER_SYNC)
        assert_int_equal(v->loaded, LOADED_TARGET);
    assert_int_not_equal(v->step, STEP_UNDO);
    assert_int_not_equal(v->step, STEP_BACK);
}

static void check_touches(const struct job_view *v, const struct job_row *r)
{
    switch (r->action) {
    case ACT_WRITE:
        assert_true(v->step == STEP_TAKEN && writes(v->kind) && v->text == TEXT_HAVE);
        assert_true(v->file != FILE_TARGET && (v->file != FILE_FOREIGN || v->kind == ORDER_REPAIR));
        break;
    case ACT_RESTART:
        assert_int_equal(v->restart, RESTART_NONE);
        assert_true((v->step == STEP_WAITING && (v->file == FILE_TARGET || v->kind == ORDER_FOLLOW)) ||
                    (v->step == STEP_BACK && v->file == FILE_PREVIOUS));
        break;
    case ACT_PUT_BACK:
        assert_true(v->step == STEP_UNDO && v->can_undo && v->file == FILE_TARGET);
        break;
    case ACT_ADOPT:
        assert_true(v->kind == ORDER_ADOPT && v->step == STEP_TAKEN && v->file != FILE_BROKEN);
        break;
    case ACT_UNDO:
        assert_true(v->step == STEP_WAITING && v->can_undo);
        break;
    case ACT_CALL:
        assert_true(v->step == STEP_CALLING && v->restart == RESTART_NONE);
        break;
    case ACT_SEAL: /* only what the server has made, once it says so */
        assert_true(v->step == STEP_CALLING && v->restart == RESTART_OK && v->file != FILE_BROKEN);
        break;
    case ACT_AGAIN:
        assert_true(v->kind == ORDER_FOLLOW && v->step == STEP_WAITING && v->restart >= RESTART_OK &&
                    v->again);
        break;
    default:
        break;
    }
}

/* Nothing waits for ever, except for the operator. */
static void check_waits(const struct job_view *v, const struct job_row *r)
{
    bool local = v->step == STEP_WAITING || v->step == STEP_BACK || v->step == STEP_UNDO;
    if (v->step == STEP_CALLING)
        assert_true((r->action == ACT_WAIT) == (v->restart == RESTART_RUNNING));
    if (local && v->restart != RESTART_RUNNING && v->late)
        assert_int_not_equal(r->action, ACT_WAIT);
    if (v->step == STEP_TAKEN && v->kind != ORDER_SYNC)
        assert_int_not_equal(r->action, ACT_WAIT);
    if ((v->step == STEP_WAITING || v->step == STEP_BACK) && v->restart == RESTART_RUNNING)
        assert_int_equal(r->action, ACT_WAIT);
    if (v->step == STEP_NONE || v->step == STEP_ENDED)
        assert_int_equal(r->action, ACT_WAIT);
}

static void check_job(const struct job_view *v)
{
    const struct job_row *r = decide_job(v);
    assert_non_null(r);
    assert_non_null(r->why);
    see(r->id);
    check_ends(v, r);
    check_done(v, r);
    check_touches(v, r);
    check_waits(v, r);
}

static void vary_rest(struct job_view v)
{
    for (int restart = RESTART_NONE; restart <= RESTART_FAILED; restart++)
        for (int bits = 0; bits < 16; bits++) {
            v.restart = (enum restart_view)restart;
            v.ready = bits & 1;
            v.late = bits & 2;
            v.can_undo = bits & 4;
            v.again = bits & 8;
            check_job(&v);
        }
}

static void vary_file(struct job_view v)
{
    for (int text = TEXT_NONE; text <= TEXT_BAD; text++)
        for (int file = FILE_TARGET; file <= FILE_BROKEN; file++)
            for (int loaded = LOADED_UNKNOWN; loaded <= LOADED_OTHER; loaded++) {
                v.text = (enum text_view)text;
                v.file = (enum file_view)file;
                v.loaded = (enum loaded_view)loaded;
                vary_rest(v);
            }
}

static void test_every_job(void **state)
{
    (void)state;
    for (int kind = ORDER_ADOPT; kind <= ORDER_FOLLOW; kind++)
        for (int step = STEP_NONE; step <= STEP_ENDED; step++)
            vary_file((struct job_view){.kind = (enum order_kind)kind, .step = (enum job_step)step});
    /* No row is shadowed by the ones before it. */
    assert_int_equal(seen_count, 49);
}

/* A file that is written anew while the server starts is looked at when that is ready, or late. */
static void test_restart_of_a_server_that_writes_its_file(void **state)
{
    (void)state;
    struct job_view v = {.kind = ORDER_RESTART,
                         .step = STEP_WAITING,
                         .file = FILE_BROKEN,
                         .loaded = LOADED_TARGET,
                         .restart = RESTART_OK};
    assert_int_equal(decide_job(&v)->action, ACT_WAIT);
    v.ready = true;
    assert_int_equal(decide_job(&v)->action, ACT_FAIL);
    v.file = FILE_TARGET;
    assert_int_equal(decide_job(&v)->action, ACT_DONE);
    v.ready = false;
    v.file = FILE_FOREIGN;
    v.late = true;
    assert_int_equal(decide_job(&v)->action, ACT_FAIL);
    v.late = false;
    v.kind = ORDER_APPLY; /* who wrote a file knows what has to stand there */
    assert_int_equal(decide_job(&v)->action, ACT_FAIL);
}

static void check_verdict(const struct order_view *v)
{
    const struct verdict_row *r = decide_order(v);
    bool any_generation = v->kind == ORDER_RESTART || v->kind == ORDER_REPAIR || v->kind == ORDER_FOLLOW;
    see(r->id);
    if (v->id == EQUAL && v->same) {
        assert_int_equal(r->verdict, VERDICT_SAME);
        return;
    }
    if (v->forgotten) {
        assert_int_equal(r->verdict, VERDICT_REFUSE);
        return;
    }
    if (v->busy) {
        assert_int_equal(r->verdict, VERDICT_LATER);
        return;
    }
    bool fresh = v->fence != LOWER && v->id == HIGHER && (any_generation || v->generation != LOWER);
    assert_int_equal(r->verdict, fresh ? VERDICT_TAKE : VERDICT_REFUSE);
    if (!fresh)
        assert_non_null(r->why);
}

static void test_every_order(void **state)
{
    (void)state;
    seen_count = 0;
    for (int i = 0; i < 3 * 3 * 3; i++)
        for (int kind = ORDER_ADOPT; kind <= ORDER_FOLLOW; kind++)
            for (int bits = 0; bits < 8; bits++) {
                struct order_view v = {
                    .fence = (enum relation)(i % 3),
                    .id = (enum relation)(i / 3 % 3),
                    .generation = (enum relation)(i / 9),
                    .kind = (enum order_kind)kind,
                    .same = bits & 1,
                    .busy = bits & 2,
                    .forgotten = bits & 4,
                };
                check_verdict(&v);
            }
    assert_int_equal(seen_count, 8);
}

/* A repair is what an order to apply is, but for the file that nobody issued. */
static void test_repair(void **state)
{
    (void)state;
    struct job_view v = {.kind = ORDER_REPAIR, .step = STEP_TAKEN, .text = TEXT_HAVE, .file = FILE_FOREIGN};
    assert_int_equal(decide_job(&v)->action, ACT_WRITE);
    v.file = FILE_BROKEN;
    assert_int_equal(decide_job(&v)->action, ACT_WRITE);
    v.text = TEXT_NONE;
    assert_int_equal(decide_job(&v)->action, ACT_FETCH);
    v.file = FILE_TARGET;
    assert_int_equal(decide_job(&v)->action, ACT_BEGIN);
    v.loaded = LOADED_TARGET;
    v.ready = true;
    assert_int_equal(decide_job(&v)->action, ACT_DONE);
}

static void test_dump(void **state)
{
    (void)state;
    static char committed[65536];
    struct buf now = BUF_INIT(sizeof(committed));
    assert_int_equal(agent_tables_dump(&now, NULL), 0);
    FILE *f = fopen(TEST_SOURCE_DIR "/golden/agent-tables.txt", "re");
    assert_non_null(f);
    committed[fread(committed, 1, sizeof(committed) - 1, f)] = 0;
    fclose(f);
    if (strcmp(buf_str(&now), committed) != 0) {
        fputs(buf_str(&now), stdout); /* print_message cuts it */
        fail_msg("tests/golden/agent-tables.txt is not the tables: commit the text above");
    }
    buf_free(&now);
    struct buf small = BUF_INIT(100);
    assert_true(agent_tables_dump(&small, NULL) < 0);
    buf_free(&small);
}

static void test_words(void **state)
{
    (void)state;
    for (int s = STEP_NONE; s <= STEP_ENDED; s++)
        assert_int_equal(job_step_parse(job_step_name((enum job_step)s)), s);
    assert_int_equal(job_step_parse("running"), -1);
    assert_null(job_step_name((enum job_step)99));
    assert_string_equal(job_action_name(ACT_PUT_BACK), "put-back");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart_of_a_server_that_writes_its_file),
        cmocka_unit_test(test_every_job),
        cmocka_unit_test(test_every_order),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
