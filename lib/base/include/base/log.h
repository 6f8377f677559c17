/* The daemons' log: one line an event, as logfmt or JSON on stderr, or as an entry with fields in the journal
 * when stderr is the journal. Libraries never call this (they return errors); agent/ and coordinator/ do,
 * once for each failure. Thread-safe. docs/logs.md is about what people see. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
    const char *key; /* NULL ends the list; lower-case letters and '_' */
    const char *text;
    int64_t number; /* used when text is NULL */
};

static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){key, text ? text : "", 0};
}

#define LOG_S(k, v) log_text((k), (v))
#define LOG_I(k, v) ((struct log_field){(k), NULL, (int64_t)(v)})

/* Lines below `level` (syslog numbers) are dropped. `program` and `server` go into every line. Both
 * strings must outlive the program. Before the first call: logfmt on stderr. */
void log_open(const char *program, const char *server, enum log_level level, enum log_format format);

/* One event. At most LOG_BURST lines of one event in LOG_WINDOW_MS (but all at level debug); what is left out
 * is counted in a line of its own, once that time is over and anything is logged, or at log_flush(). */
#define LOG_BURST     20
#define LOG_WINDOW_MS 10000
void log_emit(enum log_level level, const char *event, const struct log_field *fields);

/* log_event(LOG_LEVEL_INFO, "order taken", LOG_I("order", id), LOG_S("kind", kind)); */
#ifdef __cppcheck__ /* which knows no __VA_OPT__ */
#define log_event(level, event, ...)                                                                         \
    log_emit((level), (event), (const struct log_field[]){{NULL, NULL, 0}, ##__VA_ARGS__})
#else
#define log_event(level, event, ...)                                                                         \
    log_emit((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){NULL, NULL, 0}})
#endif

/* Logs the counts of what was left out and not told yet; at a program's end. */
void log_flush(void);

/* What this thread is about; stands in each of its lines that does not say otherwise itself. */
enum log_about { LOG_OPERATION, LOG_STAGE, LOG_SERVER, LOG_ROW, LOG_ABOUT_COUNT };

/* NULL or "": nothing any more. The text is copied (and cut at 63 bytes). */
void log_context(enum log_about about, const char *text);

/* Something that is tried again and again, and works or not for reasons of others: etcd, an API server. */
struct log_dependency {
    const char *fails, *works; /* the events: "state store away", "state store back" */
    enum log_level level;      /* of the first; 0: LOG_LEVEL_WARNING */
    bool down;
    int64_t since_ms; /* when it failed first, by clock_mono_ms */
    int64_t failures;
};

#define LOG_DEPENDENCY(fails_text, works_text)                                                               \
    ((struct log_dependency){.fails = (fails_text), .works = (works_text)})

/* Logs `fails` with `why` when it begins to fail, and `works` with how long that took when it works again;
 * nothing in between. Call it with each result, from one thread. */
void log_dependency(struct log_dependency *d, bool up, const char *why);

/* "debug", "info", "notice", "warning", "error" to a level; -1 when unknown. */
int log_level_parse(const char *word);
/* "logfmt" or "json"; -1 when unknown. */
int log_format_parse(const char *word);
/* The reverse; "info" for what is none of them. */
const char *log_level_name(enum log_level level);

/* How many lines of that level were written. */
uint64_t log_lines(enum log_level level);

#endif
