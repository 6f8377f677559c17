/* Servers that make their encryption configs themselves, with split roles (K3s, RKE2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

#include "owned_world.h"

#define ONE_MEMBER ((const enum server_role[]){ROLE_ETCD, ROLE_CONTROL_PLANE, ROLE_CONTROL_PLANE})

/* S1 is a member of etcd alone, S2 was asked and has sealed what it made; S1 is told to follow. */
static void s2_has_made_one(struct world *w, char before[CLUSTER_HASH_MAX])
{
    owned_open_roles(w, 3, ONE_MEMBER);
    memcpy(before, w->s->rotation.hash, CLUSTER_HASH_MAX);
    world_request(w, OP_ROTATE_KEYS, false, false, true);
    world_until(w, PHASE_APPEND, ACTION_ORDER);
    world_obey(w, 1);
    world_until(w, PHASE_APPEND, ACTION_ORDER);
}

/* Split roles: an API server's is asked, and the members of etcd are restarted before those that read it. */
static void roles_split(void **state)
{
    (void)state;
    static const struct {
        enum server_role roles[4];
        const char *lines[6];
    } cases[] = {
        {{ROLE_ETCD, ROLE_CONTROL_PLANE, ROLE_CONTROL_PLANE, ROLE_ALL},
         {"issue 2 append", "order s2 call 2", "order s1 follow 2", "order s2 follow 2", "order s3 follow 2",
          "order s4 follow 2"}},
        {{ROLE_CONTROL_PLANE, ROLE_ETCD, ROLE_CONTROL_PLANE, ROLE_ETCD},
         {"issue 2 append", "order s1 call 2", "order s2 follow 2", "order s4 follow 2", "order s1 follow 2",
          "order s3 follow 2"}},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct world w;
        owned_open_roles(&w, 4, cases[i].roles);
        world_request(&w, OP_ROTATE_KEYS, false, false, true);
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        owned_assert_log(&w, cases[i].lines, array_len(cases[i].lines));
        assert_true(world_all_have(&w, w.s->rotation.hash));
        world_free(&w);
    }
}

/* K3s does not look at it, and nothing starts all the same while it has another file. */
static void etcd_only_with_another_file(void **state)
{
    (void)state;
    struct world w;
    owned_open_roles(&w, 3, ONE_MEMBER);
    owned_set_file(&w, 0, "by-hand");
    world_ask(&w, OP_PREPARE, false, "", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_non_null(strstr(w.last.why, "hash does not match between s2 and s1"));
    world_free(&w);
}

/* The member of etcd was restarted and the file is gone with the server that made it: never handed on. */
static void lost_with_roles_split(void **state)
{
    (void)state;
    struct world w;
    char before[CLUSTER_HASH_MAX];
    s2_has_made_one(&w, before);
    assert_int_equal(owned_server(&w, 0)->order.kind, ORDER_FOLLOW);
    owned_set_file(&w, 1, before);
    owned_server(&w, 1)->report.stage = STAGE_START;
    owned_server(&w, 1)->report.generation = 1;
    world_wait(&w, 2);
    assert_string_equal(w.last.row, "order-in-flight");
    world_fail(&w, 0, "the server keeps coming back with another encryption config than the first server's");
    world_step(&w);
    assert_string_equal(w.last.row, "order-failed");
    world_ask(&w, OP_RESUME, false, "", "");
    world_step(&w);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ISSUE);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* Made and sealed, but not handed to the datastore: the member of etcd comes back with the config from
 * before, however often. So the server that made it is restarted, loses it, and is asked for another. */
static void not_saved_with_roles_split(void **state)
{
    (void)state;
    static const char stays[] = "the server keeps coming back with another encryption config";
    struct world w;
    char before[CLUSTER_HASH_MAX];
    s2_has_made_one(&w, before);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(owned_server(&w, i)->order.kind, ORDER_FOLLOW);
        owned_set_file(&w, i, before);
        owned_server(&w, i)->report.stage = STAGE_START;
        owned_server(&w, i)->report.generation = 1;
        world_fail(&w, i, stays);
        world_step(&w);
        assert_string_equal(w.last.row, "order-failed");
        world_ask(&w, OP_RESUME, false, "", "");
        world_step(&w);
        world_step(&w);
    }
    assert_int_equal(w.last.action, ACTION_ISSUE);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* It had followed, and has the config from before again, as the others: somebody is to look at that. */
static void undone_with_roles_split(void **state)
{
    (void)state;
    struct world w;
    char before[CLUSTER_HASH_MAX];
    s2_has_made_one(&w, before);
    world_obey(&w, 0);
    owned_set_file(&w, 0, before);
    owned_set_loaded(&w, 0, before);
    owned_set_file(&w, 1, before);
    world_step(&w);
    assert_string_equal(w.last.row, "undone");
    assert_string_equal(w.last.on, "s1");
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_split),
        cmocka_unit_test(etcd_only_with_another_file),
        cmocka_unit_test(lost_with_roles_split),
        cmocka_unit_test(not_saved_with_roles_split),
        cmocka_unit_test(undone_with_roles_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
