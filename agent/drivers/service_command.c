#include <agent/service.h>

#include <agent/driver.h>

void service_command(const struct config *c, struct driver_command *ret)
{
    const char *const argv[] = {DRIVER_SELF, "--config", c->path, "service-restart", NULL};
    memcpy(ret->argv, argv, sizeof(argv));
    ret->timeout_s = c->service_timeout_s + SERVICE_GRACE_S;
}
