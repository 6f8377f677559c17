/* What the parts of the driver static-pod share. */
#ifndef AGENT_STATIC_POD_H
#define AGENT_STATIC_POD_H

#include <limits.h>

#include <agent/driver.h>
#include <agent/manifest.h>

/* In the state folder: the manifest as it was before the flag was added, until the restart after the next. */
#define STATIC_POD_BEFORE "manifest-before"

/* Reads and parses config's manifest; the text is `out`'s. Caller frees *ret. */
int static_pod_read(const struct config *c, struct buf *out, struct manifest **ret,
                    struct error *err) _must_check_;

/* The folder for a temp file: not the manifest's own, but of the same file system. */
int static_pod_temp_folder(const struct config *c, char out[PATH_MAX], struct error *err) _must_check_;

#endif
