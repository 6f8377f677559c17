#include "log_parts.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <base/clock.h>
#include <base/text.h>

static struct {
    const char *program;
    const char *server;
    enum log_level level;
    enum log_format format;
    bool journal;
    pthread_mutex_t lock;
} sink = {"secrets-encrypt", "", LOG_LEVEL_INFO, LOG_LOGFMT, false, PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t lines[LOG_LEVEL_DEBUG + 1];

static const struct {
    const char *name;
    enum log_level level;
} levels[] = {
    {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG},
};

static const char *const formats[] = {[LOG_LOGFMT] = "logfmt", [LOG_JSON] = "json"};

#define ABOUT_MAX 64
static const char *const about_keys[LOG_ABOUT_COUNT] = {
    [LOG_OPERATION] = "operation", [LOG_STAGE] = "stage", [LOG_SERVER] = "server", [LOG_ROW] = "row"};
static _Thread_local char context[LOG_ABOUT_COUNT][ABOUT_MAX];

void log_open(const char *program, const char *server, enum log_level level, enum log_format format)
{
    sink.program = program;
    sink.server = server ? server : "";
    sink.level = level;
    sink.format = format;
    sink.journal = log_journal_is(STDERR_FILENO);
}

int log_level_parse(const char *word)
{
    for (size_t i = 0; i < array_len(levels); i++)
        if (strcmp(levels[i].name, word) == 0)
            return (int)levels[i].level;
    return -1;
}

int log_format_parse(const char *word)
{
    for (size_t i = 0; i < array_len(formats); i++)
        if (strcmp(formats[i], word) == 0)
            return (int)i;
    return -1;
}

const char *log_level_name(enum log_level level)
{
    for (size_t i = 0; i < array_len(levels); i++)
        if (levels[i].level == level)
            return levels[i].name;
    return "info";
}

void log_context(enum log_about about, const char *text)
{
    text_copy(context[about], ABOUT_MAX, text ? text : "");
}

static bool has_key(const struct log_line *l, const char *key)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->fields[i].key, key) == 0)
            return true;
    return false;
}

/* The event's own fields, then what this thread is about where they do not say it. */
static void collect(struct log_line *l, const struct log_field *fields)
{
    for (; fields->key && l->count < LOG_FIELDS - LOG_ABOUT_COUNT; fields++)
        l->fields[l->count++] = *fields;
    for (size_t i = 0; i < LOG_ABOUT_COUNT; i++)
        if (*context[i] && !has_key(l, about_keys[i]))
            l->fields[l->count++] = LOG_S(about_keys[i], context[i]);
}

/* One write, so that a line is one piece; nothing can be done where stderr does not take it. */
static void write_line(struct buf *b)
{
    size_t done = 0;
    b->max++;
    if (buf_adds(b, "\n", NULL) < 0)
        return;
    for (int tries = 0; done < b->len && tries < 64; tries++) {
        ssize_t n = write(STDERR_FILENO, b->data + done, b->len - done);
        if (n < 0 && errno != EINTR)
            return;
        done += n > 0 ? (size_t)n : 0;
    }
}

static void put(const struct log_line *l)
{
    static const char lost[] = "level=error msg=\"a line was lost: out of memory\"\n";
    if ((unsigned)l->level < array_len(lines))
        atomic_fetch_add(&lines[l->level], 1);
    if (sink.journal && log_journal_send(l, NULL))
        return;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(LOG_LINE_MAX);
    if (sink.format == LOG_JSON ? log_format_json(l, &b) : log_format_logfmt(l, &b))
        write_line(&b);
    else
        (void)!write(STDERR_FILENO, lost, sizeof(lost) - 1);
}

static struct log_line line_of(enum log_level level, const char *event)
{
    return (struct log_line){.program = sink.program,
                             .server = sink.server,
                             .event = event,
                             .level = level,
                             .wall_ms = clock_wall_ms()};
}

uint64_t log_lines(enum log_level level)
{
    return (unsigned)level < array_len(lines) ? atomic_load(&lines[level]) : 0;
}

static void tell_left_out(int64_t now_ms, bool all)
{
    char event[64];
    int64_t count = 0;
    while (log_rate_next(now_ms, all, event, &count)) {
        struct log_line l = line_of(LOG_LEVEL_WARNING, "lines left out");
        const struct log_field fields[] = {LOG_S("of", event), LOG_I("suppressed", count), {NULL, NULL, 0}};
        for (size_t i = 0; fields[i].key; i++)
            l.fields[l.count++] = fields[i];
        put(&l);
    }
}

void log_emit(enum log_level level, const char *event, const struct log_field *fields)
{
    if (level > sink.level)
        return;
    int64_t now_ms = clock_mono_ms();
    pthread_mutex_lock(&sink.lock);
    tell_left_out(now_ms, false);
    if (sink.level == LOG_LEVEL_DEBUG || log_rate_allows(level, event, now_ms)) {
        struct log_line l = line_of(level, event);
        collect(&l, fields);
        put(&l);
    }
    pthread_mutex_unlock(&sink.lock);
}

void log_flush(void)
{
    pthread_mutex_lock(&sink.lock);
    tell_left_out(clock_mono_ms(), true);
    pthread_mutex_unlock(&sink.lock);
}

void log_dependency(struct log_dependency *d, bool up, const char *why)
{
    int64_t now_ms = clock_mono_ms();
    d->failures += !up;
    if (up != d->down)
        return;
    if (up)
        log_event(LOG_LEVEL_NOTICE, d->works, LOG_I("after_ms", now_ms - d->since_ms),
                  LOG_I("failures", d->failures));
    else
        log_event(d->level ? d->level : LOG_LEVEL_WARNING, d->fails, LOG_S("why", why));
    d->down = !up;
    d->since_ms = now_ms;
    if (up)
        d->failures = 0;
}
