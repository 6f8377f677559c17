/* What a terminal is sent to show a text in place of the one before. Pure. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <base/buf.h>

/* Adds to `out` what draws `text` (lines ended by '\n') from the upper left corner of a terminal of `rows`
 * rows. Each line is a row, cut at the edge; the last row stays empty, so that nothing scrolls. Where the
 * lines do not fit, the last one says how many are not shown. Bounded by out's own limit (ERR_TOO_LARGE). */
int screen_draw(const char *text, int rows, struct buf *out, struct error *err) _must_check_;

#endif
