#include <base/log.h>

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/buf.h>
#include <base/clock.h>

#define LINE_MAX_BYTES 4096

static struct {
    const char *program;
    const char *server;
    enum log_level level;
    pthread_mutex_t lock;
} sink = {"secrets-encrypt", "", LOG_LEVEL_INFO, PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t lines[LOG_LEVEL_DEBUG + 1];

static const struct {
    const char *name;
    enum log_level level;
} levels[] = {
    {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG},
};

void log_open(const char *program, const char *server, enum log_level level)
{
    sink.program = program;
    sink.server = server ? server : "";
    sink.level = level;
}

int log_level_parse(const char *word)
{
    for (size_t i = 0; i < array_len(levels); i++)
        if (strcmp(levels[i].name, word) == 0)
            return (int)levels[i].level;
    return -1;
}

const char *log_level_name(enum log_level level)
{
    for (size_t i = 0; i < array_len(levels); i++)
        if (levels[i].level == level)
            return levels[i].name;
    return "info";
}

/* logfmt: bare where that is unambiguous, else in double quotes. */
static int add_value(struct buf *b, const char *v)
{
    int quote = *v == 0;
    for (const char *p = v; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f)
            quote = 1;
    if (!quote)
        return buf_adds(b, v, NULL);
    int rc = buf_adds(b, "\"", NULL);
    for (const char *p = v; rc == 0 && *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            rc = buf_addf(b, NULL, "\\%c", c);
        else
            rc = buf_addf(b, NULL, "%c", c < ' ' || c == 0x7f ? '?' : c);
    }
    return rc < 0 ? rc : buf_adds(b, "\"", NULL);
}

static int add_field(struct buf *b, const struct log_field *f)
{
    int rc = buf_addf(b, NULL, " %s=", f->key);
    if (rc < 0)
        return rc;
    return f->text ? add_value(b, f->text) : buf_addf(b, NULL, "%" PRId64, f->number);
}

static int add_text(struct buf *b, const char *key, const char *text)
{
    struct log_field f = LOG_S(key, text);
    return add_field(b, &f);
}

uint64_t log_lines(enum log_level level)
{
    return (unsigned)level < array_len(lines) ? atomic_load(&lines[level]) : 0;
}

static int build_line(struct buf *b, enum log_level level, const char *event, const struct log_field *fields)
{
    char now[CLOCK_TEXT_MAX];
    clock_format(clock_wall_ms(), now);
    int rc = buf_addf(b, NULL, "time=%s level=%s program=%s", now, log_level_name(level), sink.program);
    if (rc == 0 && *sink.server)
        rc = add_text(b, "host", sink.server);
    if (rc == 0)
        rc = add_text(b, "msg", event);
    for (; rc == 0 && fields->key; fields++)
        rc = add_field(b, fields);
    return rc;
}

void log_emit(enum log_level level, const char *event, const struct log_field *fields)
{
    if (level > sink.level)
        return;
    if ((unsigned)level < array_len(lines))
        atomic_fetch_add(&lines[level], 1);
    _cleanup_(buf_freep) struct buf b = BUF_INIT(LINE_MAX_BYTES);
    int rc = build_line(&b, level, event, fields);
    pthread_mutex_lock(&sink.lock);
    /* A line that is too long is cut; a line that cannot be built at all must still leave a trace. */
    fprintf(stderr, "%s%s\n", b.data ? b.data : event, rc < 0 ? " truncated=1" : "");
    fflush(stderr);
    pthread_mutex_unlock(&sink.lock);
}
