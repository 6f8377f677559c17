#define BASE_ERROR_C
#include <base/error.h>

#include <errno.h>
#include <stdarg.h>

static const struct {
    int code;
    const char *name;
} names[] = {
    {ERR_INVALID, "invalid"},
    {ERR_NOT_FOUND, "not found"},
    {ERR_CONFLICT, "conflict"},
    {ERR_UNAVAILABLE, "unavailable"},
    {ERR_TIMEOUT, "timeout"},
    {ERR_DENIED, "denied"},
    {ERR_TOO_LARGE, "too large"},
    {ERR_IO, "io"},
    {ERR_NO_MEMORY, "no memory"},
    {ERR_COMPACTED, "compacted"},
    {ERR_UNSUPPORTED, "unsupported"},
    {ERR_CANCELED, "canceled"},
    {ERR_STATE, "state"},
    {ERR_INTERNAL, "internal"},
    {ERR_NO_SPACE, "no space"},
};

/* One line for a terminal and a log: no control characters, wherever the parts came from. */
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

__attribute__((format(printf, 3, 0))) static int set_va(struct error *err, int code, const char *format,
                                                        va_list ap)
{
    if (!err)
        return code;
    /* Through a temporary: an argument may be err->text itself. */
    char text[ERROR_TEXT_MAX];
    vsnprintf(text, sizeof(text), format, ap);
    make_printable(text);
    err->code = code;
    memcpy(err->text, text, sizeof(text));
    return code;
}

int error_set(struct error *err, int code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    set_va(err, code, format, ap);
    va_end(ap);
    return code;
}

static int errno_code(int errnum)
{
    switch (errnum) {
    case ENOMEM:
        return ERR_NO_MEMORY;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

int error_errno(struct error *err, int errnum, const char *format, ...)
{
    int code = errno_code(errnum);
    if (!err)
        return code;
    char text[ERROR_TEXT_MAX / 2];
    char reason[128];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    return error_set(err, code, "%s: %s", text, strerror_r(errnum, reason, sizeof(reason)));
}

int error_prefix(struct error *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    char text[ERROR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    return error_set(err, err->code ? err->code : code, "%s: %s", text, err->text);
}

int error_no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, "out of memory");
}

const char *error_code_name(int code)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].code == code)
            return names[i].name;
    return code == 0 ? "ok" : "unknown";
}

int error_is_transient(int code)
{
    return code == ERR_UNAVAILABLE || code == ERR_TIMEOUT || code == ERR_CONFLICT || code == ERR_COMPACTED;
}
