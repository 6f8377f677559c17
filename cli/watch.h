/* `status --watch`: the same text again and again. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "session.h"

/* Appends the text of the session's snapshot. */
typedef int watch_render(struct session *s, enum output output, struct buf *out, struct error *err);

/* On a terminal, draws it in place, at least once a second; elsewhere writes it whenever it says something
 * else, ages apart, each time with an empty line before it. Until an interrupt comes: that is 0. */
int watch_run(struct session *s, enum output output, watch_render *render, struct error *err) _must_check_;

#endif
