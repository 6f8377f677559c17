/* How the API server of this machine is restarted. One row a kind of machine. */
#ifndef AGENT_DRIVER_H
#define AGENT_DRIVER_H

#include <base/buf.h>
#include <base/error.h>
#include <cluster/types.h>
#include <config/config.h>

#include <agent/command.h>

/* A command without a shell. */
struct driver_command {
    const char *argv[CONFIG_ARGV_MAX + 1]; /* NULL-terminated; texts of the config, or static ones */
    int64_t timeout_s;
};

/* What a server that owns its config says of it. */
struct driver_own {
    enum stage stage;
    char hash[CLUSTER_HASH_MAX]; /* of the file that it means */
};

struct driver {
    const char *name; /* config's `driver` */
    /* Checks what the config gives it, touching nothing. */
    int (*check)(const struct config *c, struct error *err);
    /* The command that restarts the API server and ends when that was done or has failed; its last line of
     * output says why. What takes more than a line of shell is a subcommand of the agent's own:
     * DRIVER_SELF, "--config", c->path, NAME (commands.h). */
    int (*restart)(const struct config *c, struct driver_command *ret, struct error *err);
    /* Not NULL: the API server runs inside of this program (process.h), which writes its encryption config
     * while it starts, before its API server reads it. */
    const char *program;
    /* Servers that make their encryption config themselves; NULL for all others. The command asks the server
     * for its next config (cluster_order.call) and ends when that stands in its file; asked again for what
     * was done already, it does nothing. */
    int (*call)(const struct config *c, const char *call, struct driver_command *ret, struct error *err);
    int (*own)(const struct config *c, struct driver_own *ret, struct error *err);
    /* May be NULL. Once, when the agent starts, after `check`: what has to be there before anything
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
/* The same for a call. ERR_UNSUPPORTED where servers do not own their config. */
int driver_call(const struct driver *d, const struct config *c, const char *call, const char *output_path,
                struct command **ret, struct error *err) _must_check_;
/* Instead of a restart: waits until the API server has reloaded the file by itself (config's `reload`). */
int driver_reload(const struct config *c, const char *output_path, struct command **ret,
                  struct error *err) _must_check_;
/* How long one may take, in seconds. */
int64_t driver_timeout_s(const struct driver *d, const struct config *c);
int64_t driver_call_timeout_s(const struct driver *d, const struct config *c, const char *call);

extern const struct driver driver_exec;
extern const struct driver driver_k3s;
extern const struct driver driver_rke2;
extern const struct driver driver_openrc;
extern const struct driver driver_systemd;
extern const struct driver driver_static_pod;

#endif
