/* A kube-apiserver that is a service of systemd. */
#include <agent/driver.h>
#include <agent/service.h>

static int check(const struct config *c, struct error *err)
{
    int rc = service_check(SERVICE_SYSTEMD, service_unit_of(c), err);
    return rc < 0 ? error_prefix(err, rc, "%s: driver systemd", c->path) : 0;
}

static int restart(const struct config *c, struct driver_command *ret, struct error *err)
{
    (void)err;
    service_command(c, ret);
    return 0;
}

const struct driver driver_systemd = {.name = "systemd", .check = check, .restart = restart};
