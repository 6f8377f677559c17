/* Any bytes as what a watch of an API server sends, and as its metrics (a NUL between): lines come out the
 * same in whatever pieces they come in, each is an event or refused in one line; and a hash that the metrics
 * do not have is never loaded. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include <agent/reload.h>
#include <base/text.h>

#include "event.h"

#define HASH       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ANNOTATION "a/b"

struct heard {
    size_t lines, bytes;
    uint64_t sum;
};

static bool is_line(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static void must_be_event(const char *text, size_t len)
{
    struct kube_event e = {.number = -1};
    struct error err = ERROR_INIT;
    int rc = kube_parse_event("fuzz", text, len, ANNOTATION, &e, &err);
    if (rc < 0) {
        MUST(e.number == -1 && err.code == rc && strncmp(err.text, "fuzz", 4) == 0 && is_line(err.text));
        return;
    }
    MUST(e.type <= KUBE_EVENT_ERROR && e.number >= 0);
    MUST((e.type == KUBE_EVENT_ERROR) == (e.version[0] == 0));
    MUST(strlen(e.version) < sizeof(e.version) && strlen(e.why) < sizeof(e.why));
    MUST(e.type == KUBE_EVENT_ERROR || (!e.why[0] && e.status == 0));
}

static bool hear(void *arg, const char *text, size_t len)
{
    struct heard *h = arg;
    MUST(len > 0 && text[len] == 0 && !memchr(text, '\n', len));
    h->lines++;
    h->bytes += len;
    for (size_t i = 0; i < len; i++)
        h->sum = h->sum * 31 + (uint8_t)text[i];
    return true;
}

static bool hear_event(void *arg, const char *text, size_t len)
{
    must_be_event(text, len);
    return hear(arg, text, len);
}

static bool cut(const char *data, size_t size, size_t piece, bool (*line)(void *, const char *, size_t),
                struct heard *ret)
{
    struct sink partial = {.max = KUBE_EVENT_MAX};
    bool on = true;
    for (size_t at = 0, len; at < size && on; at += len) {
        len = size - at < piece ? size - at : piece;
        on = kube_cut_lines(&partial, data + at, len, line, ret);
    }
    sink_free(&partial);
    return on;
}

static void as_stream(const char *data, size_t size)
{
    struct heard whole = {0}, pieces = {0};
    bool on = cut(data, size, size, hear_event, &whole);
    MUST(on && cut(data, size, 1 + size % 7, hear, &pieces));
    MUST(whole.lines == pieces.lines && whole.bytes == pieces.bytes && whole.sum == pieces.sum);
}

static void as_metrics(const char *text)
{
    enum reload_state s = reload_read(text, HASH, 1000);
    MUST(s <= RELOAD_REFUSED);
    MUST(s != RELOAD_LOADED || strstr(text, "hash=\"sha256:" HASH "\"") ||
         strstr(text, "status=\"success\""));
    MUST(s != RELOAD_REFUSED || strstr(text, "status=\"failure\""));
    MUST(s == RELOAD_UNTOLD || strstr(text, "apiserver_encryption_config_controller_"));
    MUST(reload_read(text, HASH, INFINITY) != RELOAD_REFUSED); /* nothing was tried after the end of time */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    MUST(text);
    if (size > 0)
        memcpy(text, data, size);
    const char *end = memchr(text, 0, size);
    as_stream(text, end ? (size_t)(end - text) : size);
    as_metrics(end ? end + 1 : text);
    free(text);
    return 0;
}
