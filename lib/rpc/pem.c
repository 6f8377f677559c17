#include "internal.h"

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '=';
}

/* The text after `line`'s newline; NULL when there is none. */
static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? end + 1 : NULL;
}

static size_t line_length(const char *line)
{
    return strcspn(line, "\r\n");
}

/* True when the line is "-----<word> …<label>-----". */
static bool is_boundary(const char *line, const char *word, const char *label)
{
    size_t len = line_length(line), nword = strlen(word), nlabel = strlen(label);
    if (len < 10 + nword + 1 + nlabel || memcmp(line, "-----", 5) != 0 ||
        memcmp(line + len - 5, "-----", 5) != 0)
        return false;
    return memcmp(line + 5, word, nword) == 0 && memcmp(line + len - 5 - nlabel, label, nlabel) == 0;
}

/* An encrypted or traditional key has "Name: value" lines before its base64. */
static bool is_header(const char *line)
{
    return memchr(line, ':', line_length(line)) != NULL;
}

static int check_body(const char *line, const char *label, const char *what, struct error *err)
{
    size_t bytes = 0;
    for (line = next_line(line); line && !is_boundary(line, "END", label); line = next_line(line)) {
        if (is_header(line))
            continue;
        size_t len = line_length(line);
        for (size_t i = 0; i < len; i++)
            if (!is_base64(line[i]) && line[i] != ' ')
                return error_set(err, ERR_INVALID, "%s is damaged: not base64 within the %s block", what,
                                 label);
        bytes += len;
    }
    if (!line)
        return error_set(err, ERR_INVALID, "%s is cut off: no END line after BEGIN %s", what, label);
    if (!bytes)
        return error_set(err, ERR_INVALID, "%s has an empty %s block", what, label);
    return 0;
}

int pem_check(const char *pem, const char *label, const char *what, struct error *err)
{
    for (const char *line = pem; line && *line; line = next_line(line))
        if (is_boundary(line, "BEGIN", label))
            return check_body(line, label, what, err);
    return error_set(err, ERR_INVALID, "%s holds no PEM block \"BEGIN %s\"", what, label);
}
