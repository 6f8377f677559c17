/* A kube-apiserver that is a service of OpenRC. */
#include <agent/driver.h>
#include <agent/service.h>

static int check(const struct config *c, struct error *err)
{
    int rc = service_check(SERVICE_OPENRC, service_unit_of(c), err);
    return rc < 0 ? error_prefix(err, rc, "%s: driver openrc", c->path) : 0;
}

static int restart(const struct config *c, struct driver_command *ret, struct error *err)
{
    (void)err;
    service_command(c, ret);
    return 0;
}

const struct driver driver_openrc = {.name = "openrc", .check = check, .restart = restart};
