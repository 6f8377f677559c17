#include <agent/driver.h>

static const struct driver *const drivers[] = {
    &driver_exec,
};

const struct driver *driver_find(const char *name)
{
    for (size_t i = 0; i < array_len(drivers); i++)
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    return NULL;
}
