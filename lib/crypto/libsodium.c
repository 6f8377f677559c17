#include "libsodium.h"

#include <pthread.h>
#include <sodium.h>

static int started = -1;

static void start(void)
{
    started = sodium_init();
}

int sodium_ready(struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    return started < 0 ? error_set(err, ERR_INTERNAL, "libsodium does not start") : 0;
}
