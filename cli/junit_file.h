/* The file of --junit. */
#ifndef CLI_JUNIT_FILE_H
#define CLI_JUNIT_FILE_H

#include <cli/junit.h>

/* Writes a first one, so that a path which cannot be written is told before anything is asked for, and so
 * that a command which is killed leaves a failure. `path` is borrowed; NULL: nothing is ever written. */
int junit_file_begin(struct junit *j, const char *path, enum operation_kind kind, bool asks,
                     struct error *err) _must_check_;

/* Writes the whole one. Returns the code that the command ends with: `code`, or where that was EXIT_DONE and
 * the file could not be written, EXIT_ERROR. */
int junit_file_end(const struct junit *j, const char *path, int code);

#endif
