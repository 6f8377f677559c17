/* How the coordinator logs in at a server's API: the login of the config at the address of the spec. */
#ifndef COORDINATOR_API_LOGIN_H
#define COORDINATOR_API_LOGIN_H

#include <kube/kube.h>

#include "job.h"

/* Options for server i of a spec; strings are the config's and the spec's. */
struct kube_options api_login_at(const struct config *c, const struct cluster_spec *spec, size_t i);

/* The same for the job's. */
struct kube_options api_login(const struct job_options *o, size_t i);

#endif
