/* How the API server of this machine is restarted. One row a kind of machine. */
#ifndef AGENT_DRIVER_H
#define AGENT_DRIVER_H

#include <base/error.h>
#include <config/config.h>

#include <agent/command.h>

struct driver {
    const char *name; /* config's `driver` */
    /* Checks what the config gives it, touching nothing. */
    int (*check)(const struct config *c, struct error *err);
    /* Starts a restart. ERR_*: nothing was started. */
    int (*restart)(const struct config *c, const char *output_path, struct command **ret, struct error *err);
};

/* NULL when there is none of that name. */
const struct driver *driver_find(const char *name);

extern const struct driver driver_exec;

#endif
