/* `init -o json`. Pure. */
#ifndef CLI_INIT_RECORD_H
#define CLI_INIT_RECORD_H

#include <base/buf.h>

struct init_record {
    const char *config; /* path of the file */
    const char *text;   /* what was, or would have been, written there */
    size_t missing;     /* lines to fill in */
    int code;
    const char *message; /* why it was not written */
};
int render_init_json(const struct init_record *r, struct buf *out, struct error *err) _must_check_;

#endif
