#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <base/text.h>

static char text[256 * 1024];

/* What one call writes to stderr. */
static const char *captured(void (*call)(void))
{
    char path[] = "/tmp/se-test-log-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC), saved = dup(2);
    assert_true(fd >= 0 && saved >= 0);
    unlink(path);
    dup2(fd, 2);
    call();
    dup2(saved, 2);
    close(saved);
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static size_t count_of(const char *in, const char *what)
{
    size_t n = 0;
    for (const char *p = in; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static void one_event(void)
{
    log_event(LOG_LEVEL_INFO, "order taken", LOG_S("kind", "apply"), LOG_S("why", "a \"b\"\nc=d"),
              LOG_S("empty", NULL), LOG_I("order", 7));
}

static void debug_event(void)
{
    log_event(LOG_LEVEL_DEBUG, "noise");
}

static void huge_event(void)
{
    static char big[20000];
    memset(big, 'x', sizeof(big) - 1);
    log_event(LOG_LEVEL_ERROR, "big", LOG_S("v", big), LOG_S("w", big), LOG_S("z", "last"));
}

static void one_line_an_event(void **state)
{
    (void)state;
    log_open("agent", "s1", LOG_LEVEL_INFO, LOG_LOGFMT);
    const char *line = captured(one_event);
    assert_non_null(strstr(line, " level=info program=agent host=s1 msg=\"order taken\" kind=apply "
                                 "why=\"a \\\"b\\\"\\nc=d\" empty=\"\" order=7\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_string_equal(captured(debug_event), "");
    log_open("agent", "s1", LOG_LEVEL_INFO, LOG_JSON);
    line = captured(one_event);
    assert_non_null(strstr(line,
                           "\"level\":\"info\",\"program\":\"agent\",\"host\":\"s1\",\"msg\":\"order taken\","
                           "\"kind\":\"apply\",\"why\":\"a \\\"b\\\"\\nc=d\",\"empty\":\"\","
                           "\"order\":7}\n"));
    assert_memory_equal(line, "{\"time\":\"2", 10);
}

/* Whole fields, in one piece of what a pipe takes, and it says so. */
static void too_long(void **state)
{
    (void)state;
    log_open("agent", "s1", LOG_LEVEL_INFO, LOG_LOGFMT);
    const char *line = captured(huge_event);
    assert_true(strlen(line) <= 4096 && strlen(line) > 2000);
    assert_non_null(strstr(line, "xxx\xe2\x80\xa6\" truncated=1\n"));
    log_open("agent", "s1", LOG_LEVEL_INFO, LOG_JSON);
    line = captured(huge_event);
    assert_non_null(strstr(line, "xxx\xe2\x80\xa6\",\"truncated\":1}\n"));
}

/* What a server's answer, a file or a person may bring. */
static const struct {
    const char *value, *shown;
} hostile[] = {
    {"x\ntime=2026-01-01T00:00:00Z level=error msg=forged", "\\ntime=2026"},
    {"x\r\n{\"msg\":\"forged\"}", "\\r\\n{\\\"msg\\\":"},
    {"\x1b[2J\x1b]0;owned\x07", "\\u001b[2J\\u001b]0;owned\\u0007"},
    {"\" msg=\"forged", "\"\\\" msg=\\\"forged\""},
    {"\\", "\"\\\\\""},
    {"\xff\xfe\xc3", "\"\\ufffd\\ufffd\\ufffd\""},
    {"\xc2\x9b"
     "31m",
     "\"\\u009b31m\""},
    {"a\xe2\x80\xae"
     "b",
     "\"a\\u202eb\""},
    {"a\xe2\x80\xa8"
     "b",
     "\"a\\u2028b\""},
    {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
    {"del\x7f", "\"del\\u007f\""},
    {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
};
static size_t hostile_now;

static void hostile_event(void)
{
    log_event(LOG_LEVEL_INFO, "heard", LOG_S("why", hostile[hostile_now].value), LOG_I("n", 1));
}

static void forges_no_line(void **state)
{
    (void)state;
    for (enum log_format format = LOG_LOGFMT; format <= LOG_JSON; format++)
        for (hostile_now = 0; hostile_now < array_len(hostile); hostile_now++) {
            log_open("agent", "s1", LOG_LEVEL_DEBUG, format);
            const char *line = captured(hostile_event);
            if (!strstr(line, hostile[hostile_now].shown))
                fail_msg("%zu: %s", hostile_now, line);
            assert_int_equal(count_of(line, "\n"), 1);
            assert_true(text_is_utf8(line, strlen(line)));
            for (const char *p = line; p[1]; p++)
                assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
            assert_non_null(strstr(line, format == LOG_JSON ? ",\"n\":1}\n" : " n=1\n"));
        }
}

static void about_event(void)
{
    log_event(LOG_LEVEL_INFO, "x", LOG_S("server", "s3"));
}

static void *other_thread(void *arg)
{
    (void)arg;
    about_event();
    return NULL;
}

static void about_in_a_thread(void)
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, other_thread, NULL), 0);
    pthread_join(t, NULL);
}

static void says_what_it_is_about(void **state)
{
    (void)state;
    log_open("agent", "", LOG_LEVEL_INFO, LOG_LOGFMT);
    log_context(LOG_OPERATION, "op-1");
    log_context(LOG_STAGE, "rotate");
    log_context(LOG_SERVER, "s1"); /* the event's own word stands */
    log_context(LOG_ROW, "order");
    assert_non_null(
        strstr(captured(about_event), " msg=x server=s3 operation=op-1 stage=rotate row=order\n"));
    assert_non_null(strstr(captured(about_in_a_thread), " msg=x server=s3\n"));
    log_context(LOG_OPERATION, NULL);
    log_context(LOG_STAGE, "");
    log_context(LOG_SERVER, NULL);
    log_context(LOG_ROW, NULL);
    assert_non_null(strstr(captured(about_event), " msg=x server=s3\n"));
}

static void flood(void)
{
    for (int i = 0; i < 1000; i++)
        log_event(LOG_LEVEL_INFO, "flood", LOG_I("i", i));
    for (int i = 0; i < 3; i++)
        log_event(LOG_LEVEL_INFO, "drop");
    log_event(LOG_LEVEL_ERROR, "flood"); /* another level is another event */
    log_flush();
    log_flush();
}

static void rate_is_limited(void **state)
{
    (void)state;
    log_open("agent", "s1", LOG_LEVEL_INFO, LOG_LOGFMT);
    const char *lines = captured(flood);
    assert_int_equal(count_of(lines, "level=info program=agent host=s1 msg=flood"), LOG_BURST);
    assert_non_null(strstr(lines, "i=19\n"));
    assert_int_equal(count_of(lines, "msg=drop"), 3);
    assert_int_equal(count_of(lines, "level=error program=agent host=s1 msg=flood"), 1);
    assert_int_equal(count_of(lines, "msg=\"lines left out\" of=flood suppressed=980\n"), 1);
    log_open("agent", "s1", LOG_LEVEL_DEBUG, LOG_LOGFMT);
    assert_int_equal(count_of(captured(flood), "level=info program=agent host=s1 msg=flood"), 1000);
}

static void ups_and_downs(void)
{
    struct log_dependency etcd = LOG_DEPENDENCY("state store away", "state store back");
    log_dependency(&etcd, true, NULL);
    for (int i = 0; i < 50; i++)
        log_dependency(&etcd, false, i ? "still refused" : "refused");
    log_dependency(&etcd, true, NULL);
    log_dependency(&etcd, true, NULL);
    log_dependency(&etcd, false, "again");
}

static void a_dependency_is_told_once(void **state)
{
    (void)state;
    log_open("agent", "s1", LOG_LEVEL_DEBUG, LOG_LOGFMT);
    const char *lines = captured(ups_and_downs);
    assert_int_equal(count_of(lines, "\n"), 3);
    assert_int_equal(
        count_of(lines, "level=warning program=agent host=s1 msg=\"state store away\" why=refused\n"), 1);
    assert_int_equal(count_of(lines, "level=notice program=agent host=s1 msg=\"state store back\" after_ms="),
                     1);
    assert_int_equal(count_of(lines, " failures=50\n"), 1);
    assert_int_equal(count_of(lines, "msg=\"state store away\" why=again\n"), 1);
}

static void levels(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse("warning"), LOG_LEVEL_WARNING);
    assert_int_equal(log_level_parse("loud"), -1);
    assert_int_equal(log_format_parse("json"), LOG_JSON);
    assert_int_equal(log_format_parse("xml"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_an_event),
        cmocka_unit_test(too_long),
        cmocka_unit_test(forges_no_line),
        cmocka_unit_test(says_what_it_is_about),
        cmocka_unit_test(rate_is_limited),
        cmocka_unit_test(a_dependency_is_told_once),
        cmocka_unit_test(levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
