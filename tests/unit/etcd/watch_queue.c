#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

static struct etcd_event event(int64_t revision, size_t value_len)
{
    struct etcd_event ev = {.type = ETCD_EVENT_PUT, .revision = revision};
    ev.kv.key = strdup("k");
    ev.kv.key_len = 1;
    ev.kv.value = calloc(1, value_len + 1);
    ev.kv.value_len = value_len;
    return ev;
}

static void push(struct watch_queue *q, int64_t revision, size_t value_len)
{
    struct etcd_event ev = event(revision, value_len);
    queue_push(q, &ev);
    assert_null(ev.kv.key); /* taken over */
}

static void pop(struct watch_queue *q, enum etcd_event_type type, int64_t revision)
{
    struct etcd_event ev;
    assert_true(queue_pop(q, &ev));
    assert_int_equal(ev.type, type);
    assert_int_equal(ev.revision, revision);
    etcd_event_free(&ev);
}

static void first_in_first_out(void **state)
{
    (void)state;
    struct watch_queue q;
    struct etcd_event ev;
    queue_init(&q);
    assert_true(queue_empty(&q));
    assert_false(queue_pop(&q, &ev));
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i <= 3; i++)
            push(&q, 10 * round + i, 5);
        assert_false(queue_empty(&q));
        for (int i = 1; i <= 3; i++)
            pop(&q, ETCD_EVENT_PUT, 10 * round + i);
        assert_true(queue_empty(&q));
        assert_int_equal(q.bytes, 0);
    }
    push(&q, 99, 5);
    queue_clear(&q);
    assert_true(queue_empty(&q));
}

static void too_many_events_become_one_resync(void **state)
{
    (void)state;
    struct watch_queue q;
    queue_init(&q);
    for (int64_t r = 1; r <= QUEUE_EVENTS; r++)
        push(&q, r, 0);
    assert_int_equal(q.count, QUEUE_EVENTS);
    push(&q, QUEUE_EVENTS + 1, 0);
    assert_int_equal(q.count, 0);
    push(&q, QUEUE_EVENTS + 1, 0); /* the rest of the same transaction */
    push(&q, QUEUE_EVENTS + 2, 0);
    pop(&q, ETCD_EVENT_RESYNC, QUEUE_EVENTS + 1);
    pop(&q, ETCD_EVENT_PUT, QUEUE_EVENTS + 2);
    assert_true(queue_empty(&q));
}

static void too_many_bytes_too(void **state)
{
    (void)state;
    struct watch_queue q;
    queue_init(&q);
    int64_t r = 0;
    while (q.count == (size_t)r)
        push(&q, ++r, 1u << 20);
    assert_int_equal(r, 16); /* 16 MiB with the space for the events themselves */
    pop(&q, ETCD_EVENT_RESYNC, 16);
    assert_true(queue_empty(&q));
}

static void a_resync_replaces_what_waits(void **state)
{
    (void)state;
    struct watch_queue q;
    queue_init(&q);
    push(&q, 5, 1);
    queue_resync(&q, 7);
    queue_resync(&q, 9);
    push(&q, 8, 1);
    push(&q, 10, 1);
    pop(&q, ETCD_EVENT_RESYNC, 9);
    pop(&q, ETCD_EVENT_PUT, 10);
    assert_true(queue_empty(&q));
    queue_resync(&q, 11);
    assert_false(queue_empty(&q));
    queue_clear(&q);
    assert_true(queue_empty(&q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(too_many_events_become_one_resync),
        cmocka_unit_test(too_many_bytes_too),
        cmocka_unit_test(a_resync_replaces_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
