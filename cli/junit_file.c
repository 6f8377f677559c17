#include "junit_file.h"

#include <base/clock.h>
#include <base/file.h>

#include "console.h"

#define FILE_MAX (256 * 1024)

static int write_file(const struct junit *j, const char *path, int code, const char *message,
                      struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(FILE_MAX);
    int rc = junit_render(j, code, message, clock_wall_ms(), &out, err);
    if (rc == 0)
        rc = file_write_atomic(path, out.data, out.len, 0644, err);
    return rc < 0 ? error_prefix(err, rc, "--junit") : 0;
}

int junit_file_begin(struct junit *j, const char *path, enum operation_kind kind, bool asks,
                     struct error *err)
{
    junit_begin(j, kind, asks, clock_wall_ms());
    return path ? write_file(j, path, EXIT_ERROR, "the command did not come to its end", err) : 0;
}

int junit_file_end(const struct junit *j, const char *path, int code)
{
    struct error err = ERROR_INIT;
    if (!path || write_file(j, path, code, console_message(), &err) == 0)
        return code;
    say("%s", err.text);
    return code == EXIT_DONE ? EXIT_ERROR : code;
}
