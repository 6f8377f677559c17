#include <agent/driver.h>

#include <agent/reload.h>

#define RELOAD_GRACE_S 30 /* so that it says itself what it waited for before it is ended */

static const struct driver *const drivers[] = {
    &driver_exec, &driver_k3s, &driver_rke2, &driver_openrc, &driver_static_pod, &driver_systemd,
};

const struct driver *driver_find(const char *name)
{
    for (size_t i = 0; i < array_len(drivers); i++)
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    return NULL;
}

int64_t driver_timeout_s(const struct driver *d, const struct config *c)
{
    struct driver_command command = {0};
    return d->restart(c, &command, NULL) < 0 ? c->service_timeout_s : command.timeout_s;
}

int64_t driver_call_timeout_s(const struct driver *d, const struct config *c, const char *call)
{
    struct driver_command command = {0};
    return !d->call || d->call(c, call, &command, NULL) < 0 ? c->service_timeout_s : command.timeout_s;
}

int driver_call(const struct driver *d, const struct config *c, const char *call, const char *output_path,
                struct command **ret, struct error *err)
{
    struct driver_command command = {0};
    if (!d->call)
        return error_set(
            err, ERR_UNSUPPORTED,
            "%s: driver: with '%s' no server makes its encryption config itself: the coordinator's "
            "config names another driver",
            c->path, d->name);
    int rc = d->call(c, call, &command, err);
    return rc < 0 ? rc : command_start(command.argv, command.timeout_s, output_path, ret, err);
}

int driver_reload(const struct config *c, const char *output_path, struct command **ret, struct error *err)
{
    const char *const argv[] = {DRIVER_SELF, "--config", c->path, "await-reload", NULL};
    return command_start(argv, reload_timeout_s(c) + RELOAD_GRACE_S, output_path, ret, err);
}

int driver_restart(const struct driver *d, const struct config *c, const char *output_path,
                   struct command **ret, struct error *err)
{
    struct driver_command command = {0};
    int rc = d->restart(c, &command, err);
    return rc < 0 ? rc : command_start(command.argv, command.timeout_s, output_path, ret, err);
}
