#include "api_login.h"

static const char *file_or_null(const char *path)
{
    return path && *path ? path : NULL;
}

struct kube_options api_login_at(const struct config *c, const struct cluster_spec *spec, size_t i)
{
    return (struct kube_options){
        .server = spec->servers[i].name,
        .url = spec->servers[i].api,
        .ca_file = file_or_null(c->kube_ca_file),
        .cert_file = file_or_null(c->kube_cert_file),
        .key_file = file_or_null(c->kube_key_file),
        .token_file = file_or_null(c->kube_token_file),
    };
}

struct kube_options api_login(const struct job_options *o, size_t i)
{
    return api_login_at(o->config, &o->spec, i);
}
