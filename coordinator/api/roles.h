/* Who may what: caller x configuration x call. Pure. */
#ifndef COORDINATOR_API_ROLES_H
#define COORDINATOR_API_ROLES_H

#include <api/call.h>
#include <config/config.h>

enum api_role { API_ROLE_NONE, API_ROLE_VIEWER, API_ROLE_OPERATOR, API_ROLE_ADMIN };

/* "viewer"; "none". */
const char *api_role_name(enum api_role role);

/* Somebody at the other end of a connection, as its certificate was verified to say. */
struct api_caller {
    bool local; /* through the unix socket: the folder's rights have let it in */
    const char *subject;
    const char *const *groups; /* O and OU */
    size_t groups_count;
    const char *const *sans; /* "dns:ci.example.org" */
    size_t sans_count;
};

/* The highest role that the configuration gives it; NONE: it may nothing. */
enum api_role api_role_of(const struct config_api *config, const struct api_caller *caller);

/* What of a call is looked at. */
struct api_deed {
    enum api_call call;
    int kind; /* START: enum operation_kind; else not looked at */
    bool force, skip, now;
};

/* 0, or ERR_DENIED with what would be needed. */
int api_role_check(enum api_role role, const struct api_deed *deed, struct error *err) _must_check_;

#endif
