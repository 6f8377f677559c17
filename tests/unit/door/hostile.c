/* Callers that want nothing good. Each test ends with an honest client that is served as if nothing were. */
#include "house.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <base/clock.h>

static void an_honest_client_is_served(struct house *h)
{
    size_t n = house_taken_count(h);
    struct tls_client *c = house_client(h, "ci");
    house_check_both_ways(c, house_taken(h, n, NULL));
    tls_client_close(c);
}

/* Reads until the end; true when it comes within 5 s. */
static bool is_closed(int fd)
{
    char scrap[4096];
    for (int i = 0; i < 100; i++) {
        ssize_t n = recv(fd, scrap, sizeof(scrap), 0);
        if (n <= 0)
            return n == 0 || errno == ECONNRESET || errno == EPIPE;
    }
    return false;
}

static void garbage(void **state)
{
    struct house *h = *state;
    static const struct {
        const char *sent, *why;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "it speaks HTTP without TLS"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
        {"SSH-2.0-OpenSSH_9.2\r\n", ""},
        {"\x16\x03\x01\xff\xff\x01\xff\xff\xff", ""},
        {"\x80\x2e\x01\x00\x02", ""},
    };
    house_open(h, (struct door_limits){.handshake_ms = 1000});
    for (size_t i = 0; i < array_len(cases); i++) {
        int fd = plain_connect(house_port(h));
        char zeros[64] = {0};
        assert_true(send(fd, cases[i].sent, strlen(cases[i].sent) + 1, 0) > 0);
        (void)send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL);
        assert_true(is_closed(fd));
        close(fd);
        if (i == 0)
            assert_string_equal(house_note(h, DOOR_NOTE_HANDSHAKE).why, cases[0].why);
    }
    assert_int_equal(house_taken_count(h), 0);
    an_honest_client_is_served(h);
}

/* Random bytes, also behind a record's header that is right. */
static void noise(void **state)
{
    struct house *h = *state;
    uint64_t seed = 42;
    house_open(h, (struct door_limits){.handshake_ms = 300, .per_peer = 100});
    for (int i = 0; i < 200; i++) {
        uint8_t data[600];
        for (size_t k = 0; k < sizeof(data); k++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            data[k] = (uint8_t)seed;
        }
        if (i % 2)
            memcpy(data, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
        int fd = plain_connect(house_port(h));
        (void)send(fd, data, sizeof(data), MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        assert_true(is_closed(fd));
        close(fd);
    }
    assert_int_equal(house_taken_count(h), 0);
    an_honest_client_is_served(h);
}

static void who_only_looks_whether_the_port_is_open_is_not_noted(void **state)
{
    struct house *h = *state;
    house_open(h, (struct door_limits){.per_peer = 4});
    for (int i = 0; i < 50; i++) {
        int fd = plain_connect(house_port(h));
        shutdown(fd, SHUT_WR);
        assert_true(is_closed(fd));
        close(fd);
    }
    an_honest_client_is_served(h);
    assert_int_equal(h->notes_count, 0);
}

static void a_handshake_byte_by_byte(void **state)
{
    struct house *h = *state;
    house_open(h, (struct door_limits){.handshake_ms = 500});
    int fd = plain_connect(house_port(h));
    int64_t start = clock_mono_ms();
    bool ended = false;
    /* A record of 512 bytes: at this pace it would take a minute. */
    for (int i = 0; i < 512 && !ended; i++) {
        static const char head[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        struct pollfd p = {.fd = fd, .events = POLLIN};
        (void)send(fd, i < 11 ? &head[i] : "x", 1, MSG_NOSIGNAL);
        ended = poll(&p, 1, 100) == 1;
    }
    int64_t took = clock_mono_ms() - start;
    assert_true(is_closed(fd));
    close(fd);
    assert_in_range(took, 400, 5000);
    assert_string_equal(house_note(h, DOOR_NOTE_SLOW).why, "its handshake took too long");
    an_honest_client_is_served(h);
}

static void a_thousand_that_say_nothing(void **state)
{
    struct house *h = *state;
    enum { COUNT = 1000 };
    static int fds[COUNT];
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
    l.rlim_cur = l.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
    house_open(h, (struct door_limits){.handshake_ms = 60000}); /* none of these is over by itself */
    int64_t start = clock_mono_ms();
    for (int i = 0; i < COUNT; i++)
        fds[i] = plain_connect(house_port(h));
    /* All but 32 are turned away at once; those hold nothing but their own address back. */
    int open = 0, turned_away = 0;
    for (int i = COUNT - 1; i >= 32; i--)
        turned_away += is_closed(fds[i]);
    for (int i = 0; i < 32; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        open += poll(&p, 1, 0) == 0;
    }
    assert_int_equal(turned_away, COUNT - 32);
    assert_int_equal(open, 32);
    house_noted(h, DOOR_NOTE_MANY, COUNT - 32);
    assert_in_range(h->notes_count, 1, 2 + (clock_mono_ms() - start) / 1000); /* one a second */
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    an_honest_client_is_served(h);
}

static void unfinished_handshakes_make_room(void **state)
{
    struct house *h = *state;
    enum { COUNT = 60 };
    int fds[COUNT];
    house_open(h, (struct door_limits){.connections = 20, .per_peer = 1000, .handshake_ms = 60000});
    for (int i = 0; i < COUNT; i++)
        fds[i] = plain_connect(house_port(h));
    an_honest_client_is_served(h); /* although there are more than there is room for */
    struct house_note n = house_note(h, DOOR_NOTE_SLOW);
    assert_non_null(strstr(n.why, "too many handshakes"));
    assert_true(is_closed(fds[0]));
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
}

/* How much a client that reads nothing makes the other end send before it is stopped; closed in the end. */
static void a_client_that_stops_reading(void **state)
{
    struct house *h = *state;
    static char block[16 * 1024];
    house_open(h, (struct door_limits){.idle_ms = 1000});
    char why[256];
    struct tls_client *deaf = tls_client_open(
        house_port(h),
        &(struct tls_client_options){.dir = h->dir, .ca = "ca", .cert = "ci", .receive_buffer = 4096}, why);
    assert_non_null(deaf);
    int fd = house_taken(h, 0, NULL);
    size_t sent = 0;
    ssize_t n;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (sent < 64u << 20 && poll(&p, 1, 300) == 1 &&
           (n = send(fd, block, sizeof(block), MSG_NOSIGNAL)) > 0)
        sent += (size_t)n;
    /* The pair's own buffer, ours, and the kernel's for TCP. */
    assert_in_range(sent, 64 * 1024, 1024 * 1024);
    an_honest_client_is_served(h);
    assert_string_equal(house_note(h, DOOR_NOTE_IDLE).why, "it reads nothing");
    p.events = POLLIN;
    assert_int_equal(poll(&p, 1, 5000), 1);
    char got;
    assert_true(recv(fd, &got, 1, 0) <= 0);
    tls_client_close(deaf);
}

/* One that goes on sending meanwhile is not idle, and is stopped all the same. */
static void a_client_that_only_talks(void **state)
{
    struct house *h = *state;
    static char block[16 * 1024];
    char why[256], scrap[256];
    house_open(h, (struct door_limits){.idle_ms = 1000});
    struct tls_client *deaf = tls_client_open(
        house_port(h),
        &(struct tls_client_options){.dir = h->dir, .ca = "ca", .cert = "ci", .receive_buffer = 4096}, why);
    assert_non_null(deaf);
    int fd = house_taken(h, 0, NULL);
    struct pollfd w = {.fd = fd, .events = POLLOUT};
    while (poll(&w, 1, 300) == 1)
        (void)!send(fd, block, sizeof(block), MSG_NOSIGNAL);
    int64_t start = clock_mono_ms();
    while (clock_mono_ms() - start < 9000 && !house_has_note(h, DOOR_NOTE_IDLE)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (tls_client_write(deaf, "x", 1, why) < 1)
            break;
        if (poll(&p, 1, 50) == 1)
            (void)!recv(fd, scrap, sizeof(scrap), 0);
    }
    assert_true(house_has_note(h, DOOR_NOTE_IDLE)); /* while it still talked */
    assert_string_equal(house_note(h, DOOR_NOTE_IDLE).why, "it reads nothing");
    an_honest_client_is_served(h);
    tls_client_close(deaf);
}

/* The server reads nothing: the client is held back, others are not. */
static void a_client_that_floods(void **state)
{
    struct house *h = *state;
    static char block[16 * 1024];
    char why[256];
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL);
    struct timeval soon = {.tv_usec = 300000};
    assert_int_equal(setsockopt(tls_client_fd(c), SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)), 0);
    size_t sent = 0;
    int n;
    while (sent < 64u << 20 && (n = tls_client_write(c, block, sizeof(block), why)) > 0)
        sent += (size_t)n;
    assert_in_range(sent, 64 * 1024, 16 * 1024 * 1024);
    an_honest_client_is_served(h);
    int waiting = 0;
    assert_int_equal(ioctl(fd, FIONREAD, &waiting), 0);
    assert_in_range(waiting, 1, 1024 * 1024);
    tls_client_close(c);
}

static void a_record_that_was_changed(void **state)
{
    struct house *h = *state;
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL);
    static const char record[] = "\x17\x03\x03\x00\x20 this is no ciphertext at all ..";
    assert_true(send(tls_client_fd(c), record, 37, 0) == 37);
    struct house_note n = house_note(h, DOOR_NOTE_BROKEN);
    assert_string_equal(n.subject, "O = team, CN = ci");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char got;
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(recv(fd, &got, 1, 0), 0); /* not a byte of it arrived */
    tls_client_close(c);
    an_honest_client_is_served(h);
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
        test(garbage),
        test(noise),
        test(who_only_looks_whether_the_port_is_open_is_not_noted),
        test(a_handshake_byte_by_byte),
        test(a_thousand_that_say_nothing),
        test(unfinished_handshakes_make_room),
        test(a_client_that_stops_reading),
        test(a_client_that_only_talks),
        test(a_client_that_floods),
        test(a_record_that_was_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
