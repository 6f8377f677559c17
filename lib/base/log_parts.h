/* What log.c is made of. Private to this room. */
#ifndef BASE_LOG_PARTS_H
#define BASE_LOG_PARTS_H

#include <base/buf.h>
#include <base/log.h>

/* With the newline not more than a pipe takes in one piece, so that lines of several processes do not mix. */
#define LOG_LINE_MAX  4095
#define LOG_VALUE_MAX 2048           /* bytes of one value; the rest is cut */
#define LOG_CUT       "\xe2\x80\xa6" /* an ellipsis, where a value was cut */
#define LOG_FIELDS    32             /* of one event, context included */

/* One event, complete: what the formats write. */
struct log_line {
    const char *program, *server, *event;
    enum log_level level;
    int64_t wall_ms;
    struct log_field fields[LOG_FIELDS];
    size_t count;
};

const char *log_level_name(enum log_level level);

/* The line without its newline. What does not fit is left out, and `truncated` says so: it is well-formed
 * in any case. False: no memory. */
bool log_format_logfmt(const struct log_line *line, struct buf *out);
bool log_format_json(const struct log_line *line, struct buf *out);
/* The event and its fields as logfmt, for the journal's MESSAGE: it has the rest in fields of its own. */
bool log_format_message(const struct log_line *line, struct buf *out);

/* True when stderr is connected to the journal (JOURNAL_STREAM names it). */
bool log_journal_is(int fd);
/* Hands an entry to the journal at `path` (NULL: where it is). False: it did not take it. */
bool log_journal_send(const struct log_line *line, const char *path);

/* True when this line may be written. When false it was counted. */
bool log_rate_allows(enum log_level level, const char *event, int64_t now_ms);
/* Takes the next event whose time is over (or, with `all`, any) and of which lines were left out. */
bool log_rate_next(int64_t now_ms, bool all, char event[64], int64_t *ret_count);

#endif
