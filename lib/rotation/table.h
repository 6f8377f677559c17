#ifndef ROTATION_TABLE_H
#define ROTATION_TABLE_H

#include "facts.h"

struct row {
    const char *id;
    uint64_t yes; /* facts that must hold */
    uint64_t no;  /* facts that must not */
    enum action action;
    int about; /* the fact whose particulars belong to the reason, or -1 */
    const char *why;
};

/* The model checker compiles this room once more with rows that it may change. */
#ifndef ROW_QUALIFIER
#define ROW_QUALIFIER const
#endif

extern ROW_QUALIFIER struct row rotation_rows[];
extern const size_t rotation_rows_count;

#endif
