#include "commands.h"

#include <agent/driver.h>
#include <agent/k3s.h>
#include <base/file.h>
#include <encryption/config.h>

#include "remote.h"

static int check_file(const struct config *c, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *e = NULL;
    const struct resource_set managed = {(const char *const *)c->resources, c->resources_count};
    int rc = file_read_secret(c->encryption_config, ENCRYPTION_CONFIG_MAX, &text, err);
    if (rc < 0)
        return error_prefix(err, rc, "encryption config");
    rc = encryption_config_parse(text->data, text->len, c->encryption_config, &e, err);
    if (rc < 0)
        return rc;
    rc = encryption_check_managed(e, managed, err);
    return rc < 0 ? error_prefix(err, rc, "%s", c->encryption_config) : 0;
}

/* It is missing, and may be: the daemon makes one. */
static bool never_encrypted(const struct config *c)
{
    _cleanup_(buf_freep) struct buf args = BUF_INIT(CONFIG_FILE_MAX);
    const struct driver *d = driver_find(c->driver);
    return access(c->encryption_config, F_OK) < 0 && d && d->prepare && d->arguments &&
           d->arguments(c, &args, NULL) == 0;
}

static int check_driver(const struct config *c, struct error *err)
{
    const struct driver *d = driver_find(c->driver);
    if (!d)
        return error_set(err, ERR_UNSUPPORTED, "%s: driver: '%s' is not one of this agent's", c->path,
                         c->driver);
    return d->check(c, err);
}

int check_main(const struct config *config, const char *word)
{
    (void)word;
    struct remote remote;
    struct error err = ERROR_INIT;
    int rc = remote_open(&remote, config, &err);
    if (rc == 0)
        rc = k3s_etcd_only(config) ? 0 : remote_open_kube(&remote, &err);
    if (rc == 0)
        rc = check_driver(config, &err);
    if (rc == 0 && !never_encrypted(config))
        rc = check_file(config, &err);
    remote_close(&remote);
    if (rc < 0)
        return complain(&err);
    if (*config->old)
        fprintf(stderr, "secrets-encrypt-agent: warning: %s: %s; rename it there\n", config->path,
                config->old);
    puts("ok");
    return 0;
}
