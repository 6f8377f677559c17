#include "house.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include <base/clock.h>
#include <base/text.h>

#define WAIT_MS 10000

static int on_take(void *arg, int fd, const struct door_peer *peer, struct error *err)
{
    struct house *h = arg;
    if (atomic_load(&h->refuses))
        return error_set(err, ERR_STATE, "the house is shut");
    pthread_mutex_lock(&h->lock);
    if (h->taken_count == HOUSE_TAKEN)
        abort(); /* not a test's thread */
    h->taken[h->taken_count].fd = fd;
    h->taken[h->taken_count++].peer = *peer;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return 0;
}

static void on_note(void *arg, const struct door_note *note)
{
    struct house *h = arg;
    pthread_mutex_lock(&h->lock);
    if (h->notes_count == HOUSE_NOTES)
        abort();
    struct house_note *n = &h->notes[h->notes_count++];
    n->kind = note->kind;
    n->left_out = note->left_out;
    (void)text_copy(n->from, sizeof(n->from), note->from);
    (void)text_copy(n->subject, sizeof(n->subject), note->subject);
    (void)text_copy(n->why, sizeof(n->why), note->why);
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

struct house *house_new(void)
{
    struct house *h = calloc(1, sizeof(*h));
    assert_non_null(h);
    signal(SIGPIPE, SIG_IGN); /* the clients' own sockets */
    snprintf(h->dir, sizeof(h->dir), "/tmp/door-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    tls_make_ca(h->dir, "ca");
    tls_make(h->dir, "ca", "server", &(struct tls_made){.subject = "CN=server", .sans = "IP:127.0.0.1"});
    tls_make(h->dir, "ca", "ci", &(struct tls_made){.subject = "O=team,CN=ci", .usage = "clientAuth"});
    snprintf(h->cert, sizeof(h->cert), "%s/server.crt", h->dir);
    snprintf(h->key, sizeof(h->key), "%s/server.key", h->dir);
    snprintf(h->ca, sizeof(h->ca), "%s/ca.crt", h->dir);
    snprintf(h->unix_path, sizeof(h->unix_path), "%s/api/socket", h->dir);
    return h;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

void house_free(struct house *h)
{
    door_free(h->door);
    for (size_t i = 0; i < h->taken_count; i++)
        closep(&h->taken[i].fd);
    assert_int_equal(nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
    free(h);
}

void house_open(struct house *h, struct door_limits limits)
{
    struct error err = ERROR_INIT;
    struct door_options o = {.tcp = {"127.0.0.1:0"},
                             .tcp_count = 1,
                             .files = {h->cert, h->key, h->ca},
                             .limits = limits,
                             .take = on_take,
                             .note = on_note,
                             .arg = h};
    if (door_new(&o, &h->door, &err) < 0)
        fail_msg("%s", err.text);
}

int house_open_unix(struct house *h, const char *group, struct door_limits limits, struct error *err)
{
    struct door_options o = {.unix_path = h->unix_path,
                             .unix_group = group,
                             .limits = limits,
                             .take = on_take,
                             .note = on_note,
                             .arg = h};
    return door_new(&o, &h->door, err);
}

uint16_t house_port(const struct house *h)
{
    uint16_t port = door_port(h->door, 0);
    assert_true(port > 0);
    return port;
}

/* With the lock held: false when time is over. */
static bool wait_change(struct house *h, int64_t until_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 1;
    pthread_cond_timedwait(&h->changed, &h->lock, &t);
    return clock_mono_ms() < until_ms;
}

int house_taken(struct house *h, size_t n, struct door_peer *ret)
{
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    pthread_mutex_lock(&h->lock);
    while (h->taken_count <= n && wait_change(h, until_ms))
        ;
    bool there = h->taken_count > n;
    int fd = there ? h->taken[n].fd : -1;
    if (there && ret)
        *ret = h->taken[n].peer;
    pthread_mutex_unlock(&h->lock);
    if (!there) {
        for (size_t i = 0; i < h->notes_count; i++)
            print_message("note %s: %s\n", door_note_name(h->notes[i].kind), h->notes[i].why);
        fail_msg("connection %zu was not handed on", n);
    }
    return fd;
}

size_t house_taken_count(struct house *h)
{
    pthread_mutex_lock(&h->lock);
    size_t count = h->taken_count;
    pthread_mutex_unlock(&h->lock);
    return count;
}

/* With the lock held. */
static uint64_t count_notes(const struct house *h, enum door_note_kind kind,
                            const struct house_note **ret_first)
{
    uint64_t count = 0;
    for (size_t i = h->notes_count; i-- > 0;)
        if (h->notes[i].kind == kind) {
            count += 1 + h->notes[i].left_out;
            *ret_first = &h->notes[i];
        }
    return count;
}

struct house_note house_note(struct house *h, enum door_note_kind kind)
{
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    const struct house_note *first = NULL;
    struct house_note copy = {0};
    pthread_mutex_lock(&h->lock);
    while (count_notes(h, kind, &first) == 0 && wait_change(h, until_ms))
        ;
    if (first)
        copy = *first;
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; !first && i < h->notes_count; i++)
        print_message("note %s: %s\n", door_note_name(h->notes[i].kind), h->notes[i].why);
    if (!first)
        fail_msg("no note '%s' came", door_note_name(kind));
    return copy;
}

void house_noted(struct house *h, enum door_note_kind kind, uint64_t count)
{
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    const struct house_note *first = NULL;
    pthread_mutex_lock(&h->lock);
    while (count_notes(h, kind, &first) < count && wait_change(h, until_ms))
        ;
    uint64_t got = count_notes(h, kind, &first);
    pthread_mutex_unlock(&h->lock);
    assert_int_equal(got, count);
}

bool house_has_note(struct house *h, enum door_note_kind kind)
{
    const struct house_note *first = NULL;
    pthread_mutex_lock(&h->lock);
    uint64_t count = count_notes(h, kind, &first);
    pthread_mutex_unlock(&h->lock);
    return count > 0;
}

struct tls_client *house_client(const struct house *h, const char *cert)
{
    char why[256] = "";
    struct tls_client_options o = {.dir = h->dir, .ca = "ca", .cert = cert, .protocol = "h2"};
    struct tls_client *c = tls_client_open(house_port(h), &o, why);
    if (!c)
        fail_msg("refused: %s", why);
    return c;
}

static ssize_t read_some(int fd, void *data, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, WAIT_MS) == 1 ? read(fd, data, size) : -1;
}

void house_check_both_ways(struct tls_client *c, int fd)
{
    char got[64] = "", why[256] = "";
    assert_int_equal(tls_client_write(c, "knock", 5, why), 5);
    assert_int_equal(read_some(fd, got, sizeof(got)), 5);
    assert_memory_equal(got, "knock", 5);
    assert_int_equal(write(fd, "come in", 7), 7);
    assert_int_equal(tls_client_read(c, got, sizeof(got), why), 7);
    assert_memory_equal(got, "come in", 7);
}
