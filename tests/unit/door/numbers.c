#include "house.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "numbers.h"

#define NOBODY ((uid_t)-1)

static int a_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static int moved(struct numbers *n, int64_t now_ms)
{
    int fd = a_socket(), before = fd;
    assert_int_equal(numbers_move(n, &fd, NOBODY, now_ms, NULL), 0);
    assert_true(fcntl(before, F_GETFD) < 0); /* the old number is closed */
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    return fd;
}

/* In a process of its own limits: 64 numbers, of which 32 are for the door. */
static struct numbers *few(void)
{
    struct numbers *n = NULL;
    struct rlimit l = {64, 64};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
    assert_int_equal(numbers_new(60000, &n, NULL), 0);
    return n;
}

static void a_number_rests_after_its_end(void **state)
{
    (void)state;
    struct numbers *n = few();
    bool seen[64] = {false};
    int count = 0, fd;
    for (;;) { /* each ends at once */
        struct error err = ERROR_INIT;
        fd = a_socket();
        if (numbers_move(n, &fd, NOBODY, 1000, &err) < 0) {
            assert_int_equal(err.code, ERR_TOO_LARGE);
            assert_true(fcntl(fd, F_GETFD) >= 0); /* stayed as it was */
            close(fd);
            break;
        }
        assert_in_range(fd, 32, 63);
        assert_false(seen[fd]);
        seen[fd] = true;
        count++;
        close(fd);
        numbers_look(n, 1000);
    }
    assert_int_equal(count, 32);
    fd = a_socket();
    assert_int_equal(numbers_move(n, &fd, NOBODY, 60999, NULL), ERR_TOO_LARGE);
    close(fd);
    close(moved(n, 61000));
    numbers_free(n);
}

static void the_rest_begins_at_the_end_not_at_the_start(void **state)
{
    (void)state;
    struct numbers *n = few();
    int long_one = moved(n, 1000);
    for (int i = 0; i < 31; i++)
        close(moved(n, 1000));
    numbers_look(n, 1000);
    numbers_look(n, 500000);
    close(long_one);
    numbers_look(n, 500001);
    /* All 31 others come first; then the one that ended last still rests. */
    for (int i = 0; i < 31; i++)
        assert_int_not_equal(moved(n, 500002), long_one);
    int fd = a_socket();
    assert_int_equal(numbers_move(n, &fd, NOBODY, 560000, NULL), ERR_TOO_LARGE);
    assert_int_equal(numbers_move(n, &fd, NOBODY, 560001, NULL), 0);
    assert_int_equal(fd, long_one);
    for (int i = 32; i < 64; i++)
        close(i);
    numbers_free(n);
}

static void an_end_that_nobody_saw_is_no_end(void **state)
{
    (void)state;
    struct numbers *n = few();
    int first = moved(n, 1000);
    close(first);
    for (int i = 0; i < 31; i++)
        assert_int_not_equal(moved(n, 900000), first);
    int fd = a_socket();
    assert_int_equal(numbers_move(n, &fd, NOBODY, 900000, NULL), ERR_TOO_LARGE); /* not looked at yet */
    numbers_look(n, 900000);
    assert_int_equal(numbers_move(n, &fd, NOBODY, 959999, NULL), ERR_TOO_LARGE);
    assert_int_equal(numbers_move(n, &fd, NOBODY, 960000, NULL), 0);
    for (int i = 32; i < 64; i++)
        close(i);
    numbers_free(n);
}

static void another_file_under_the_number_is_not_it(void **state)
{
    (void)state;
    struct numbers *n = few();
    int fd = a_socket();
    assert_int_equal(numbers_move(n, &fd, 7, 1000, NULL), 0);
    assert_int_equal(numbers_unix(n), 1);
    assert_int_equal(numbers_of_user(n, 7), 1);
    assert_int_equal(numbers_of_user(n, 8), 0);
    close(fd);
    int other = a_socket();
    assert_int_equal(dup2(other, fd), fd);
    numbers_look(n, 2000);
    assert_int_equal(numbers_unix(n), 0);
    assert_int_equal(numbers_of_user(n, 7), 0);
    close(other);
    /* Somebody else sits on the next number: it is left to them. */
    int taken = dup2(0, fd + 1) == fd + 1 ? fd + 1 : -1;
    assert_int_equal(taken, fd + 1);
    int next = moved(n, 100000);
    assert_int_equal(next, fd + 2);
    close(next);
    close(taken);
    close(fd);
    numbers_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_rests_after_its_end),
        cmocka_unit_test(the_rest_begins_at_the_end_not_at_the_start),
        cmocka_unit_test(an_end_that_nobody_saw_is_no_end),
        cmocka_unit_test(another_file_under_the_number_is_not_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
