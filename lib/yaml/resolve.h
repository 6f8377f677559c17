/* What a plain scalar means: the reading of go-yaml v2, which Kubernetes's YAML passes through. */
#ifndef YAML_RESOLVE_H
#define YAML_RESOLVE_H

#include <json/json.h>

enum scalar_kind {
    SCALAR_STRING,
    SCALAR_NULL,
    SCALAR_TRUE,
    SCALAR_FALSE,
    SCALAR_INT,     /* within int64 or uint64 */
    SCALAR_FLOAT,   /* finite */
    SCALAR_NO_JSON, /* NaN and the infinities: numbers that JSON lacks */
    SCALAR_MERGE,   /* << */
};

#define SCALAR_NUMBER_MAX 32

/* `number` is filled for SCALAR_INT and SCALAR_FLOAT, in JSON's notation. */
enum scalar_kind scalar_resolve(const char *text, char number[SCALAR_NUMBER_MAX]);

#endif
