/* K3s and RKE2: the server makes its encryption config and hands it to the others through its datastore; it
 * is asked through its supervisor, and restarted as the service that it is. */
#include <agent/k3s.h>

#include <errno.h>

#include <agent/service.h>
#include <base/file.h>

#define STATE_FILE_MAX 4096

static int check(const struct config *c, struct error *err)
{
    struct k3s_places places;
    enum service_init init = SERVICE_SYSTEMD;
    int rc = k3s_places(c, &places, err);
    if (rc == 0 && access(places.token, R_OK) < 0)
        rc = error_errno(err, errno, "%s: k3s.data_dir: the server's token %s", c->path, places.token);
    if (rc == 0 && access(places.ca, R_OK) < 0)
        rc = error_errno(err, errno, "%s: k3s.data_dir: the supervisor's CA %s", c->path, places.ca);
    if (rc == 0)
        rc = service_init_find(&init, err);
    return rc < 0 ? rc : service_check(init, places.unit, err);
}

static void own_command(const struct config *c, const char *name, struct driver_command *ret)
{
    ret->argv[0] = DRIVER_SELF;
    ret->argv[1] = "--config";
    ret->argv[2] = c->path;
    ret->argv[3] = name;
}

static int restart(const struct config *c, struct driver_command *ret, struct error *err)
{
    (void)err;
    own_command(c, "k3s-restart", ret);
    ret->timeout_s = 2 * c->service_timeout_s + SERVICE_GRACE_S; /* it may have to start twice */
    return 0;
}

static int call(const struct config *c, const char *what, struct driver_command *ret, struct error *err)
{
    if (!k3s_body(what, false))
        return error_set(err, ERR_UNSUPPORTED, "this agent does not know how to ask a server for '%.16s'",
                         what);
    own_command(c, "k3s-call", ret);
    ret->argv[4] = what;
    ret->timeout_s = c->k3s_reencrypt_timeout_s + SERVICE_GRACE_S;
    return 0;
}

static int own(const struct config *c, struct driver_own *ret, struct error *err)
{
    struct k3s_places places;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(STATE_FILE_MAX);
    int rc = k3s_places(c, &places, err);
    if (rc == 0)
        rc = file_read(places.state, STATE_FILE_MAX, &text, err);
    if (rc < 0)
        return rc;
    rc = k3s_own_parse(buf_str(&text), ret, err);
    return rc < 0 ? error_prefix(err, rc, "%s", places.state) : 0;
}

/* K3s runs its API server inside of itself; RKE2's is a process with an argument list of its own. */
const struct driver driver_k3s = {
    .name = "k3s", .check = check, .restart = restart, .program = "k3s", .call = call, .own = own};
const struct driver driver_rke2 = {
    .name = "rke2", .check = check, .restart = restart, .call = call, .own = own};
