#include "session.h"

#include <errno.h>

#include <report/key_table.h>

#include "console.h"

#define SOCKET_MAX     128
#define DEFAULT_SOCKET "/run/secrets-encrypt/api/api.sock" /* where the configuration may not be read */

/* Names where the token came from, in the texts of the rooms below. */
static int name_token(struct config *c, const char *source, struct error *err)
{
    char *copy = strdup(source);
    if (!copy)
        return error_no_memory(err);
    free(c->token_file);
    c->token_file = copy;
    return 0;
}

/* K3s's place, where --data-dir names its folder and the file is there. */
static int use_data_dir(const struct args *args, struct config *c, struct error *err)
{
    char path[4096];
    if (!args->data_dir)
        return 0;
    if ((size_t)snprintf(path, sizeof(path), "%s/server/token", args->data_dir) >= sizeof(path))
        return error_set(err, ERR_INVALID, "--data-dir: longer than %zu bytes", sizeof(path));
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    return name_token(c, path, err);
}

static int open_store(const struct args *args, struct session *s, struct error *err)
{
    if (!args->token) {
        int rc = use_data_dir(args, s->config, err);
        return rc < 0 ? rc : store_open(s->config, &s->store, err);
    }
    say("warning: a token on the command line can be seen by others on this machine for a moment; token_file "
        "in %s "
        "is safer",
        s->config->path);
    int rc = name_token(s->config, "(--token)", err);
    return rc < 0 ? rc : store_open_with_token(s->config, args->token, &s->store, err);
}

/* By what a group that may use the socket sees of a server: not its configuration, or not its token. */
static bool use_socket(const struct session *s, const struct args *args, int rc, struct remote_options *ret,
                       char address[SOCKET_MAX])
{
    const char *path = s->config ? s->config->api.socket : DEFAULT_SOCKET;
    if (rc != ERR_DENIED || s->store || args->token || !*path || access(path, W_OK) < 0)
        return false;
    memset(ret, 0, sizeof(*ret));
    ret->addresses = address;
    ret->idempotency_key = args->idempotency_key;
    return (size_t)snprintf(address, SOCKET_MAX, "unix:%s", path) < SOCKET_MAX;
}

static int open_here(const struct args *args, struct session *s, struct error *err)
{
    int rc = config_load(config_path(args->config), CONFIG_FOR_CLI, &s->config, err);
    if (rc == 0)
        rc = open_store(args, s, err);
    if (rc == 0)
        rc = session_snapshot(s, CONNECT_MS, s->snapshot, err);
    return rc;
}

static int open_there(const struct remote_options *o, struct session *s, struct error *err)
{
    int rc = remote_open(o, &s->remote, err);
    return rc == 0 ? session_snapshot(s, CONNECT_MS, s->snapshot, err) : rc;
}

static int check_key(const struct session *s, const struct args *args, struct error *err)
{
    return !args->idempotency_key || s->remote
               ? 0
               : error_set(err, ERR_INVALID,
                           "--idempotency-key: only with --coordinator; straight at the state store "
                           "`secrets-encrypt wait` leads to what runs");
}

int session_open(const struct args *args, struct session *ret, struct error *err)
{
    struct remote_options o;
    char address[SOCKET_MAX];
    memset(ret, 0, sizeof(*ret));
    ret->snapshot = calloc(1, sizeof(*ret->snapshot));
    if (!ret->snapshot)
        return error_no_memory(err);
    if (remote_wanted(args, &o))
        return open_there(&o, ret, err);
    int rc = open_here(args, ret, err);
    if (rc == 0 || !use_socket(ret, args, rc, &o, address))
        return rc == 0 ? check_key(ret, args, err) : rc;
    say_more("not allowed to read the configuration or the token: asking the coordinator at %s", address);
    store_free(take(ret->store));
    config_free(take(ret->config));
    return open_there(&o, ret, err);
}

void session_close(struct session *s)
{
    remote_free(s->remote);
    store_free(s->store);
    config_free(s->config);
    free(s->snapshot);
    memset(s, 0, sizeof(*s));
}

int session_need_store(const struct session *s, const char *what, struct error *err)
{
    return s->remote
               ? error_set(err, ERR_UNSUPPORTED,
                           "%s asks servers, etcd and API servers by itself: run it on a server, as root and "
                           "without --coordinator",
                           what)
               : 0;
}

const char *session_cluster(const struct session *s)
{
    return s->remote ? remote_cluster(s->remote) : s->config->cluster;
}

int session_snapshot(struct session *s, int deadline_ms, struct cluster_snapshot *ret, struct error *err)
{
    if (s->remote)
        return remote_status(s->remote, deadline_ms, ret, err);
    int rc = store_snapshot(s->store, deadline_ms, ret, err);
    if (rc == 0)
        status_use_config(ret, s->config);
    return rc;
}

void session_keys(struct session *s, struct key_table *ret)
{
    if (s->remote)
        *ret = *remote_keys(s->remote);
    else
        key_table_read(s->config, s->store, s->snapshot, CONNECT_MS, ret, NULL);
}

int session_show(const struct args *args,
                 int (*show)(struct session *s, enum output output, struct error *err))
{
    struct session s;
    struct error err = ERROR_INIT;
    int rc = session_open(args, &s, &err);
    if (rc == 0)
        rc = show(&s, args->output, &err);
    session_close(&s);
    if (rc < 0 && err.code)
        return fail(&err);
    return rc < 0 ? EXIT_ERROR : EXIT_DONE;
}
