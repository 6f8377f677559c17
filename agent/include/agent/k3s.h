/* K3s and RKE2: where a server keeps what, and its supervisor's API for encryption at rest.
 *
 *   GET /v1-k3s/encrypt/status
 * {"stage":"start","enable":true,"hashmatch":true,"activekey":"…","inactivekeys":[…]} PUT
 * /v1-k3s/encrypt/config   {"stage":"prepare"|"rotate"|"reencrypt_active","force":false,"skip":false}
 *                                {"enable":true|false}
 *   <data-dir>/server/cred/encryption-state.json   <stage>-<hex SHA-256 of the encryption config>
 */
#ifndef AGENT_K3S_H
#define AGENT_K3S_H

#include <limits.h>

#include <agent/driver.h>

/* What tells the one product from the other. */
struct k3s_product {
    const char *driver;   /* config's `driver`, and the name of its program */
    const char *unit;     /* its service */
    const char *data_dir; /* its default */
    const char *supervisor;
    const char *etcd;
};
/* Of the config's driver; NULL: it is neither. */
const struct k3s_product *k3s_product(const struct config *c);

/* With split roles: this machine's server has no API server, but hands the config to those that do. */
bool k3s_etcd_only(const struct config *c);

/* The paths and the URL, as config or product have them. ERR_INVALID: a path is too long. */
struct k3s_places {
    char token[PATH_MAX]; /* of the server */
    char ca[PATH_MAX];    /* of supervisor */
    char state[PATH_MAX]; /* encryption-state.json, beside the encryption config */
    const char *supervisor, *unit, *node;
    const char
        *etcd; /* URL of the embedded member; NULL: there is none (an SQL datastore, or etcd elsewhere) */
    char etcd_ca[PATH_MAX], etcd_cert[PATH_MAX], etcd_key[PATH_MAX];
};
int k3s_places(const struct config *c, struct k3s_places *ret, struct error *err) _must_check_;

/* Reads "<stage>-<hash>". ERR_INVALID: it is not that. */
int k3s_own_parse(const char *text, struct driver_own *ret, struct error *err) _must_check_;

/* --- the supervisor's API: what to do next, purely --- */

struct k3s_status {
    enum stage stage;
    bool enabled;
    bool hashes_match;
    char why[CLUSTER_TEXT_MAX]; /* they do not */
};
/* Reads the answer to GET …/status. */
int k3s_status_parse(const char *json, size_t len, struct k3s_status *ret, struct error *err) _must_check_;

enum k3s_next {
    K3S_DONE,
    K3S_PUT,   /* ask for it */
    K3S_WAIT,  /* it is under way */
    K3S_WRONG, /* the server is at a stage from which this cannot be reached */
};
/* For a call ("prepare", …) at that status. */
enum k3s_next k3s_next(const char *call, const struct k3s_status *s);
/* The request's body. `force`: the stage's preconditions are not asked for again. NULL: no such call. */
const char *k3s_body(const char *call, bool force);

#endif
