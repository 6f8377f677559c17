/* Columns of text, two spaces apart, as Go's tabwriter sets them for K3s. */
#ifndef REPORT_TABLE_H
#define REPORT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>

/* Appends `rows` lines of `columns` cells (cells[row * columns + column], none NULL). Every column but the
 * last is padded to its widest cell, counted in code points. trim: no spaces at the ends of lines. */
int table_render(const char *const *cells, size_t rows, size_t columns, bool trim, struct buf *out,
                 struct error *err) _must_check_;

/* What goes to a terminal: control characters (of ASCII and of Latin-1), line breaks excepted, become '?'. */
void make_printable(struct buf *text);

/* 1234567 as "1,234,567"; out needs 32. */
#define COUNT_TEXT_MAX 32
void format_count(int64_t n, char out[COUNT_TEXT_MAX]);

/* A duration as "4:07" or "1:02:03"; out needs 32. Negative ones are zero. */
#define DURATION_TEXT_MAX 32
void format_duration(int64_t ms, char out[DURATION_TEXT_MAX]);

/* The same with two digits for minutes: "04:07". */
void format_clock(int64_t ms, char out[DURATION_TEXT_MAX]);

/* An age as "45s", "12m", "5h" or "3d": two of a unit before the next is used. */
#define AGE_TEXT_MAX 32
void format_age(int64_t ms, char out[AGE_TEXT_MAX]);

#endif
