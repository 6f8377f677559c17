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
#include <report/table.h>

#define WIDTH_DEFAULT 80

static bool live_line_stands;
static int interrupt_fd = -1;
static volatile sig_atomic_t interrupt_seen;

static void wipe_live_line(void)
{
    if (live_line_stands)
        fputs("\r\033[K", stderr);
    live_line_stands = false;
}

void say(const char *format, ...)
{
    _cleanup_(buf_freep) struct buf line = BUF_INIT(4096);
    char text[2048];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    wipe_live_line();
    if (buf_adds(&line, text, NULL) == 0)
        make_printable(&line);
    fprintf(stderr, "secrets-encrypt: %s\n", buf_str(&line));
}

int fail(const struct error *err)
{
    say("%s", *err->text ? err->text : "failed without a reason");
    return EXIT_ERROR;
}

void result(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    wipe_live_line();
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

bool result_text(const struct buf *text)
{
    size_t n = text->len ? fwrite(text->data, 1, text->len, stdout) : 0;
    if (n == text->len && fflush(stdout) == 0)
        return true;
    char reason[128];
    say("stdout: %s", strerror_r(errno, reason, sizeof(reason)));
    return false;
}

void console_open(struct console *c)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool dumb = !term || !*term || strcmp(term, "dumb") == 0;
    c->live = isatty(STDERR_FILENO) && !dumb;
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
