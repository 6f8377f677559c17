#include <agent/driver.h>

static const struct driver *const drivers[] = {
    &driver_exec,
    &driver_static_pod,
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

int driver_restart(const struct driver *d, const struct config *c, const char *output_path,
                   struct command **ret, struct error *err)
{
    struct driver_command command = {0};
    int rc = d->restart(c, &command, err);
    return rc < 0 ? rc : command_start(command.argv, command.timeout_s, output_path, ret, err);
}
