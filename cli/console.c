#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <base/text.h>
#include <cli/events.h>
#include <report/table.h>

#define WIDTH_DEFAULT 80
#define TEXT_MAX      2048

static bool live_line_stands;
static int interrupt_fd = -1;
static volatile sig_atomic_t interrupt_seen;

static void wipe_live_line(void)
{
    if (live_line_stands)
        fputs("\r\033[K", stderr);
    live_line_stands = false;
}

static struct {
    bool json, quiet, record_shown;
    char said[TEXT_MAX];    /* the last line on stderr */
    char message[TEXT_MAX]; /* the result, or the reason of the end */
    char operation[CLUSTER_ID_MAX];
} mode;

void console_begin(enum output output, bool quiet)
{
    mode.json = output == OUTPUT_JSON;
    mode.quiet = quiet;
}

bool console_json(void)
{
    return mode.json;
}

bool console_quiet(void)
{
    return mode.quiet;
}

void console_operation(const char *id)
{
    text_copy(mode.operation, sizeof(mode.operation), id);
}

static void put_line(const char *text)
{
    _cleanup_(buf_freep) struct buf line = BUF_INIT(2 * TEXT_MAX);
    wipe_live_line();
    if (buf_adds(&line, text, NULL) == 0)
        make_printable(&line);
    fprintf(stderr, "secrets-encrypt: %s\n", buf_str(&line));
}

#define FORMAT_INTO(text, format)                                                                            \
    do {                                                                                                     \
        va_list ap;                                                                                          \
        va_start(ap, format);                                                                                \
        vsnprintf(text, sizeof(text), format, ap);                                                           \
        va_end(ap);                                                                                          \
    } while (0)

void say(const char *format, ...)
{
    FORMAT_INTO(mode.said, format);
    put_line(mode.said);
}

void say_more(const char *format, ...)
{
    char text[TEXT_MAX];
    FORMAT_INTO(text, format);
    if (!mode.quiet)
        put_line(text);
}

int end_with(int code, const char *format, ...)
{
    char text[TEXT_MAX];
    FORMAT_INTO(text, format);
    text_copy(mode.message, sizeof(mode.message), text);
    say("%s", text);
    return code;
}

int fail(const struct error *err)
{
    return end_with(exit_of_error(err), "%s", *err->text ? err->text : "failed without a reason");
}

void result(const char *format, ...)
{
    FORMAT_INTO(mode.message, format);
    if (mode.json)
        return;
    wipe_live_line();
    puts(mode.message);
    fflush(stdout);
}

static bool put_text(const struct buf *text)
{
    size_t n = text->len ? fwrite(text->data, 1, text->len, stdout) : 0;
    if (n == text->len && fflush(stdout) == 0)
        return true;
    char reason[128];
    say("stdout: %s", strerror_r(errno, reason, sizeof(reason)));
    return false;
}

bool result_text(const struct buf *text)
{
    mode.record_shown = true;
    return put_text(text);
}

bool result_events(const struct buf *lines)
{
    return put_text(lines);
}

const char *console_message(void)
{
    return *mode.message ? mode.message : mode.said;
}

void console_leave_end(void)
{
    mode.record_shown = true;
}

int console_end(int code)
{
    _cleanup_(buf_freep) struct buf line = BUF_INIT(8 * TEXT_MAX);
    struct error err = ERROR_INIT;
    const char *message = code == EXIT_DONE ? mode.message : console_message();
    if (!mode.json || mode.record_shown)
        return code;
    if (render_result(code, message, mode.operation, &line, &err) < 0)
        return fail(&err);
    return put_text(&line) ? code : EXIT_ERROR;
}

void console_open(struct console *c)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool dumb = !term || !*term || strcmp(term, "dumb") == 0;
    c->silent = mode.json || mode.quiet;
    c->live = !c->silent && isatty(STDERR_FILENO) && !dumb;
    c->color = c->live && !(no_color && *no_color);
}

int console_width(void)
{
    struct winsize size = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    const char *columns = getenv("COLUMNS");
    int64_t n = 0;
    return columns && text_int(columns, 20, 1000, &n, NULL) == 0 ? (int)n : WIDTH_DEFAULT;
}

void console_draw(const char *line)
{
    wipe_live_line();
    if (*line)
        fputs(line, stderr);
    live_line_stands = *line;
    fflush(stderr);
}

void console_keep(const char *line)
{
    wipe_live_line();
    fprintf(stderr, "%s\n", line);
}

void console_lines(const struct buf *lines)
{
    fputs(buf_str(lines), stderr);
    fflush(stderr);
}

/* On whichever thread it runs: an eventfd wakes the one that waits. */
static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    uint64_t one = 1;
    interrupt_seen = 1;
    if (write(interrupt_fd, &one, sizeof(one)) < 0)
        errno = saved; /* the flag is enough: every wait is bounded */
    errno = saved;
}

int interrupt_catch(struct error *err)
{
    if (interrupt_fd >= 0)
        return 0;
    interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (interrupt_fd < 0)
        return error_errno(err, errno, "eventfd");
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
        return error_errno(err, errno, "sigaction");
    return 0;
}

bool interrupted(void)
{
    return interrupt_seen != 0;
}

void interrupt_wait(int fd, int64_t timeout_ms)
{
    struct pollfd fds[2] = {{interrupt_fd, POLLIN, 0}, {fd, POLLIN, 0}};
    if (!interrupted())
        (void)!poll(fds, fd >= 0 ? 2 : 1, timeout_ms < 0 ? 0 : (int)timeout_ms);
}
