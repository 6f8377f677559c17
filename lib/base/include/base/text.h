/* Small text helpers that libc lacks. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/error.h>

/* Copies src into dst of `size` bytes, always NUL-terminated; true when it fitted. */
bool text_copy(char *dst, size_t size, const char *src);

/* True when s is 1 to max bytes of [A-Za-z0-9._-], starting with a letter or digit: what cluster and
 * server names must look like, since they become parts of etcd keys. */
bool text_is_name(const char *s, size_t max);

/* True when the bytes are well-formed UTF-8 (no overlong forms, no surrogates). */
bool text_is_utf8(const void *data, size_t len);

/* Length of the well-formed sequence at `at`, of at most `left` (> 0) bytes; 0 when there is none. */
size_t text_utf8_sequence(const void *at, size_t left);

/* How many bytes from `at` on, of at most `left`, are ASCII that stands for itself in quotes: no control
 * character, no quote, no backslash. */
size_t text_plain_run(const void *at, size_t left);

/* Lower-case hex; out needs 2 * len + 1. */
void text_hex(const void *data, size_t len, char *out);

/* Parses a whole decimal number within [min, max]. */
int text_int(const char *s, int64_t min, int64_t max, int64_t *ret, struct error *err) _must_check_;

#endif
