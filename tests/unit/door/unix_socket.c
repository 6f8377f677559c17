/* The unix socket: who reaches it, and what of a folder is refused. As root, as the programs run. */
#include "house.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

static const char *folder_of(const struct house *h)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/api", h->dir);
    return path;
}

static void refused(struct house *h, const char *group, int code, const char *why)
{
    struct error err = ERROR_INIT;
    int rc = house_open_unix(h, group, (struct door_limits){0}, &err);
    if (rc != code || !strstr(err.text, why))
        fail_msg("wanted \"%s\", got %s: %s", why, error_code_name(rc), err.text);
    assert_null(h->door);
}

static void opened(struct house *h, const char *group, struct door_limits limits)
{
    struct error err = ERROR_INIT;
    if (house_open_unix(h, group, limits, &err) < 0)
        fail_msg("%s", err.text);
}

static void tells_who_connected(void **state)
{
    struct house *h = *state;
    struct door_peer peer;
    char got[8], from[DOOR_FROM_MAX];
    struct stat st;
    opened(h, NULL, (struct door_limits){0});
    assert_int_equal(stat(folder_of(h), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(h->unix_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    int client = connect_to(h->unix_path);
    assert_true(client >= 0);
    int fd = house_taken(h, 0, &peer);
    snprintf(from, sizeof(from), "unix socket, pid %d", (int)getpid());
    assert_int_equal(peer.kind, DOOR_UNIX);
    assert_string_equal(peer.from, from);
    assert_int_equal(peer.uid, getuid());
    assert_int_equal(peer.gid, getgid());
    assert_int_equal(peer.pid, getpid());
    if (getuid() == 0)
        assert_string_equal(peer.user, "root");
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(write(client, "hello", 5), 5);
    assert_int_equal(read(fd, got, sizeof(got)), 5); /* the very socket: no copy in between */
    close(client);
}

static void the_group_may_enter(void **state)
{
    struct house *h = *state;
    const struct group *daemon = getgrnam("daemon");
    struct stat st;
    if (getuid() != 0 || !daemon)
        skip();
    opened(h, "daemon", (struct door_limits){0});
    assert_int_equal(stat(folder_of(h), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(st.st_gid, daemon->gr_gid);
    assert_int_equal(stat(h->unix_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(st.st_gid, daemon->gr_gid);
}

/* In a process of that user and group: connect()'s errno. */
static int connect_as(const char *path, uid_t uid, gid_t gid)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
            _exit(255);
        int fd = connect_to(path);
        _exit(fd >= 0 ? 0 : -fd);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void others_cannot_reach_it(void **state)
{
    struct house *h = *state;
    const struct group *daemon = getgrnam("daemon");
    struct door_peer peer;
    if (getuid() != 0 || !daemon)
        skip();
    assert_int_equal(chmod(h->dir, 0755), 0);
    opened(h, "daemon", (struct door_limits){0});
    assert_int_equal(connect_as(h->unix_path, 65534, 65534), EACCES);
    assert_int_equal(connect_as(h->unix_path, 54321, daemon->gr_gid), 0);
    house_taken(h, 0, &peer);
    assert_int_equal(peer.uid, 54321);
    assert_string_equal(peer.user, "uid 54321");
}

static void a_folder_that_is_too_open_is_refused(void **state)
{
    struct house *h = *state;
    static const mode_t modes[] = {0701, 0704, 0702, 0755, 0777, 0720, 0750, 0710};
    assert_int_equal(mkdir(folder_of(h), 0700), 0);
    for (size_t i = 0; i < array_len(modes); i++) {
        assert_int_equal(chmod(folder_of(h), modes[i]), 0);
        refused(h, NULL, ERR_DENIED, "is open to others");
    }
    assert_int_equal(chmod(folder_of(h), 0700), 0);
    opened(h, NULL, (struct door_limits){0});
}

static void a_folder_of_somebody_else_is_refused(void **state)
{
    struct house *h = *state;
    if (getuid() != 0 || !getgrnam("daemon"))
        skip();
    assert_int_equal(mkdir(folder_of(h), 0700), 0);
    assert_int_equal(chown(folder_of(h), 1234, 0), 0);
    refused(h, NULL, ERR_DENIED, "belongs to user 1234");
    assert_int_equal(chown(folder_of(h), 0, 0), 0);
    refused(h, "daemon", ERR_DENIED, "is not open to the unix socket's group");
    assert_int_equal(chown(folder_of(h), 0, 4321), 0);
    assert_int_equal(chmod(folder_of(h), 0750), 0);
    refused(h, "daemon", ERR_DENIED, "belongs to group 4321");
    assert_int_equal(chmod(folder_of(h), 0770), 0);
    assert_int_equal(chown(folder_of(h), 0, getgrnam("daemon")->gr_gid), 0);
    refused(h, "daemon", ERR_DENIED, "is open to others"); /* the group could put another socket there */
}

static void no_folder_no_group_no_path(void **state)
{
    struct house *h = *state;
    assert_int_equal(symlink("/tmp", folder_of(h)), 0);
    refused(h, NULL, ERR_DENIED, "must be a folder");
    assert_int_equal(unlink(folder_of(h)), 0);
    refused(h, "no-such-group", ERR_NOT_FOUND, "no group 'no-such-group'");
    snprintf(h->unix_path, sizeof(h->unix_path), "%s/none/api/socket", h->dir);
    refused(h, NULL, ERR_NOT_FOUND, "none/api");
    snprintf(h->unix_path, sizeof(h->unix_path), "socket");
    refused(h, NULL, ERR_INVALID, "is no path for a unix socket");
    memset(h->unix_path, 'a', sizeof(h->unix_path) - 1);
    memcpy(h->unix_path, "/tmp/", 5);
    refused(h, NULL, ERR_INVALID, "is no path for a unix socket");
}

static void a_socket_that_answers_is_left_alone(void **state)
{
    struct house *h = *state;
    struct stat st;
    opened(h, NULL, (struct door_limits){0});
    struct door *first = h->door;
    h->door = NULL;
    refused(h, NULL, ERR_CONFLICT, "another program listens");
    int client = connect_to(h->unix_path); /* and the first still serves */
    assert_true(client >= 0);
    close(client);
    door_free(first);
    assert_int_equal(stat(h->unix_path, &st), -1);
}

static void what_a_dead_process_left_is_replaced(void **state)
{
    struct house *h = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    assert_int_equal(mkdir(folder_of(h), 0700), 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", h->unix_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd); /* the name stays */
    opened(h, NULL, (struct door_limits){0});
    int client = connect_to(h->unix_path);
    assert_true(client >= 0);
    house_taken(h, 0, NULL);
    close(client);
    door_free(take(h->door));
    fd = open(h->unix_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    refused(h, NULL, ERR_INVALID, "is no socket");
}

static void one_user_gets_so_many(void **state)
{
    struct house *h = *state;
    int clients[4];
    char got;
    opened(h, NULL, (struct door_limits){.per_peer = 3});
    for (int i = 0; i < 4; i++)
        assert_true((clients[i] = connect_to(h->unix_path)) >= 0);
    house_taken(h, 2, NULL);
    assert_int_equal(read(clients[3], &got, 1), 0);
    struct house_note n = house_note(h, DOOR_NOTE_MANY);
    assert_non_null(strstr(n.why, "of its user"));
    assert_int_equal(house_taken_count(h), 3);
    /* One ends; the next is let in, whatever its number was. */
    int first = house_taken(h, 0, NULL);
    close(first);
    h->taken[0].fd = -1;
    int again = connect_to(h->unix_path);
    assert_true(again >= 0);
    assert_int_not_equal(house_taken(h, 3, NULL), first);
    close(again);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
}

static void one_that_is_not_wanted_is_closed(void **state)
{
    struct house *h = *state;
    char got;
    opened(h, NULL, (struct door_limits){0});
    atomic_store(&h->refuses, true);
    int client = connect_to(h->unix_path);
    assert_int_equal(read(client, &got, 1), 0);
    assert_string_equal(house_note(h, DOOR_NOTE_REFUSED).why, "the house is shut");
    close(client);
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
        test(tells_who_connected),
        test(the_group_may_enter),
        test(others_cannot_reach_it),
        test(a_folder_that_is_too_open_is_refused),
        test(a_folder_of_somebody_else_is_refused),
        test(no_folder_no_group_no_path),
        test(a_socket_that_answers_is_left_alone),
        test(what_a_dead_process_left_is_replaced),
        test(one_user_gets_so_many),
        test(one_that_is_not_wanted_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
