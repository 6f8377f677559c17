/* The manifest of an API server's static pod as text: what it says, and the few bytes to change in it. Pure.
 */
#ifndef AGENT_MANIFEST_H
#define AGENT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>

#include <base/buf.h>
#include <base/cleanup.h>
#include <base/error.h>

#define MANIFEST_MAX        (1024 * 1024)
#define MANIFEST_ANNOTATION "secrets-encrypt.io/restarted-at"
#define MANIFEST_VOLUME     "secrets-encrypt-config"

struct manifest;

/* Reads a manifest, YAML or JSON; `what` names it in errors. Refused with one line that says why: no YAML of
 * one document, anchors and aliases (anywhere: an alias may stand for what would be changed), no Pod, no
 * container or several that run kube-apiserver, one that starts it through something else, a metadata.uid of
 * its own (kubelet makes one from the manifest, and replaces the pod when that changes). `text` is borrowed.
 * Caller frees. */
int manifest_parse(const char *text, size_t len, const char *what, struct manifest **ret,
                   struct error *err) _must_check_;
void manifest_free(struct manifest *m);
DEFINE_CLEANUP(struct manifest *, manifest_free);

/* True when the API server has --encryption-provider-config, with whichever path. */
bool manifest_encrypts(const struct manifest *m);

/* Appends the argument list of the API server's process, a NUL after each: as /proc shows it. */
int manifest_arguments(const struct manifest *m, struct buf *out, struct error *err) _must_check_;

/* Appends the manifest with the annotation MANIFEST_ANNOTATION at `time`, and with the flag
 * --encryption-provider-config=<encryption_config>, a volume of that file's folder and its mount at the same
 * path, as far as those are not there (NULL: the annotation alone). All other bytes stay as they are.
 * *ret_added: the flag was added.
 *
 * ERR_CONFLICT: the flag is there with a path that is another file on the host, or that path lies under
 * another mount. ERR_UNSUPPORTED: the text is laid out in a way that this cannot change for certain: what
 * came out is read again and compared with what was meant, and is not handed out when it differs. */
int manifest_edit(const struct manifest *m, const char *encryption_config, const char *time, struct buf *out,
                  bool *ret_added, struct error *err) _must_check_;

#endif
