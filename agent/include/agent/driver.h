/* How the API server of this machine is restarted. One row a kind of machine. */
#ifndef AGENT_DRIVER_H
#define AGENT_DRIVER_H

#include <base/buf.h>
#include <base/error.h>
#include <config/config.h>

#include <agent/command.h>

/* A command without a shell. */
struct driver_command {
    const char *argv[CONFIG_ARGV_MAX + 1]; /* NULL-terminated; texts of the config, or static ones */
    int64_t timeout_s;
};

struct driver {
    const char *name; /* config's `driver` */
    /* Checks what the config gives it, touching nothing. */
    int (*check)(const struct config *c, struct error *err);
    /* The command that restarts the API server and ends when that was done or has failed; its last line of
     * output says why. What takes more than a line of shell is a subcommand of the agent's own:
     * DRIVER_SELF, "--config", c->path, NAME (commands.h). */
    int (*restart)(const struct config *c, struct driver_command *ret, struct error *err);
    /* The rest may be NULL. Once, when the agent starts, after `check`: what has to be there before anything
     * is seen. */
    int (*prepare)(const struct config *c, struct error *err);
    /* Appends the argument list (a NUL after each) that the API server has while it runs without an
     * encryption config. ERR_NOT_FOUND: it has one. */
    int (*arguments)(const struct config *c, struct buf *out, struct error *err);
};

/* The program that runs, also when its file was replaced meanwhile. */
#define DRIVER_SELF "/proc/self/exe"

/* NULL when there is none of that name. */
const struct driver *driver_find(const char *name);

/* Starts a restart. ERR_*: nothing was started. */
int driver_restart(const struct driver *d, const struct config *c, const char *output_path,
                   struct command **ret, struct error *err) _must_check_;
/* How long one may take, in seconds. */
int64_t driver_timeout_s(const struct driver *d, const struct config *c);

extern const struct driver driver_exec;
extern const struct driver driver_static_pod;

#endif
