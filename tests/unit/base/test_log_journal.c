/* The journal's side is played here: a datagram socket, and its protocol read to the letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <base/log.h>
#include <base/text.h>
#include <log_parts.h>

struct bench {
    char dir[32], path[64];
    int fd;
    char data[128 * 1024];
    size_t len;
};

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(b->dir, sizeof(b->dir), "/tmp/se-journal-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof(b->path), "%s/socket", b->dir);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", b->path);
    b->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(b->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    close(b->fd);
    unlink(b->path);
    rmdir(b->dir);
    free(b);
    return 0;
}

/* The n-th value of a field in the entry; NULL: none. Fails where the entry is not what the protocol says. */
static const char *field(struct bench *b, const char *name, size_t n, size_t *ret_len)
{
    size_t at = 0;
    while (at < b->len) {
        char *nl = memchr(b->data + at, '\n', b->len - at);
        assert_non_null(nl);
        size_t name_len = (size_t)(nl - b->data) - at;
        assert_null(memchr(b->data + at, '=', name_len)); /* all are in the form with a length */
        uint64_t wire, len;
        memcpy(&wire, nl + 1, sizeof(wire));
        len = le64toh(wire);
        char *value = nl + 1 + sizeof(wire);
        assert_true(len < b->len && value + len < b->data + b->len && value[len] == '\n');
        if (strlen(name) == name_len && memcmp(name, b->data + at, name_len) == 0 && n-- == 0) {
            *ret_len = len;
            return value;
        }
        at = (size_t)(value - b->data) + len + 1;
    }
    return NULL;
}

static void expect(struct bench *b, const char *name, const char *wanted)
{
    size_t len = 0;
    const char *value = field(b, name, 0, &len);
    if (!value || len != strlen(wanted) || memcmp(value, wanted, len) != 0)
        fail_msg("%s is '%.*s', not '%s'", name, value ? (int)len : 0, value ? value : "", wanted);
}

static void send_to(struct bench *b, struct log_line *l)
{
    assert_true(log_journal_send(l, b->path));
    ssize_t n = recv(b->fd, b->data, sizeof(b->data), 0);
    assert_true(n > 0);
    b->len = (size_t)n;
}

static void has_fields(void **state)
{
    struct bench *b = *state;
    struct log_line l = {
        .program = "agent", .server = "s1", .event = "order taken", .level = LOG_LEVEL_NOTICE};
    l.fields[l.count++] = LOG_I("order", -7);
    l.fields[l.count++] = LOG_S("operation", "op-1");
    l.fields[l.count++] = LOG_S("stage", "rotate");
    l.fields[l.count++] = LOG_S("row", "order-next");
    send_to(b, &l);
    expect(b, "MESSAGE", "order taken order=-7 operation=op-1 stage=rotate row=order-next");
    expect(b, "PRIORITY", "5");
    expect(b, "SYSLOG_IDENTIFIER", "test_base_log_journal");
    expect(b, "SE_HOST", "s1");
    expect(b, "SE_ORDER", "-7");
    expect(b, "SE_OPERATION", "op-1");
    expect(b, "SE_STAGE", "rotate");
    expect(b, "SE_ROW", "order-next");
}

static void forges_no_field(void **state)
{
    struct bench *b = *state;
    size_t len = 0;
    const char *evil = "x\nPRIORITY=0\nMESSAGE\n\x04\n_PID=1\n\xff\x1b[2J";
    struct log_line l = {.program = "agent", .server = evil, .event = evil, .level = LOG_LEVEL_INFO};
    l.fields[l.count++] = LOG_S("why", evil);
    send_to(b, &l);
    expect(b, "PRIORITY", "6");
    expect(b, "SE_WHY", evil);
    assert_null(field(b, "PRIORITY", 1, &len));
    assert_null(field(b, "MESSAGE", 1, &len));
    assert_null(field(b, "_PID", 0, &len));
    const char *message = field(b, "MESSAGE", 0, &len);
    assert_null(memchr(message, '\n', len)); /* what people see is one line */
    assert_null(memchr(message, 0x1b, len));
}

static void large_and_gone(void **state)
{
    struct bench *b = *state;
    static char big[20000];
    size_t len = 0;
    memset(big, 'x', sizeof(big) - 1);
    struct log_line l = {.program = "agent", .server = "s1", .event = "big", .level = LOG_LEVEL_INFO};
    for (int i = 0; i < LOG_FIELDS; i++)
        l.fields[l.count++] = LOG_S("v", big);
    send_to(b, &l);
    assert_non_null(field(b, "SE_V", LOG_FIELDS - 1, &len));
    assert_int_equal(len, LOG_VALUE_MAX + strlen(LOG_CUT)); /* what was cut says so, as in a line */
    assert_memory_equal(field(b, "SE_V", 0, &len) + LOG_VALUE_MAX, LOG_CUT, strlen(LOG_CUT));
    for (size_t i = 1; i + 2 < sizeof(big); i += 2)
        memcpy(&big[i], "\xc3\xbc",
               2); /* the cut would go through a sign: journalctl shows such a value as a blob */
    send_to(b, &l);
    assert_non_null(field(b, "SE_V", 0, &len));
    assert_int_equal(len, LOG_VALUE_MAX - 1 + strlen(LOG_CUT));
    assert_true(text_is_utf8(field(b, "SE_V", 0, &len), len));
    assert_false(log_journal_send(&l, "/nonexistent/socket"));
}

static void knows_the_journal(void **state)
{
    (void)state;
    struct stat st;
    char stream[64];
    assert_int_equal(fstat(0, &st), 0);
    static const char *const others[] = {"", "x", "1", "1:", ":1", "1:2", "1:2:3", "99999999999999999999:1"};
    unsetenv("JOURNAL_STREAM");
    assert_false(log_journal_is(0));
    for (size_t i = 0; i < array_len(others); i++) {
        setenv("JOURNAL_STREAM", others[i], 1);
        assert_false(log_journal_is(0));
    }
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    assert_true(log_journal_is(0));
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_false(log_journal_is(fds[0])); /* inherited from a parent, but redirected since */
    close(fds[0]);
    close(fds[1]);
    unsetenv("JOURNAL_STREAM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(has_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forges_no_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_and_gone, set_up, tear_down),
        cmocka_unit_test(knows_the_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
