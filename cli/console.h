/* stdout for results, stderr for progress and errors. */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <cli/progress.h>

#define EXIT_DONE        0
#define EXIT_ERROR       1
#define EXIT_USAGE       2
#define EXIT_TIMEOUT     6   /* --timeout passed; the operation goes on */
#define EXIT_INTERRUPTED 130 /* SIGINT; the operation goes on */

/* One line on stderr: "secrets-encrypt: …". A progress line that stands there is wiped first. */
void say(const char *format, ...) _printf_(1, 2);
/* The same for an error; returns EXIT_ERROR. */
int fail(const struct error *err);
/* One line of result on stdout. */
void result(const char *format, ...) _printf_(1, 2);
/* A whole text on stdout; false (told on stderr) when it could not be written. */
bool result_text(const struct buf *text);

/* Progress goes to stderr, so that stdout holds K3s's texts alone: a line that is drawn anew on a
 * terminal, plain lines elsewhere and where TERM is dumb. */
struct console {
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
