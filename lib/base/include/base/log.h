/* The daemons' log: one line an event, logfmt on stderr. Libraries never call this (they return errors);
 * agent/ and coordinator/ do, once for each failure. Thread-safe. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

struct log_field {
    const char *key; /* NULL ends the list */
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
 * strings must outlive the program. */
void log_open(const char *program, const char *server, enum log_level level);

void log_emit(enum log_level level, const char *event, const struct log_field *fields);

/* log_event(LOG_LEVEL_INFO, "order taken", LOG_I("order", id), LOG_S("kind", kind)); */
#ifdef __cppcheck__ /* which knows no __VA_OPT__ */
#define log_event(level, event, ...)                                                                         \
    log_emit((level), (event), (const struct log_field[]){{NULL, NULL, 0}, ##__VA_ARGS__})
#else
#define log_event(level, event, ...)                                                                         \
    log_emit((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){NULL, NULL, 0}})
#endif

/* "debug", "info", "notice", "warning", "error" to a level; -1 when unknown. */
int log_level_parse(const char *word);

#endif
