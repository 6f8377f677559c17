/* What the door says of somebody, as the roles want it. */
#ifndef COORDINATOR_API_CALLER_H
#define COORDINATOR_API_CALLER_H

#include <door/door.h>

#include "roles.h"

/* The role of whoever the door has let in. */
enum api_role caller_role(const struct config_api *config, const struct door_peer *peer);

#endif
