/* Any bytes as the values of a log line (a byte 0x01 between two): one line comes of it, of UTF-8 without a
 * control character, which as JSON has each field once, with what stood in it where that was text. */
#include "fuzz.h"

#include <string.h>

#include <base/text.h>
#include <json/json.h>

#include "log_parts.h"

#define VALUES_MAX 8

static const char *const keys[VALUES_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static void must_be_line(const struct buf *b)
{
    MUST(b->len > 0 && b->len <= LOG_LINE_MAX && text_is_utf8(b->data, b->len));
    for (size_t i = 0; i < b->len; i++)
        MUST((uint8_t)b->data[i] >= ' ' && b->data[i] != 0x7f);
}

static void must_be_json(const struct log_line *line, const struct buf *b)
{
    struct json *root = NULL;
    struct error err = ERROR_INIT;
    MUST(json_parse(buf_str(b), b->len, "line", &root, &err) == 0);
    bool cut = json_get(root, "truncated");
    for (size_t i = 0; i < line->count; i++) {
        const char *text = json_string(json_get(root, line->fields[i].key), NULL);
        MUST(text || cut);
        MUST(!text || strlen(line->fields[i].text) > LOG_VALUE_MAX ||
             !text_is_utf8(line->fields[i].text, strlen(line->fields[i].text)) ||
             strcmp(text, line->fields[i].text) == 0);
    }
    MUST(json_count(root) <= line->count + 6);
    json_free(root);
}

/* Quotes open and close, and outside of them stand the keys that we gave, each once. */
static void must_be_logfmt(const struct log_line *line, const struct buf *b)
{
    size_t fields = 0;
    for (const char *s = buf_str(b); *s; fields++) {
        s += strcspn(s, "= ");
        MUST(*s == '=');
        s++;
        if (*s == '"') {
            for (s++; *s && *s != '"'; s++)
                s += *s == '\\' && s[1];
            MUST(*s == '"');
            s++;
        } else {
            size_t len = strcspn(s, " ");
            MUST(!memchr(s, '"', len) && !memchr(s, '=', len));
            s += len;
        }
        MUST(!*s || (*s == ' ' && s[1]));
        s += *s == ' ';
    }
    MUST(fields <= line->count + 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log_line line = {
        .program = "p", .server = "s1", .event = "e", .level = LOG_LEVEL_INFO, .wall_ms = 7};
    struct buf json = BUF_INIT(LOG_LINE_MAX + 1), text = BUF_INIT(LOG_LINE_MAX + 1),
               message = BUF_INIT(LOG_LINE_MAX + 1);
    char *values = calloc(size + 1, 1), *rest = values;
    MUST(values);
    if (size > 0)
        memcpy(values, data, size);
    while (rest && line.count < VALUES_MAX) {
        line.fields[line.count] = LOG_S(keys[line.count], strsep(&rest, "\x01"));
        line.count++;
    }
    MUST(log_format_json(&line, &json) && log_format_logfmt(&line, &text) &&
         log_format_message(&line, &message));
    must_be_line(&json);
    must_be_line(&text);
    must_be_line(&message);
    must_be_json(&line, &json);
    must_be_logfmt(&line, &text);
    buf_free(&json);
    buf_free(&text);
    buf_free(&message);
    free(values);
    return 0;
}
