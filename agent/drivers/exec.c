/* A command out of the config: an argument list, no shell. */
#include <agent/driver.h>

#include <errno.h>

static int check(const struct config *c, struct error *err)
{
    const char *program = c->exec_restart_count > 0 ? c->exec_restart[0] : "";
    if (!program[0])
        return error_set(err, ERR_INVALID, "%s: exec.restart: the driver exec needs a command", c->path);
    if (strchr(program, '/') && access(program, X_OK) < 0)
        return error_errno(err, errno, "%s: exec.restart: %s cannot be run", c->path, program);
    return 0;
}

static int restart(const struct config *c, struct driver_command *ret, struct error *err)
{
    (void)err;
    for (size_t i = 0; i < c->exec_restart_count; i++)
        ret->argv[i] = c->exec_restart[i];
    ret->timeout_s = c->exec_timeout_s;
    return 0;
}

const struct driver driver_exec = {.name = "exec", .check = check, .restart = restart};
