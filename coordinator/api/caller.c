#include "caller.h"

enum api_role caller_role(const struct config_api *config, const struct door_peer *peer)
{
    const char *groups[TLS_GROUPS_MAX], *sans[TLS_SANS_MAX];
    for (size_t i = 0; i < peer->tls.groups_count; i++)
        groups[i] = peer->tls.groups[i];
    for (size_t i = 0; i < peer->tls.sans_count; i++)
        sans[i] = peer->tls.sans[i];
    const struct api_caller caller = {.local = peer->kind == DOOR_UNIX,
                                      .subject = peer->tls.subject,
                                      .groups = groups,
                                      .groups_count = peer->tls.groups_count,
                                      .sans = sans,
                                      .sans_count = peer->tls.sans_count};
    return api_role_of(config, &caller);
}
