/* A wire that changes one byte: a process between a client and a server on loopback. It passes everything on,
 * except that the first `pattern` that the server sends loses its last bit. */
#ifndef TEST_GARBLE_H
#define TEST_GARBLE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "check.h"

#define GARBLE_PAIRS 8

struct garble {
    pid_t pid;
    int port; /* to connect to */
};

static inline int garble_connect(int port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
        return fd;
    _exit(1);
}

/* Passes on what there is; false at the end. */
static inline bool garble_pass(int from, int to, const char *pattern)
{
    static uint8_t data[65536];
    static bool done;
    ssize_t n = read(from, data, sizeof(data));
    if (n <= 0)
        return false;
    uint8_t *hit = pattern && !done ? memmem(data, (size_t)n, pattern, strlen(pattern)) : NULL;
    if (hit) {
        hit[strlen(pattern) - 1] ^= 1;
        done = true;
    }
    for (ssize_t at = 0, m; at < n; at += m)
        if ((m = write(to, data + at, (size_t)(n - at))) <= 0)
            return false;
    return true;
}

/* Even places: the client's sides; the next one: the server's. */
static inline void garble_run(int listening, int server_port, const char *pattern)
{
    struct pollfd fds[2 * GARBLE_PAIRS + 1];
    nfds_t count = 0;
    for (;;) {
        fds[count] = (struct pollfd){.fd = listening, .events = POLLIN};
        if (poll(fds, count + 1, -1) < 0)
            _exit(1);
        for (nfds_t i = 0; i < count; i++) {
            nfds_t peer = i ^ 1;
            if (fds[i].fd < 0 || !fds[i].revents ||
                garble_pass(fds[i].fd, fds[peer].fd, i & 1 ? pattern : NULL))
                continue;
            close(fds[i].fd);
            close(fds[peer].fd);
            fds[i].fd = fds[peer].fd = -1;
        }
        if (!fds[count].revents)
            continue;
        if (count + 2 > 2 * GARBLE_PAIRS)
            _exit(1);
        fds[count] = (struct pollfd){.fd = accept(listening, NULL, NULL), .events = POLLIN};
        fds[count + 1] = (struct pollfd){.fd = garble_connect(server_port), .events = POLLIN};
        count += 2;
    }
}

static inline struct garble garble_start(int server_port, const char *pattern)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, GARBLE_PAIRS), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    struct garble g = {.pid = fork(), .port = ntohs(in.sin_port)};
    if (g.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        garble_run(fd, server_port, pattern);
    }
    assert_true(g.pid > 0);
    close(fd);
    return g;
}

static inline void garble_stop(const struct garble *g)
{
    kill(g->pid, SIGKILL);
    waitpid(g->pid, NULL, 0);
}

#endif
