/* One error idiom for the whole project: a function that can fail returns int, 0 or one of the
 * negative codes below, and takes `struct error *err` last. *err is untouched on success. errno,
 * gRPC statuses and CURLcodes are converted at the edge of the room that owns them.
 *
 * The text is one line for a person: what failed, on which server, file or key, why, and what to do
 * next. It never holds a key's value. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERR_INVALID     (-1) /* malformed input: a file, a flag, a value off the wire */
#define ERR_NOT_FOUND   (-2)
#define ERR_CONFLICT    (-3) /* a guard was refused: somebody else wrote first; re-read, then decide */
#define ERR_UNAVAILABLE (-4) /* no answer, or an answer that may come right: re-read, then retry */
#define ERR_TIMEOUT     (-5) /* our own deadline passed; the other side may still have done it */
#define ERR_DENIED      (-6) /* not authentic or not allowed: a MAC, a certificate, a permission */
#define ERR_TOO_LARGE   (-7) /* over a limit of ours or of the other side's; permanent */
#define ERR_IO          (-8) /* the operating system refused: file, process, socket */
#define ERR_NO_MEMORY   (-9)
#define ERR_COMPACTED   (-10) /* the revision is gone from etcd: list again */
#define ERR_UNSUPPORTED (-11) /* understood, but not something this program will handle */
#define ERR_CANCELED    (-12) /* stopped on request */
#define ERR_STATE       (-13) /* not allowed in the present state (a gate, a precondition) */
#define ERR_INTERNAL    (-14) /* a bug of ours */
#define ERR_NO_SPACE    (-15) /* a disk is full, or too small for what is to be written */

#define ERROR_TEXT_MAX 1024

struct error {
    int code; /* 0 or one of the above */
    char text[ERROR_TEXT_MAX];
};

#define ERROR_INIT                                                                                           \
    {                                                                                                        \
        0, ""                                                                                                \
    }

#define _must_check_   __attribute__((warn_unused_result))
#define _printf_(f, a) __attribute__((format(printf, f, a)))

/* Sets *err (when not NULL) and returns `code`, so that a caller can `return error_set(…)`. Control
 * characters in the text become '?', so that the line stays one line. */
int error_set(struct error *err, int code, const char *format, ...) _printf_(3, 4);

/* As error_set, with ": <strerror(errnum)>" appended and ERR_IO (ENOMEM: ERR_NO_MEMORY,
 * ENOENT: ERR_NOT_FOUND, EACCES and EPERM: ERR_DENIED) as the code. */
int error_errno(struct error *err, int errnum, const char *format, ...) _printf_(3, 4);

/* Puts "<prefix>: " before the text that *err holds; returns err->code (or `code` where err is NULL). */
int error_prefix(struct error *err, int code, const char *format, ...) _printf_(3, 4);

/* ERR_NO_MEMORY with its standard text. */
int error_no_memory(struct error *err);

/* A short lower-case word for a code ("timeout"), for logs and JSON. */
const char *error_code_name(int code);

/* True for codes after which trying again later may succeed: UNAVAILABLE, TIMEOUT, CONFLICT, COMPACTED. */
int error_is_transient(int code);

/* gcc's and clang's analyzers look at one file at a time: they are told here that what these return is no success. */
#if defined(SECRETS_ENCRYPT_ANALYZE) && !defined(BASE_ERROR_C)
#define error_set(err, code, ...)    (error_set(err, code, __VA_ARGS__), (code))
#define error_errno(err, num, ...)   (error_errno(err, num, __VA_ARGS__), ERR_IO)
#define error_prefix(err, code, ...) (error_prefix(err, code, __VA_ARGS__), (code))
#define error_no_memory(err)         (error_no_memory(err), ERR_NO_MEMORY)
#endif

#endif
