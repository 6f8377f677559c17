/* What is bounded for honest clients too, and how connections end. */
#include "house.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static struct tls_client *from(struct house *h, const char *source, const char *cert)
{
    char why[256] = "";
    struct tls_client_options o = {.dir = h->dir, .ca = "ca", .cert = cert, .source = source};
    struct tls_client *c = tls_client_open(house_port(h), &o, why);
    if (!c)
        fail_msg("refused: %s", why);
    return c;
}

static void of_one_subject(void **state)
{
    struct house *h = *state;
    char got[4], why[256] = "";
    tls_make(h->dir, "ca", "other", &(struct tls_made){.subject = "CN=other"});
    house_open(h, (struct door_limits){.per_peer = 2});
    struct tls_client *first = from(h, "127.0.0.1", "ci"), *second = from(h, "127.0.0.2", "ci");
    house_taken(h, 1, NULL);
    struct tls_client *third = from(h, "127.0.0.3", "ci");
    assert_int_equal(tls_client_read(third, got, sizeof(got), why), 0);
    struct house_note n = house_note(h, DOOR_NOTE_MANY);
    assert_string_equal(n.subject, "O = team, CN = ci");
    assert_non_null(strstr(n.why, "of this certificate's subject"));
    struct tls_client *other = from(h, "127.0.0.2", "other");
    house_check_both_ways(other, house_taken(h, 2, NULL));
    /* One ends: there is room for another. */
    tls_client_close(first);
    struct pollfd p = {.fd = house_taken(h, 0, NULL), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(recv(p.fd, got, 1, 0), 0);
    first = from(h, "127.0.0.4", "ci");
    house_check_both_ways(first, house_taken(h, 3, NULL));
    tls_client_close(first);
    tls_client_close(second);
    tls_client_close(third);
    tls_client_close(other);
}

static void in_all(void **state)
{
    struct house *h = *state;
    struct tls_client *clients[4];
    char got;
    house_open(h, (struct door_limits){.connections = 4});
    for (size_t i = 0; i < 4; i++) {
        clients[i] = house_client(h, "ci");
        house_taken(h, i, NULL);
    }
    int fd = plain_connect(house_port(h));
    assert_int_equal(recv(fd, &got, 1, 0), 0);
    close(fd);
    assert_string_equal(house_note(h, DOOR_NOTE_FULL).why, "there are too many connections");
    for (size_t i = 0; i < 4; i++) {
        house_check_both_ways(clients[i], h->taken[i].fd);
        tls_client_close(clients[i]);
    }
}

static void all_end_with_the_door(void **state)
{
    struct house *h = *state;
    char got[4], why[256] = "";
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL), unfinished = plain_connect(house_port(h));
    house_check_both_ways(c, fd);
    door_free(take(h->door));
    assert_int_equal(tls_client_read(c, got, sizeof(got), why), 0);
    assert_int_equal(recv(fd, got, 1, 0), 0);
    assert_true(recv(unfinished, got, 1, 0) <= 0);
    close(unfinished);
    tls_client_close(c);
}

static void idle_ones_end(void **state)
{
    struct house *h = *state;
    char got[4], why[256] = "";
    house_open(h, (struct door_limits){.idle_ms = 300});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL);
    house_check_both_ways(c, fd);
    assert_int_equal(tls_client_read(c, got, sizeof(got), why), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(recv(fd, got, 1, 0), 0);
    struct house_note n = house_note(h, DOOR_NOTE_IDLE);
    assert_string_equal(n.why, "nothing came or went for too long");
    assert_string_equal(n.subject, "O = team, CN = ci");
    tls_client_close(c);
}

static void what_the_server_said_last_arrives(void **state)
{
    struct house *h = *state;
    static char block[200 * 1000];
    char why[256] = "";
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL);
    size_t sent = 0, got = 0;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (sent < sizeof(block)) {
        assert_int_equal(poll(&p, 1, 5000), 1);
        ssize_t n = send(fd, block + sent, sizeof(block) - sent, 0);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    close(fd);
    h->taken[0].fd = -1;
    int n;
    while ((n = tls_client_read(c, block, sizeof(block), why)) > 0)
        got += (size_t)n;
    assert_int_equal(n, 0); /* with a word: not cut off */
    assert_int_equal(got, sizeof(block));
    tls_client_close(c);
}

static void what_the_client_said_last_arrives(void **state)
{
    struct house *h = *state;
    static char block[200 * 1000];
    char why[256] = "";
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL);
    assert_int_equal(tls_client_write(c, block, 100000, why), 100000);
    shutdown(tls_client_fd(c), SHUT_WR);
    size_t got = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 5000), 1);
        ssize_t n = recv(fd, block, sizeof(block), 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    assert_int_equal(got, 100000);
    tls_client_close(c);
}

/* More than is copied in one turn is there at once, and then nothing: it arrives all the same. */
static void a_burst_after_the_handshake(void **state)
{
    struct house *h = *state;
    enum { BURST = 120000 };
    static char block[BURST];
    char why[256] = "";
    house_open(h, (struct door_limits){0});
    for (size_t i = 0; i < 20; i++) {
        struct tls_client *c = house_client(h, "ci");
        assert_int_equal(tls_client_write(c, block, BURST, why), BURST);
        struct pollfd p = {.fd = house_taken(h, i, NULL), .events = POLLIN};
        for (int got = 0; got < BURST;) {
            assert_int_equal(poll(&p, 1, 5000), 1);
            ssize_t n = recv(p.fd, block, sizeof(block), 0);
            assert_true(n > 0);
            got += (int)n;
        }
        tls_client_close(c);
    }
}

/* Both ways at once, more than all buffers hold. */
static void a_lot_goes_both_ways(void **state)
{
    struct house *h = *state;
    enum { TOTAL = 8 * 1024 * 1024, BLOCK = 16 * 1024 };
    static uint8_t block[BLOCK], back[BLOCK];
    char why[256] = "";
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL);
    uint64_t seed = 7;
    for (int done = 0; done < TOTAL; done += BLOCK) {
        for (int k = 0; k < BLOCK; k++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            block[k] = (uint8_t)seed;
        }
        assert_int_equal(tls_client_write(c, block, BLOCK, why), BLOCK);
        for (int got = 0; got < BLOCK;) { /* the far end: an echo */
            struct pollfd p = {.fd = fd, .events = POLLIN};
            assert_int_equal(poll(&p, 1, 5000), 1);
            ssize_t n = recv(fd, back, sizeof(back), 0);
            assert_true(n > 0);
            assert_int_equal(send(fd, back, (size_t)n, 0), n);
            got += (int)n;
        }
        for (int got = 0, n; got < BLOCK; got += n) {
            n = tls_client_read(c, back + got, BLOCK - got, why);
            assert_true(n > 0);
        }
        assert_memory_equal(back, block, BLOCK);
    }
    tls_client_close(c);
}

static void numbers_do_not_come_back(void **state)
{
    struct house *h = *state;
    enum { COUNT = 50 };
    house_open(h, (struct door_limits){0});
    for (size_t i = 0; i < COUNT; i++) {
        struct tls_client *c = house_client(h, "ci");
        int fd = house_taken(h, i, NULL);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(h->taken[k].peer.pid, fd);
        h->taken[i].peer.pid = fd; /* kept here: its own place says that it is closed */
        close(fd);
        h->taken[i].fd = -1;
        tls_client_close(c);
    }
}

static void one_that_is_not_wanted_is_told(void **state)
{
    struct house *h = *state;
    char got[4], why[256] = "";
    house_open(h, (struct door_limits){0});
    atomic_store(&h->refuses, true);
    struct tls_client *c = house_client(h, "ci");
    assert_int_equal(tls_client_read(c, got, sizeof(got), why), 0);
    tls_client_close(c);
    struct house_note n = house_note(h, DOOR_NOTE_REFUSED);
    assert_string_equal(n.why, "the house is shut");
    assert_string_equal(n.subject, "O = team, CN = ci");
}

#define SPIN_MS 25 /* of a second or more: waiting takes 1 or 2, and spinning more on the busiest machine */

static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Not one descriptor is left: the door waits, does not spin, and goes on when there are some again. */
static void without_descriptors_it_waits(void **state)
{
    struct house *h = *state;
    struct rlimit before, few;
    house_open(h, (struct door_limits){0});
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int fd = plain_connect(house_port(h)); /* may be accepted yet */
    int second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    close(fd);
    few = before;
    few.rlim_cur = 0;
    fd = plain_connect(house_port(h));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    close(second);
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    assert_int_equal(getpeername(fd, (struct sockaddr *)&a, &len), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(connect(second, (struct sockaddr *)&a, len), 0);
    struct house_note n = house_note(h, DOOR_NOTE_RESOURCES);
    assert_non_null(strstr(n.why, "cannot accept connections"));
    int64_t start = cpu_ms();
    assert_int_equal(poll(NULL, 0, 1500), 0);
    assert_true(cpu_ms() - start < SPIN_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    struct tls_client *c = house_client(h, "ci");
    house_check_both_ways(c, house_taken(h, 0, NULL));
    tls_client_close(c);
    close(second);
    close(fd);
}

/* The server is done, but the client does not read what it said: neither end makes the door spin. */
static void last_words_that_nobody_reads(void **state)
{
    struct house *h = *state;
    static char block[16 * 1024];
    char why[256] = "";
    house_open(h, (struct door_limits){.idle_ms = 2000});
    struct tls_client_options o = {.dir = h->dir, .ca = "ca", .cert = "ci", .receive_buffer = 4096};
    struct tls_client *deaf = tls_client_open(house_port(h), &o, why);
    assert_non_null(deaf);
    struct pollfd p = {.fd = house_taken(h, 0, NULL), .events = POLLOUT};
    while (poll(&p, 1, 300) == 1 && send(p.fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
        ;
    close(p.fd);
    h->taken[0].fd = -1;
    int64_t start = cpu_ms();
    assert_int_equal(poll(NULL, 0, 1000), 0);
    assert_true(cpu_ms() - start < SPIN_MS);
    assert_string_equal(house_note(h, DOOR_NOTE_IDLE).why, "it reads nothing");
    tls_client_close(deaf);
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
        test(of_one_subject),
        test(in_all),
        test(all_end_with_the_door),
        test(idle_ones_end),
        test(what_the_server_said_last_arrives),
        test(what_the_client_said_last_arrives),
        test(a_burst_after_the_handshake),
        test(a_lot_goes_both_ways),
        test(numbers_do_not_come_back),
        test(one_that_is_not_wanted_is_told),
        test(without_descriptors_it_waits),
        test(last_words_that_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
