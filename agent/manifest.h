/* What manifest.c and manifest_edit.c share. */
#ifndef MANIFEST_INTERNAL_H
#define MANIFEST_INTERNAL_H

#include <limits.h>

#include <agent/manifest.h>
#include <json/json.h>
#include <yaml/places.h>

#define MANIFEST_PROGRAM "kube-apiserver"
#define MANIFEST_FLAG    "--encryption-provider-config"

struct manifest {
    const char *what;
    const char *text; /* borrowed */
    size_t len;
    struct json *doc;
    struct yaml_places *places;
    size_t container; /* index among spec.containers */
};

const struct json *manifest_container(const struct manifest *m);

/* Where a path in the container is on the host. ERR_NOT_FOUND: no mount covers it; ERR_UNSUPPORTED: one does
 * that is no folder or file of the host. */
int manifest_host_path(const struct manifest *m, const char *path, char out[PATH_MAX],
                       struct error *err) _must_check_;

/* The flag's value: NULL when it is not there. ERR_INVALID when it stands there twice, or without a value. */
int manifest_flag(const struct manifest *m, const char **ret, struct error *err) _must_check_;

#endif
