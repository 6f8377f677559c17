/* The coordinator's threads beside the leader's, all at once, over a fake etcd: what is written comes through
 * the feed to the page while others read it, and while the audit's writer is at work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include <api/feed.h>
#include <api/trail.h>
#include <base/clock.h>
#include <base/text.h>
#include <http/page.h>

#include "etcd_fixture.h"

#define DEADLINE_MS 5000
#define WAIT_MS     20000
#define P           "/secrets-encrypt/demo/"
#define DEEDS       20 /* of each who adds to the trail */
#define REPLY_MAX   (256 * 1024)

static char empty[] = "";

struct bench {
    struct etcd_fixture *fixture;
    struct store *store;
    struct feed *feed;
    struct page *page;
    struct trail *trail;
    struct config config;
    uint16_t port;
    char listen[32];
};

/* One that was free a moment ago. */
static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct etcd_fixture_options options = {.members = 1};
    struct config *c = &b->config;
    *state = b;
    if (etcd_fixture_start(&options, &b->fixture) != 0)
        return -1;
    c->token_file = c->path = empty;
    text_copy(c->cluster, sizeof(c->cluster), "demo");
    text_copy(c->server, sizeof(c->server), "s1");
    c->state_store = (struct config_etcd){
        .endpoints_count = 1, .ca_file = empty, .cert_file = empty, .key_file = empty, .server_name = empty};
    c->state_store.endpoints[0] = (char *)etcd_fixture_endpoint(b->fixture, 0);
    b->port = free_port();
    snprintf(b->listen, sizeof(b->listen), "127.0.0.1:%u", b->port);
    c->http.listen = b->listen;
    _cleanup_(secret_freep) struct secret *token = secret_copy("a token of this cluster", 23);
    assert_int_equal(store_open_with_token(c, token, &b->store, NULL), 0);
    assert_int_equal(feed_new(b->store, &b->feed, NULL), 0);
    assert_int_equal(page_new(c, b->store, b->feed, &b->page, NULL), 0);
    assert_int_equal(trail_new(b->store, "s1", &b->trail, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    trail_free(b->trail);
    feed_stop(b->feed);
    page_free(b->page);
    feed_free(b->feed);
    store_free(b->store);
    etcd_fixture_free(b->fixture);
    free(b);
    return 0;
}

/* The whole reply; false: nobody listens (yet). */
static bool fetch(const struct bench *b, const char *path, char *out, size_t size)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(b->port)};
    char request[256];
    size_t len = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0;
    int n = snprintf(request, sizeof(request),
                     "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    good = good && send(fd, request, (size_t)n, MSG_NOSIGNAL) == n;
    for (ssize_t got = 1; good && got > 0 && len + 1 < size; len += got > 0 ? (size_t)got : 0)
        got = recv(fd, out + len, size - len - 1, 0);
    out[len] = 0;
    close(fd);
    return good && len > 0;
}

/* Until the page's state has it. */
static bool shows(const struct bench *b, const char *text)
{
    _cleanup_free_ char *reply = malloc(REPLY_MAX);
    for (int64_t until = clock_mono_ms() + WAIT_MS; clock_mono_ms() < until; clock_nap_ms(20))
        if (fetch(b, "/state.json", reply, REPLY_MAX) && strstr(reply, text))
            return true;
    return false;
}

struct worker {
    pthread_t thread;
    struct bench *bench;
    atomic_bool *stop;
    unsigned failures, done;
};

static void *add_deeds(void *arg)
{
    struct worker *w = arg;
    struct who who;
    who_init(&who, "CN=ci", "127.0.0.1:1", API_ROLE_OPERATOR, 0);
    for (w->done = 0; w->done < DEEDS; w->done++)
        trail_add(w->bench->trail, &who, "Test", "a deed", "accepted", "");
    return NULL;
}

static void *read_on(void *arg)
{
    static const char *const paths[] = {"/state.json", "/metrics", "/readyz", "/"};
    struct worker *w = arg;
    char *reply = malloc(REPLY_MAX);
    while (!atomic_load(w->stop)) {
        w->failures += !fetch(w->bench, paths[w->done % array_len(paths)], reply, REPLY_MAX) ||
                       strncmp(reply, "HTTP/1.1 ", 9) != 0;
        w->done++;
    }
    free(reply);
    return NULL;
}

static void put(struct bench *b, const char *key, const char *value)
{
    assert_int_equal(etcd_put(store_etcd(b->store), key, value, strlen(value), 0, DEADLINE_MS, NULL, NULL),
                     0);
}

static size_t deeds_written(struct bench *b)
{
    static struct store_audit_entry page[STORE_AUDIT_PAGE_MAX];
    size_t count = 0;
    assert_int_equal(store_audit_list(b->store, STORE_AUDIT_PAGE_MAX, NULL, DEADLINE_MS, page, &count, NULL),
                     0);
    return count;
}

static void all_at_once(void **state)
{
    struct bench *b = *state;
    atomic_bool stop = false;
    struct worker workers[4];
    put(b, P "servers/s1/stage", "start");
    assert_true(shows(b, "\"s1\""));
    for (size_t i = 0; i < array_len(workers); i++) {
        workers[i] = (struct worker){.bench = b, .stop = &stop};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, i % 2 ? add_deeds : read_on, &workers[i]),
                         0);
    }
    for (int i = 2; i < 8; i++) {
        char key[64], name[16];
        snprintf(name, sizeof(name), "\"s%d\"", i);
        snprintf(key, sizeof(key), P "servers/s%d/stage", i);
        put(b, key, "start");
        assert_true(shows(b, name));
    }
    for (int64_t until = clock_mono_ms() + WAIT_MS; deeds_written(b) < 2 * DEEDS && clock_mono_ms() < until;)
        clock_nap_ms(20);
    atomic_store(&stop, true);
    for (size_t i = 0; i < array_len(workers); i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failures, 0);
        assert_true(workers[i].done > 0);
    }
    assert_int_equal(deeds_written(b), 2 * DEEDS);
}

/* Everything ends, also in the middle of it; what was queued is written before. */
static void it_ends_in_the_middle(void **state)
{
    struct bench *b = *state;
    struct worker w = {.bench = b};
    put(b, P "servers/s1/stage", "start");
    assert_true(shows(b, "\"s1\""));
    (void)add_deeds(&w);
    trail_free(b->trail);
    b->trail = NULL;
    assert_int_equal(deeds_written(b), DEEDS);
}

/* The store goes away and comes back: nobody waits for ever, and nothing is lost. */
static void a_store_that_is_away(void **state)
{
    struct bench *b = *state;
    struct worker w = {.bench = b};
    put(b, P "servers/s1/stage", "start");
    assert_true(shows(b, "\"s1\""));
    etcd_fixture_kill(b->fixture, 0);
    (void)add_deeds(&w);
    assert_true(shows(b, "failed to connect"));
    assert_int_equal(etcd_fixture_restart(b->fixture, 0), 0);
    put(b, P "servers/s2/stage", "start");
    assert_true(shows(b, "\"s2\""));
}

#define BENCH_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(all_at_once),
        BENCH_TEST(it_ends_in_the_middle),
        BENCH_TEST(a_store_that_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
