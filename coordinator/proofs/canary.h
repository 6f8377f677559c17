/* Canaries: small objects of our own, by which a server shows what it reads and writes. */
#ifndef COORDINATOR_PROOFS_CANARY_H
#define COORDINATOR_PROOFS_CANARY_H

#include <etcd/etcd.h>
#include <kube/kube.h>

#include "../job.h"

#define CANARY_NAME        "secrets-encrypt-canary-"
#define CANARY_PATH_MAX    (4 * KUBE_NAME_MAX)
#define CANARY_MARKER_SIZE 33 /* hex, with the NUL */

/* A resource that canaries can be made of. */
struct canary_kind {
    const char *resource, *kind;
    const char *type; /* a Secret's; NULL: it has none */
    bool base64;      /* the values of `data` are */
};
/* NULL: none can be made of it. */
const struct canary_kind *canary_kind(const char *resource);

struct canary {
    const struct canary_kind *kind;
    char namespace[KUBE_NAME_MAX];
    char name[KUBE_NAME_MAX];
    char marker[CANARY_MARKER_SIZE]; /* random: what must come back */
    char etcd_key[CANARY_PATH_MAX];
    char collection[CANARY_PATH_MAX]; /* "/api/v1/namespaces/kube-system/secrets" */
    char path[CANARY_PATH_MAX];       /* of the object itself */
};

/* A name and a marker for one: "secrets-encrypt-canary-<8 of the operation>-<step>", and "-<server>" unless
 * that is negative. */
int canary_make(const struct job_options *o, const struct canary_kind *kind, int server, struct canary *ret,
                struct error *err) _must_check_;

/* The object as JSON: as it is stored (with uid and time), or as it is sent to be created. */
int canary_object(const struct canary *c, bool stored, struct buf *out, struct error *err) _must_check_;

/* True for the name of one of ours, which is no object of anybody's. */
bool canary_named(const char *name);

/* True when an API server's reply is this very object. */
bool canary_is(const struct canary *c, const struct buf *reply);

/* Removes it from the datastore, and sees that it is gone: tries for `for_ms`, also when the job is being
 * stopped. */
int canary_remove(struct etcd *datastore, const char *etcd_key, int for_ms, struct error *err) _must_check_;

/* The same through the API, by its path: through one server after the other, for `for_ms`. */
int canary_delete(const struct job_options *o, const char *path, int for_ms, struct error *err) _must_check_;

/* Takes it out of the datastore, or through the API where that is not to be touched. */
int canary_take_out(const struct job_options *o, const struct canary *c, int for_ms,
                    struct error *err) _must_check_;

/* Removes what earlier runs left behind, of every kind. Keys, or names, alone are read. */
int canary_sweep_api(const struct job_options *o, const struct canary_kind *kind,
                     struct error *err) _must_check_;
int canary_sweep(const struct job_options *o, struct error *err) _must_check_;

/* The managed resources that none can be made of, for people: "widgets.example.org, …"; "" = none. */
void canary_missing(const struct job_options *o, char *out, size_t size);

#endif
