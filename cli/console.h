/* stdout for results, stderr for progress and errors. */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <cli/args.h>
#include <cli/progress.h>
#include <report/exits.h>

/* How the program talks from here on. With JSON a line of result is kept for console_end, which puts it on
 * stdout as an object; with `quiet` nothing is noted. */
void console_begin(enum output output, bool quiet);
bool console_json(void);
bool console_quiet(void);
/* With JSON: the line that tells how it ended, unless a record was shown that tells it. Returns the code, or
 * EXIT_ERROR when it could not be written. */
int console_end(int code);
/* console_end tells nothing: the exit code is another program's. */
void console_leave_end(void);
/* The result, or the reason of the end; what was said last where there is neither. */
const char *console_message(void);
/* The operation that the result is about. */
void console_operation(const char *id);

/* One line on stderr: "secrets-encrypt: …". A progress line that stands there is wiped first. */
void say(const char *format, ...) _printf_(1, 2);
/* The same for what --quiet leaves out: news and advice. */
void say_more(const char *format, ...) _printf_(1, 2);
/* The same for the reason of an end with that code, which it returns. */
int end_with(int code, const char *format, ...) _printf_(2, 3);
/* The same for an error; returns exit_of_error. */
int fail(const struct error *err);
/* One line of result on stdout. */
void result(const char *format, ...) _printf_(1, 2);
/* A whole text on stdout, a record where it is JSON; false (told on stderr) when it could not be written. */
bool result_text(const struct buf *text);
/* Events, each a line, on stdout; false as above. */
bool result_events(const struct buf *lines);

/* Progress goes to stderr, so that stdout holds K3s's texts alone: a line that is drawn anew on a
 * terminal, plain lines elsewhere and where TERM is dumb; nothing with --quiet, and with JSON. */
struct console {
    bool silent;
    bool live;  /* a terminal */
    bool color; /* and neither NO_COLOR nor TERM=dumb */
};
void console_open(struct console *c);
int console_width(void);
/* Draws the live line anew; "" wipes it. */
void console_draw(const char *line);
/* Lets a line stay on the screen, above the live one. */
void console_keep(const char *line);
/* Plain lines, as they are. */
void console_lines(const struct buf *lines);

/* SIGINT and SIGTERM, from here on, are noted instead of ending the program. */
int interrupt_catch(struct error *err) _must_check_;
bool interrupted(void);
/* Waits until `fd` (-1: none) is readable, an interrupt comes, or timeout_ms passed. */
void interrupt_wait(int fd, int64_t timeout_ms);

#endif
