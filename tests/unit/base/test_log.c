#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/log.h>

static char text[8192];

/* What one call writes to stderr. */
static const char *captured(void (*call)(void))
{
    int fds[2], saved = dup(2);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    dup2(fds[1], 2);
    close(fds[1]);
    call();
    dup2(saved, 2);
    close(saved);
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    close(fds[0]);
    text[n > 0 ? n : 0] = 0;
    return text;
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
    log_event(LOG_LEVEL_ERROR, "big", LOG_S("v", big));
}

static void one_line_an_event(void **state)
{
    (void)state;
    log_open("agent", "s1", LOG_LEVEL_INFO);
    const char *line = captured(one_event);
    assert_non_null(strstr(line, " level=info program=agent host=s1 msg=\"order taken\" kind=apply "
                                 "why=\"a \\\"b\\\"?c=d\" empty=\"\" order=7\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_string_equal(captured(debug_event), "");
    line = captured(huge_event);
    assert_non_null(strstr(line, "truncated=1\n"));
}

static void levels(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse("warning"), LOG_LEVEL_WARNING);
    assert_int_equal(log_level_parse("loud"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_line_an_event), cmocka_unit_test(levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
