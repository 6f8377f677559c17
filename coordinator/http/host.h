/* Which "Host:" a request may name. Pure. */
#ifndef COORDINATOR_HTTP_HOST_H
#define COORDINATOR_HTTP_HOST_H

#include <stdbool.h>

/* A page of somebody else's whose name was made to lead to loopback (DNS rebinding) names itself here, and is
 * turned away. `host`: the header's value; `own`: the listener's address, "127.0.0.2:9449". */
bool http_host_is_ours(const char *host, const char *own);

#endif
