/* Files, whole and bounded; writes are atomic and durable. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include <base/buf.h>
#include <base/error.h>
#include <base/secret.h>

/* Reads a regular file of at most `max` bytes into `out` (appended). Errors name the path:
 * ERR_NOT_FOUND, ERR_DENIED, ERR_TOO_LARGE (over max), ERR_INVALID (not a regular file), ERR_IO. */
int file_read(const char *path, size_t max, struct buf *out, struct error *err) _must_check_;

/* The same for key material and tokens. Caller frees *ret with secret_free. */
int file_read_secret(const char *path, size_t max, struct secret **ret, struct error *err) _must_check_;

/* Writes path by temp file in the same folder (mode as given, e.g. 0600) + fsync + rename + fsync of the
 * folder. After a failure, or a crash at any point, path holds either the old or the new bytes, whole;
 * a temp file (".<name>.tmp") that a crash left behind is overwritten by the next write. An existing
 * file keeps its owner and group where we may set them. */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                      struct error *err) _must_check_;

/* Writes an existing file anew, in one step as file_write_atomic does, but by a temp file (".<name>.tmp") in
 * another folder: for folders in which somebody reads every file that appears. Owner, group and mode stay.
 * ERR_INVALID: not a regular file (a symbolic link is none); ERR_UNSUPPORTED: temp_folder is on another file
 * system. */
int file_replace(const char *path, const char *temp_folder, const void *data, size_t len,
                 struct error *err) _must_check_;

/* Makes the folder and its missing parents with `mode`; an existing one is left as it is. */
int dir_make(const char *path, mode_t mode, struct error *err) _must_check_;

#endif
