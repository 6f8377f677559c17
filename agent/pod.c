#include "commands.h"

#include <inttypes.h>

#include <agent/static_pod.h>

int pod_restart_main(const struct config *config, const char *word)
{
    (void)word;
    struct error err = ERROR_INIT;
    int64_t pid = 0;
    if (static_pod_restart(config, &pid, &err) < 0)
        return complain(&err);
    printf("the API server is process %" PRId64 " now\n", pid);
    return 0;
}
