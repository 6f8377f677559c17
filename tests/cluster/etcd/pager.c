/* What the pager asks for, and when it asks again: etcd_list and the length of its waits are replaced by what
 * each test says (--wrap). The same against a real etcd: pages.c. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define CALLS_MAX 64
#define KEYS_MAX  4096
#define WAIT_MS   10000 /* for what comes at once */
#define LONG_MS   25000 /* a wait that nobody should see the end of */

struct answer {
    int code, keys; /* so many keys, all there were to ask for: more follow; -n: and these are the last */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct { /* under lock */
    const struct answer *script;
    size_t length; /* the last answer is given again and again */
    struct call {
        int64_t limit, revision;
        char from[32];
        bool inclusive; /* `from` itself could come again */
    } calls[CALLS_MAX];
    size_t count, waits;
    unsigned attempts[CALLS_MAX]; /* what each wait was asked for */
    int64_t wait_ms;
    int next_key;
    bool over; /* the last keys were given: whatever is asked behind them is not there */
} etcd;

static void script(const struct answer *answers, size_t length, int64_t wait_ms)
{
    pthread_mutex_lock(&lock);
    memset(&etcd, 0, sizeof(etcd));
    etcd.script = answers;
    etcd.length = length;
    etcd.wait_ms = wait_ms;
    pthread_mutex_unlock(&lock);
}
#define SCRIPT(wait_ms, ...)                                                                                 \
    static const struct answer answers_[] = {__VA_ARGS__};                                                   \
    script(answers_, sizeof(answers_) / sizeof(answers_[0]), wait_ms)

/* Their memory is the test's own: the pager wipes what nobody took. */
static struct etcd_kv one_key(int number)
{
    static struct {
        char key[32];
        uint8_t value[8];
    } stored[KEYS_MAX];
    assert_true(number < KEYS_MAX);
    struct etcd_kv kv = {
        .key = stored[number].key, .value = stored[number].value, .value_len = 5, .mod_revision = 1};
    kv.key_len = (size_t)snprintf(kv.key, sizeof(stored[0].key), "/p/%05d", number);
    memcpy(kv.value, "value", 6);
    return kv;
}

static void fill(struct etcd_range *ret, int count, bool more)
{
    *ret = (struct etcd_range){.revision = 40 + (int64_t)etcd.count, .more = more, .count = (size_t)count};
    ret->kvs = calloc((size_t)count + 1, sizeof(*ret->kvs));
    assert_non_null(ret->kvs);
    for (int i = 0; i < count; i++)
        ret->kvs[i] = one_key(etcd.next_key++);
}

int __wrap_etcd_list(struct etcd *e, const struct etcd_range_options *o, int deadline_ms,
                     struct etcd_range *ret, struct error *err);
int __wrap_etcd_list(struct etcd *e, const struct etcd_range_options *o, int deadline_ms,
                     struct etcd_range *ret, struct error *err)
{
    (void)e;
    (void)deadline_ms;
    pthread_mutex_lock(&lock);
    if (etcd.over) { /* it looks up to a bound of its own, and then behind that */
        *ret = (struct etcd_range){.revision = 1};
        pthread_mutex_unlock(&lock);
        return 0;
    }
    size_t n = etcd.count < etcd.length ? etcd.count : etcd.length - 1;
    const struct answer *a = &etcd.script[n];
    struct call *c = &etcd.calls[etcd.count % CALLS_MAX];
    *c = (struct call){.limit = o->limit, .revision = o->revision, .inclusive = true};
    if (o->from) {
        snprintf(c->from, sizeof(c->from), "%.31s", o->from);
        c->inclusive = o->from_len <= strlen(o->from); /* one more: the NUL that makes it the next key */
    }
    etcd.count++;
    etcd.over = a->code == 0 && a->keys < 0;
    if (a->code == 0)
        fill(ret, abs(a->keys), a->keys > 0);
    int rc = a->code < 0 ? error_set(err, a->code, "answer %zu", etcd.count) : 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return rc;
}

int64_t __wrap_backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms);
int64_t __wrap_backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms)
{
    (void)base_ms;
    (void)max_ms;
    pthread_mutex_lock(&lock);
    etcd.attempts[etcd.waits++ % CALLS_MAX] = attempt;
    int64_t ms = etcd.wait_ms;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return ms;
}

/* Until the pager has asked so often, and waits for the so manieth time. */
static void await(size_t calls, size_t waits)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&lock);
    while (etcd.count < calls || etcd.waits < waits)
        if (pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT) {
            pthread_mutex_unlock(&lock);
            fail_msg("%zu calls and %zu waits did not come", calls, waits);
        }
    pthread_mutex_unlock(&lock);
}

static size_t calls(void)
{
    pthread_mutex_lock(&lock);
    size_t n = etcd.count;
    pthread_mutex_unlock(&lock);
    return n;
}

static struct etcd_pager *pager(int64_t page, int64_t revision, unsigned tries, const atomic_bool *cancel)
{
    struct etcd_pager *p = NULL;
    struct etcd_pager_options o = {.prefix = "/p/",
                                   .page = page,
                                   .revision = revision,
                                   .deadline_ms = 1000,
                                   .tries = tries,
                                   .cancel = cancel};
    must(etcd_pager_new(NULL, &o, &p, &err));
    return p;
}

/* All of it, in order and each key once. */
static size_t read_to_the_end(struct etcd_pager *p)
{
    size_t seen = 0;
    for (bool more = true; more;) {
        struct etcd_range r = {0};
        must(etcd_pager_next(p, &r, &err));
        more = r.count > 0;
        for (size_t i = 0; i < r.count; i++, seen++)
            assert_int_equal(strtol(r.kvs[i].key + 3, NULL, 10), seen);
        etcd_range_free(&r);
    }
    return seen;
}

static void assert_limits(const int64_t *due, size_t count)
{
    assert_int_equal(calls(), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(etcd.calls[i].limit, due[i]);
}

/* ---------- pages that are too large ---------- */

static void a_page_that_is_too_large_is_asked_for_at_half_the_size(void **state)
{
    (void)state;
    static const int64_t limits[] = {100, 100, 50, 25, 25, 25};
    SCRIPT(0, {0, 100}, {ERR_TOO_LARGE, 0}, {ERR_TOO_LARGE, 0}, {0, 25}, {0, 25}, {0, -7});
    struct etcd_pager *p = pager(100, 0, 1, NULL); /* one try: it is no failure */
    assert_int_equal(read_to_the_end(p), 157);
    etcd_pager_free(p);
    assert_limits(limits, 6); /* and it stays small: the next ones are likely to be as large */
    assert_int_equal(etcd.waits, 0);
    for (size_t i = 1; i < 4; i++) /* behind the same key each time */
        assert_string_equal(etcd.calls[i].from, "/p/00099");
    for (size_t i = 1; i < 6; i++) {
        assert_false(etcd.calls[i].inclusive);
        assert_int_equal(etcd.calls[i].revision, 41); /* that of the first answer */
    }
}

static void one_value_that_is_too_large_ends_it(void **state)
{
    (void)state;
    static const int64_t limits[] = {9, 4, 2, 1};
    SCRIPT(0, {ERR_TOO_LARGE, 0});
    struct etcd_range r = {0};
    struct etcd_pager *p = pager(9, -1, 5, NULL);
    must_fail(ERR_TOO_LARGE, "answer 4", etcd_pager_next(p, &r, &err));
    must_fail(ERR_TOO_LARGE, "answer 4", etcd_pager_next(p, &r, &err)); /* for good */
    etcd_pager_free(p);
    assert_limits(limits, 4);
}

/* ---------- troubles ---------- */

static void a_passing_trouble_is_tried_again_at_the_same_place(void **state)
{
    (void)state;
    SCRIPT(0, {ERR_UNAVAILABLE, 0}, {ERR_TIMEOUT, 0}, {0, 10}, {ERR_UNAVAILABLE, 0}, {ERR_UNAVAILABLE, 0},
           {0, 10}, {0, -1});
    static const unsigned attempts[] = {0, 1, 0, 1}; /* each page's patience is its own, and grows */
    struct etcd_pager *p = pager(10, -1, 3, NULL);
    assert_int_equal(read_to_the_end(p), 21);
    etcd_pager_free(p);
    assert_int_equal(calls(), 7);
    assert_int_equal(etcd.waits, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(etcd.attempts[i], attempts[i]);
    for (size_t i = 3; i < 6; i++)
        assert_string_equal(etcd.calls[i].from, "/p/00009");
    assert_int_equal(etcd.calls[6].revision, 0); /* the present, whatever came before */
}

static void tries_are_counted_for_each_page(void **state)
{
    (void)state;
    SCRIPT(0, {0, 10}, {ERR_UNAVAILABLE, 0}, {ERR_UNAVAILABLE, 0}, {ERR_UNAVAILABLE, 0}, {0, -1});
    struct etcd_range r = {0};
    struct etcd_pager *p = pager(10, -1, 3, NULL);
    must(etcd_pager_next(p, &r, &err));
    assert_int_equal(r.count, 10);
    etcd_range_free(&r);
    must_fail(ERR_UNAVAILABLE, "answer 4", etcd_pager_next(p, &r, &err));
    etcd_pager_free(p);
    assert_int_equal(calls(), 4);
}

static void what_does_not_pass_is_tried_once(void **state)
{
    (void)state;
    static const int codes[] = {ERR_COMPACTED, ERR_DENIED, ERR_INVALID, ERR_NO_MEMORY};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct answer a = {codes[i], 0};
        struct etcd_range r = {0};
        script(&a, 1, 0);
        struct etcd_pager *p = pager(10, 0, 8, NULL);
        must_fail(codes[i], "answer 1", etcd_pager_next(p, &r, &err));
        etcd_pager_free(p);
        assert_int_equal(calls(), 1);
    }
}

/* ---------- asked to stop ---------- */

static void cancel_ends_a_wait(void **state)
{
    (void)state;
    SCRIPT(LONG_MS, {ERR_UNAVAILABLE, 0});
    atomic_bool cancel = false;
    struct etcd_range r = {0};
    struct etcd_pager *p = pager(10, -1, 8, &cancel);
    await(1, 1); /* now it waits */
    int64_t begun = clock_mono_ms();
    atomic_store(&cancel, true);
    must_fail(ERR_CANCELED, "/p/", etcd_pager_next(p, &r, &err));
    assert_true(clock_mono_ms() - begun < WAIT_MS);
    etcd_pager_free(p);
    assert_int_equal(calls(), 1);
}

static void free_ends_a_wait(void **state)
{
    (void)state;
    SCRIPT(LONG_MS, {ERR_UNAVAILABLE, 0});
    struct etcd_pager *p = pager(10, -1, 8, NULL);
    await(1, 1);
    int64_t begun = clock_mono_ms();
    etcd_pager_free(p);
    assert_true(clock_mono_ms() - begun < WAIT_MS);
    assert_int_equal(calls(), 1);
}

static void only_one_page_is_read_ahead(void **state)
{
    (void)state;
    SCRIPT(0, {0, 10});
    struct etcd_range r = {0};
    struct etcd_pager *p = pager(10, -1, 1, NULL);
    must(etcd_pager_next(p, &r, &err));
    etcd_range_free(&r);
    await(3, 0);  /* one waits to be taken, one in the thread's hand */
    sleep_ms(50); /* time for what must not happen */
    assert_int_equal(calls(), 3);
    etcd_pager_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_that_is_too_large_is_asked_for_at_half_the_size),
        cmocka_unit_test(one_value_that_is_too_large_ends_it),
        cmocka_unit_test(a_passing_trouble_is_tried_again_at_the_same_place),
        cmocka_unit_test(tries_are_counted_for_each_page),
        cmocka_unit_test(what_does_not_pass_is_tried_once),
        cmocka_unit_test(cancel_ends_a_wait),
        cmocka_unit_test(free_ends_a_wait),
        cmocka_unit_test(only_one_page_is_read_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
