/* Touching objects on real kube-apiservers, counted raw in etcd. */
#include "helpers.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/file.h>
#include <kube/touch.h>

#include "memory_scan.h"

#define SECRETS  2000
#define UNDER(n) "k8s:enc:aescbc:v1:key" n ":"

static const struct kube_resource secrets = {"secrets", "/api/v1", "secrets", true};
static struct apifix *fix;

struct tally {
    size_t touched, gone, failed, total;
    char why[512];
    size_t kill_at; /* calls after which server 1 is killed, 0: never */
    size_t stop_at; /* calls after which to stop, 0: never */
    struct kube_toucher *toucher;
    int in_flight; /* the highest seen */
    int sockets;   /* open in the middle of the run */
};

static int open_sockets(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    char target[64];
    int count = 0;

    assert_non_null(d);
    while ((entry = readdir(d))) {
        ssize_t n = readlinkat(dirfd(d), entry->d_name, target, sizeof(target));

        count += n > 7 && memcmp(target, "socket:", 7) == 0;
    }
    closedir(d);
    return count;
}

static bool count_result(void *arg, const struct kube_object *object, enum kube_touch_result result,
                         const char *why)
{
    struct tally *t = arg;

    assert_true(object->name[0] != '\0');
    assert_int_equal(result == KUBE_TOUCH_FAILED, why != NULL);
    t->touched += result == KUBE_TOUCHED;
    t->gone += result == KUBE_TOUCH_GONE;
    t->failed += result == KUBE_TOUCH_FAILED;
    if (why)
        snprintf(t->why, sizeof(t->why), "%s", why);
    if (t->toucher && kube_toucher_in_flight(t->toucher) > t->in_flight)
        t->in_flight = kube_toucher_in_flight(t->toucher);
    if (t->total == SECRETS / 2)
        t->sockets = open_sockets();
    if (++t->total == t->kill_at)
        apifix_stop(fix, 1, SIGKILL);
    return !t->stop_at || t->total < t->stop_at;
}

static struct kube_toucher *new_toucher(size_t servers, int in_flight_max)
{
    struct kube_options o[APIFIX_SERVERS];
    struct kube_touch_options t = {.servers = o,
                                   .servers_count = servers,
                                   .in_flight_max = in_flight_max,
                                   .request_deadline_ms = 5000,
                                   .attempts_max = 8};
    struct kube_toucher *ret = NULL;
    struct error e = ERROR_INIT;

    for (size_t i = 0; i < servers; i++)
        o[i] = apifix_options(fix, i);
    assert_ok(kube_toucher_new(&t, &ret, &e), e);
    return ret;
}

/* All names of one namespace, from the list. Caller frees. */
static struct kube_object *list_all(const char *namespace, size_t *ret_count)
{
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    struct kube_object *all = calloc(SECRETS * 2, sizeof(*all));
    _cleanup_free_ char *next = NULL;
    struct error e = ERROR_INIT;
    size_t count = 0;

    assert_non_null(all);
    do {
        struct kube_page p = {0};

        assert_ok(kube_list_names(k, &secrets, 500, next, DEADLINE_MS, &p, &e), e);
        for (size_t i = 0; i < p.count && count < SECRETS * 2; i++) {
            if (strcmp(p.objects[i].namespace, namespace) == 0)
                all[count++] = p.objects[i];
        }
        free(next);
        next = take(p.next);
        kube_page_free(&p);
    } while (next);
    *ret_count = count;
    return all;
}

static void restart(const char *order)
{
    apifix_stop(fix, 0, SIGTERM);
    assert_true(apifix_start(fix, 0, config_with_keys(order)));
}

static int begin(void **state)
{
    (void)state;
    fix = apifix_new();
    if (!fix || !apifix_start(fix, 0, config_with_keys("1"))) {
        apifix_free(fix);
        fix = NULL;
        return -1;
    }
    return 0;
}

static int finish(void **state)
{
    (void)state;
    apifix_free(fix);
    return 0;
}

static void test_touch_moves_stale_secrets(void **state)
{
    _cleanup_(kube_closep) struct kube *k = open_server(fix, 0);
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = NULL;
    _cleanup_free_ struct kube_object *all = NULL;
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    struct rusage usage;
    int sockets_before;
    size_t count;
    int64_t began, took;

    (void)state;
    make_namespace(k, "touch");
    make_secrets(k, "touch", SECRETS);
    assert_int_equal(apifix_count(fix, "/registry/secrets/touch/", UNDER("1")), SECRETS);
    restart("21");
    all = list_all("touch", &count);
    assert_int_equal(count, SECRETS);
    assert_int_equal(apifix_count(fix, "/registry/secrets/touch/", UNDER("1")), SECRETS);

    t = new_toucher(1, 32);
    tally.toucher = t;
    sockets_before = open_sockets();
    assert_int_equal(kube_toucher_in_flight(t), 4);
    began = clock_mono_ms();
    assert_ok(kube_touch(t, &secrets, all, count, count_result, &tally, &e), e);
    took = clock_mono_ms() - began;
    getrusage(RUSAGE_SELF, &usage);
    print_message("touched %zu objects in %lld ms: %.0f/s; %d in flight at most; peak memory %ld KiB\n",
                  tally.touched, (long long)took, (double)count * 1000 / (double)took, tally.in_flight,
                  usage.ru_maxrss);
    assert_int_equal(tally.touched, SECRETS);
    assert_int_equal(tally.total, SECRETS);
    assert_true(tally.in_flight > 4 && tally.in_flight <= 32);
    /* HTTP/2: all of them over one connection */
    assert_in_range(tally.sockets - sockets_before, 1, 2);
    assert_int_equal(apifix_count(fix, "/registry/secrets/touch/", UNDER("1")), 0);
    assert_int_equal(apifix_count(fix, "/registry/secrets/touch/", UNDER("2")), SECRETS);
}

/* On values that are not stale nothing is written: etcd's revision stays. */
static void test_touch_writes_nothing_twice(void **state)
{
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = new_toucher(1, 16);
    struct kube_object one = {"touch", "s0"};
    _cleanup_(buf_freep) struct buf before = BUF_INIT(65536), after = BUF_INIT(65536);
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    const char *const get[] = {"get", "/registry/secrets/touch/s0", NULL};

    (void)state;
    assert_true(apifix_etcdctl(fix, get, NULL, 0, &before));
    assert_ok(kube_touch(t, &secrets, &one, 1, count_result, &tally, &e), e);
    assert_int_equal(tally.touched, 1);
    assert_true(apifix_etcdctl(fix, get, NULL, 0, &after));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
}

static void test_deleted_is_gone(void **state)
{
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = new_toucher(1, 16);
    struct kube_object objects[] = {{"touch", "never-was"}, {"no-such-namespace", "s0"}, {"touch", "s1"}};
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_touch(t, &secrets, objects, array_len(objects), count_result, &tally, &e), e);
    assert_int_equal(tally.gone, 2);
    assert_int_equal(tally.touched, 1);
}

/* An object that today's validation refuses, stored plain by somebody long ago. */
static void test_invalid_stored_object_fails(void **state)
{
    static const char stored[] =
        "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"half\",\"namespace\":\"touch\","
        "\"uid\":\"9d3b1c52-6a0a-4c55-8a5c-0a2f3c1f4e11\",\"creationTimestamp\":\"2020-01-01T00:00:00Z\"},"
        "\"data\":{\"tls.crt\":\"QQ==\"},\"type\":\"kubernetes.io/tls\"}";
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = new_toucher(1, 16);
    struct kube_object object = {"touch", "half"};
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_true(apifix_etcdctl(fix, (const char *[]){"put", "/registry/secrets/touch/half", NULL}, stored,
                               sizeof(stored) - 1, NULL));
    assert_ok(kube_touch(t, &secrets, &object, 1, count_result, &tally, &e), e);
    assert_int_equal(tally.failed, 1);
    assert_non_null(strstr(tally.why, "422"));
    assert_non_null(strstr(tally.why, "tls.key"));
    assert_null(strchr(tally.why, '\n'));
    assert_true(
        apifix_etcdctl(fix, (const char *[]){"del", "/registry/secrets/touch/half", NULL}, NULL, 0, NULL));
}

static void test_callback_stops(void **state)
{
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = new_toucher(1, 32);
    _cleanup_free_ struct kube_object *all = NULL;
    struct tally tally = {.stop_at = 100};
    struct error e = ERROR_INIT;
    size_t count;

    (void)state;
    all = list_all("touch", &count);
    assert_int_equal(kube_touch(t, &secrets, all, count, count_result, &tally, &e), ERR_CANCELED);
    assert_int_equal(tally.total, 100);
    /* and what was cut off does no harm to the next run */
    tally = (struct tally){0};
    assert_ok(kube_touch(t, &secrets, all, count, count_result, &tally, &e), e);
    assert_int_equal(tally.touched, count);
}

static void test_rate_limit(void **state)
{
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = new_toucher(1, 32);
    _cleanup_free_ struct kube_object *all = NULL;
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    size_t count;
    int64_t began;

    (void)state;
    all = list_all("touch", &count);
    kube_toucher_set_rate(t, 100);
    began = clock_mono_ms();
    assert_ok(kube_touch(t, &secrets, all, 200, count_result, &tally, &e), e);
    assert_in_range(clock_mono_ms() - began, 1850, 3500);
}

/* Writes a Secret whose value and kubectl annotation hold the planted text: in a child, so that this process
 * never has it in one piece. */
static void plant(const struct needle *n)
{
    pid_t pid = fork();
    int status = -1;

    assert_true(pid >= 0);
    if (pid == 0) {
        _cleanup_(buf_freep) struct buf body = BUF_INIT(8192), out = BUF_INIT(KUBE_REPLY_MAX);
        struct kube_options o = apifix_options(fix, 0);
        char text[NEEDLE_LEN + 1];
        struct kube *k = NULL;
        long http = 0;

        needle_text(n, text);
        if (kube_open(&o, &k, NULL) == 0 &&
            buf_addf(&body, NULL,
                     "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"planted\","
                     "\"annotations\":"
                     "{\"kubectl.kubernetes.io/"
                     "last-applied-configuration\":\"%s\"}},\"stringData\":{\"v\":\"%s\"}}",
                     text, text) == 0)
            (void)!kube_request(k, "POST", "/api/v1/namespaces/touch/secrets", "application/json",
                                "application/json", body.data, body.len, DEADLINE_MS, &http, &out, NULL);
        _exit(http == 201 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_no_content_in_memory(void **state)
{
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = NULL;
    struct kube_object object = {"touch", "planted"};
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    struct needle n;
    char *control;

    (void)state;
    needle_make(&n);
    plant(&n);
    assert_int_equal(memory_count(&n), 0);
    restart("12"); /* so that it is stale, and really written again */
    t = new_toucher(1, 8);
    assert_ok(kube_touch(t, &secrets, &object, 1, count_result, &tally, &e), e);
    assert_int_equal(tally.touched, 1);
    assert_int_equal(apifix_count(fix, "/registry/secrets/touch/planted", UNDER("1")), 1);
    assert_int_equal(memory_count(&n), 0);

    control = malloc(NEEDLE_LEN + 1); /* the scan does find what is there */
    assert_non_null(control);
    needle_text(&n, control);
    assert_true(memory_count(&n) >= 1);
    explicit_bzero(control, NEEDLE_LEN + 1);
    free(control);
}

/* Two servers on one etcd; one is killed in the middle. */
static void test_server_killed_in_the_middle(void **state)
{
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = NULL;
    _cleanup_free_ struct kube_object *all = NULL;
    struct tally tally = {.kill_at = 400};
    struct error e = ERROR_INIT;
    size_t count;

    (void)state;
    restart("321");
    assert_true(apifix_start(fix, 1, config_with_keys("321")));
    all = list_all("touch", &count);
    assert_true(count >= SECRETS);
    t = new_toucher(2, 32);
    assert_ok(kube_touch(t, &secrets, all, count, count_result, &tally, &e), e);
    assert_int_equal(tally.touched, count);
    assert_int_equal(tally.total, count);
    assert_int_equal(apifix_count(fix, "/registry/secrets/touch/", UNDER("3")), count);
    assert_int_equal(apifix_count(fix, "/registry/secrets/touch/", "k8s:enc:"), count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_touch_moves_stale_secrets),
        cmocka_unit_test(test_touch_writes_nothing_twice),
        cmocka_unit_test(test_deleted_is_gone),
        cmocka_unit_test(test_invalid_stored_object_fails),
        cmocka_unit_test(test_callback_stops),
        cmocka_unit_test(test_rate_limit),
        cmocka_unit_test(test_no_content_in_memory),
        cmocka_unit_test(test_server_killed_in_the_middle),
    };

    return cmocka_run_group_tests_name("kube touch", tests, begin, finish);
}
