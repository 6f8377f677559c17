/* A strict reader of RFC 8259. It walks the text with a stack of its own and builds cJSON nodes: cJSON's
 * parser takes control characters in strings, leading zeros, NULs and members twice, and reports into a
 * global. */
#include "node.h"

#include <base/text.h>
#include <inttypes.h>

struct reader {
    const char *text;
    size_t len;
    size_t pos;
    const char *what;
    cJSON *root;
    cJSON *open[JSON_DEPTH_MAX]; /* the containers around pos */
    unsigned depth;
    char *key; /* of the member whose value comes next */
    struct error *err;
};

/* Where, and what is wrong; never the text, which may be a key. */
static int bad_at(struct reader *r, size_t pos, const char *problem)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < pos && i < r->len; i++)
        if (r->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    return error_set(r->err, ERR_INVALID, "%s: not valid JSON at line %zu, column %zu: %s", r->what, line,
                     pos - start + 1, problem);
}

static int bad(struct reader *r, const char *problem)
{
    return bad_at(r, r->pos, r->pos >= r->len ? "the text ends too early" : problem);
}

static int peek(const struct reader *r)
{
    return r->pos < r->len ? (unsigned char)r->text[r->pos] : -1;
}

static void skip_space(struct reader *r)
{
    while (r->pos < r->len && strchr(" \t\r\n", r->text[r->pos]) && r->text[r->pos])
        r->pos++;
}

/* Four hex digits at pos, or -1. */
static int32_t hex4(const struct reader *r, size_t pos)
{
    int32_t v = 0;
    if (r->len < 4 || pos > r->len - 4)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        char c = r->text[pos + i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static size_t utf8_put(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (char)(lead[n] | c);
    return n;
}

/* \uXXXX, or a surrogate pair of them; pos stands on the 'u'. */
static int read_unicode(struct reader *r, char *out, size_t *used)
{
    int32_t c = hex4(r, r->pos + 1);
    if (c < 0)
        return bad(r, "\\u without four hex digits");
    if (c == 0)
        return bad(r, "\\u0000 in a string");
    size_t taken = 5;
    if (c >= 0xd800 && c <= 0xdfff) {
        bool pair = c <= 0xdbff && r->len - r->pos >= 11 && memcmp(r->text + r->pos + 5, "\\u", 2) == 0;
        int32_t low = pair ? hex4(r, r->pos + 7) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(r, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        taken = 11;
    }
    *used = utf8_put((uint32_t)c, out);
    r->pos += taken;
    return 0;
}

/* What stands after a backslash. */
static int read_escape(struct reader *r, char *out, size_t *used)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    int c = peek(r);
    if (c == 'u')
        return read_unicode(r, out, used);
    const char *at = c > 0 ? strchr(from, c) : NULL;
    if (!at)
        return bad(r, "an unknown escape in a string");
    *out = to[at - from];
    *used = 1;
    r->pos++;
    return 0;
}

/* One or more bytes of a string that stand for themselves. */
static int read_plain(struct reader *r, char *out, size_t *used)
{
    unsigned char c = (unsigned char)r->text[r->pos];
    if (c < 0x20)
        return bad(r, c ? "a control character in a string" : "a NUL byte");
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n > r->len - r->pos || !text_is_utf8(r->text + r->pos, n))
        return bad(r, "not UTF-8");
    memcpy(out, r->text + r->pos, n);
    *used = n;
    r->pos += n;
    return 0;
}

/* The distance from pos to the quote that ends the string; it bounds the decoded length. */
static size_t string_span(const struct reader *r)
{
    size_t i = r->pos;
    while (i < r->len && r->text[i] != '"')
        i += r->text[i] == '\\' ? 2 : 1;
    return (i < r->len ? i : r->len) - r->pos;
}

static int decode_string(struct reader *r, char *out)
{
    size_t len = 0;
    for (;;) {
        int c = peek(r);
        if (c < 0)
            return bad(r, "a string without end");
        if (c == '"')
            break;
        size_t used = text_plain_run(r->text + r->pos, r->len - r->pos);
        int rc = 0;
        if (used > 0) {
            memcpy(out + len, r->text + r->pos, used);
            r->pos += used;
        } else if (c == '\\') {
            r->pos++;
            rc = read_escape(r, out + len, &used);
        } else {
            rc = read_plain(r, out + len, &used);
        }
        if (rc < 0)
            return rc;
        len += used;
    }
    out[len] = 0;
    r->pos++;
    return 0;
}

/* pos stands on the opening quote. The text is of json_alloc. */
static int read_string(struct reader *r, char **ret)
{
    r->pos++;
    char *out = json_alloc(string_span(r) + 1);
    if (!out)
        return error_no_memory(r->err);
    int rc = decode_string(r, out);
    if (rc < 0) {
        json_release(out);
        return rc;
    }
    *ret = out;
    return 0;
}

/* Puts a node into the innermost open container, under the pending key where that is an object. */
static void attach(struct reader *r, cJSON *n)
{
    if (r->depth == 0) {
        r->root = n;
        return;
    }
    n->string = take(r->key);
    cJSON_AddItemToArray(r->open[r->depth - 1], n);
}

static int attach_new(struct reader *r, cJSON *n)
{
    if (!n)
        return error_no_memory(r->err);
    attach(r, n);
    return 0;
}

static int read_key(struct reader *r)
{
    skip_space(r);
    if (peek(r) != '"')
        return bad(r, "a member's name in quotes is due");
    int rc = read_string(r, &r->key);
    if (rc < 0)
        return rc;
    skip_space(r);
    if (peek(r) != ':')
        return bad(r, "':' is due after a member's name");
    r->pos++;
    return 0;
}

static int read_string_value(struct reader *r)
{
    char *text = NULL;
    int rc = read_string(r, &text);
    if (rc < 0)
        return rc;
    cJSON *n = cJSON_CreateNull();
    if (!n) {
        json_release(text);
        return error_no_memory(r->err);
    }
    n->type = cJSON_String;
    n->valuestring = text;
    attach(r, n);
    return 0;
}

static int read_number(struct reader *r)
{
    size_t span = number_span(r->text + r->pos, r->len - r->pos);
    if (span == 0)
        return bad(r, "a malformed number");
    cJSON *n = NULL;
    struct error why = ERROR_INIT;
    int rc = number_from_literal(r->text + r->pos, span, &n, &why);
    if (rc < 0)
        return rc == ERR_INVALID ? bad(r, why.text) : error_no_memory(r->err);
    attach(r, n);
    r->pos += span;
    return 0;
}

static int read_word(struct reader *r)
{
    static const struct {
        const char *word;
        cJSON *(*make)(void);
    } words[] = {{"true", cJSON_CreateTrue}, {"false", cJSON_CreateFalse}, {"null", cJSON_CreateNull}};
    for (size_t i = 0; i < array_len(words); i++) {
        size_t n = strlen(words[i].word);
        if (r->len - r->pos >= n && memcmp(r->text + r->pos, words[i].word, n) == 0) {
            r->pos += n;
            return attach_new(r, words[i].make());
        }
    }
    return bad(r, "a value is due");
}

static int close_container(struct reader *r)
{
    bool no_memory = false;
    cJSON *n = r->open[r->depth - 1];
    if (cJSON_IsObject(n) && has_twins(n, &no_memory))
        return no_memory ? error_no_memory(r->err)
                         : bad(r, "the object that ends here has two members of one name");
    r->depth--;
    r->pos++;
    return 0;
}

/* Opens a container. An object's first key is read too; an empty container is closed at once. */
static int open_container(struct reader *r, bool object, bool *complete)
{
    if (r->depth == JSON_DEPTH_MAX)
        return bad(r, "nested more than 64 deep");
    cJSON *n = object ? cJSON_CreateObject() : cJSON_CreateArray();
    int rc = attach_new(r, n);
    if (rc < 0)
        return rc;
    r->open[r->depth++] = n;
    r->pos++;
    skip_space(r);
    *complete = peek(r) == (object ? '}' : ']');
    if (*complete)
        return close_container(r);
    return object ? read_key(r) : 0;
}

/* *complete: the value stands whole; else a container was opened and its first value comes next. */
static int read_value(struct reader *r, bool *complete)
{
    skip_space(r);
    *complete = true;
    switch (peek(r)) {
    case '{':
        return open_container(r, true, complete);
    case '[':
        return open_container(r, false, complete);
    case '"':
        return read_string_value(r);
    case '-':
    case '0' ... '9':
        return read_number(r);
    default:
        return read_word(r);
    }
}

/* After a whole value: closes what ends here, and stops before the next value or at the document's end. */
static int read_after(struct reader *r)
{
    while (r->depth > 0) {
        skip_space(r);
        bool object = cJSON_IsObject(r->open[r->depth - 1]);
        int c = peek(r);
        if (c == ',') {
            r->pos++;
            return object ? read_key(r) : 0;
        }
        if (c != (object ? '}' : ']'))
            return bad(r, object ? "',' or '}' is due" : "',' or ']' is due");
        int rc = close_container(r);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_document(struct reader *r)
{
    do {
        bool complete = false;
        int rc = read_value(r, &complete);
        if (rc == 0 && complete)
            rc = read_after(r);
        if (rc < 0)
            return rc;
    } while (r->depth > 0);
    skip_space(r);
    return r->pos == r->len ? 0 : bad(r, "more text after the document");
}

int json_parse(const char *text, size_t len, const char *what, struct json **ret, struct error *err)
{
    struct reader r = {.text = text, .len = len, .what = what, .err = err};
    json_alloc_install();
    int rc = read_document(&r);
    json_release(r.key);
    if (rc < 0) {
        cJSON_Delete(r.root);
        return rc;
    }
    *ret = json_of(r.root);
    return 0;
}
