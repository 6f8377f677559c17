/* What the program exits with: one code a cause. The help, the man page and docs/cli.md show this table. */
#ifndef REPORT_EXITS_H
#define REPORT_EXITS_H

#include <stddef.h>

#include <base/error.h>
#include <cluster/types.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_ERROR = 1,
    EXIT_USAGE = 2,
    EXIT_MISMATCH = 3,
    EXIT_SERVER = 4,
    EXIT_GATE = 5,
    EXIT_TIMEOUT = 6,
    EXIT_HALTED = 7,
    EXIT_DENIED = 8,
    EXIT_UNREACHABLE = 9,
    EXIT_INTERRUPTED = 130,
};

struct exit_row {
    int code;
    const char *cause;   /* "mismatch": in JSON and JUnit */
    const char *meaning; /* for people, without a full stop */
};
extern const struct exit_row exit_rows[];
extern const size_t exit_rows_count;

/* The cause's word; "error" for a code that is not in the table. */
const char *exit_cause(int code);

/* Of a failure that no command knows better: not allowed (or not authentic), nobody answers, canceled, or
 * just an error. */
int exit_of_error(const struct error *err);

/* Of a request that was, or would be, refused. */
int exit_of_cause(enum cluster_cause cause);

#endif
