/* What can be found out about a cluster by looking at one of its servers, and the configuration file that
 * comes of it. Finding reads files only, all of them under `root`; merging and rendering are pure. */
#ifndef DISCOVER_DISCOVER_H
#define DISCOVER_DISCOVER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <base/secret.h>
#include <config/config.h>

#define DISCOVER_PATH_MAX   512
#define DISCOVER_URL_MAX    256
#define DISCOVER_NAME_MAX   254
#define DISCOVER_TEXT_MAX   256
#define DISCOVER_NOTES_MAX  16
#define DISCOVER_FILES_MAX  4
#define DISCOVER_LOCALS_MAX 32

enum discover_kind { DISCOVER_NOTHING, DISCOVER_K3S, DISCOVER_RKE2, DISCOVER_KUBEADM, DISCOVER_SERVICE };

struct discover_server {
    char name[CONFIG_NAME_MAX];
    char host[64]; /* address, without brackets */
};

/* Everything is "" or 0 where it was not found. Paths are those of the server, without the root. */
struct discover_facts {
    enum discover_kind kind;
    char where[DISCOVER_PATH_MAX]; /* what it was recognised by */
    char cluster[CONFIG_NAME_MAX];
    char server[CONFIG_NAME_MAX];         /* this one */
    char advertise[64];                   /* its address */
    int port;                             /* of its API server */
    char locals[DISCOVER_LOCALS_MAX][64]; /* addresses of this machine */
    size_t locals_count;
    struct discover_server servers[CONFIG_SERVERS_MAX];
    size_t servers_count;

    char resources[CONFIG_RESOURCES_MAX][DISCOVER_NAME_MAX];
    size_t resources_count;
    char encryption_config[DISCOVER_PATH_MAX];
    bool reload;

    char endpoints[CONFIG_ENDPOINTS_MAX][DISCOVER_URL_MAX];
    size_t endpoints_count;
    bool etcd_on_servers; /* its members are the cluster's servers */
    char etcd_ca[DISCOVER_PATH_MAX], etcd_cert[DISCOVER_PATH_MAX], etcd_key[DISCOVER_PATH_MAX];
    char etcd_why[DISCOVER_TEXT_MAX]; /* why there are no endpoints */
    char prefix[DISCOVER_URL_MAX];    /* the API server's --etcd-prefix */
    int64_t quota;

    char kube_ca[DISCOVER_PATH_MAX], kube_cert[DISCOVER_PATH_MAX], kube_key[DISCOVER_PATH_MAX];
    char kube_token[DISCOVER_PATH_MAX];
    /* What a kubeconfig holds inside itself, to be written as files (0600) beside the configuration. */
    struct discover_file {
        char path[DISCOVER_PATH_MAX];
        struct secret *text; /* owned */
    } files[DISCOVER_FILES_MAX];
    size_t files_count;

    char driver[16];
    char unit[DISCOVER_NAME_MAX];
    char manifest[DISCOVER_PATH_MAX];
    char data_dir[DISCOVER_PATH_MAX]; /* where it is not the usual one */

    char notes[DISCOVER_NOTES_MAX][DISCOVER_TEXT_MAX]; /* for the head of the file */
    size_t notes_count;
};

struct discover_options {
    const char *root;     /* "": the machine itself */
    const char *folder;   /* of the configuration, without the root: "/etc/secrets-encrypt" */
    const char *cluster;  /* NULL: "kubernetes" */
    const char *hostname; /* where the root has no /etc/hostname */
};

/* Looks for K3s, RKE2, kubeadm and a kube-apiserver that runs as a service, in this order. ERR_NOT_FOUND with
 * a text that names the places; other errors are memory alone: what is damaged or may not be read becomes a
 * note. Free with discover_free, also after a failure. */
int discover_find(const struct discover_options *options, struct discover_facts *ret,
                  struct error *err) _must_check_;
void discover_free(struct discover_facts *f); /* frees the contents and zeroes */

/* A member of etcd, as etcd lists it. */
struct discover_member {
    char name[128];
    char url[DISCOVER_URL_MAX]; /* its first client URL, "" while it has not started */
};

/* Adds what etcd knows: its members (as endpoints; as servers where they run on those), and the addresses of
 * the API servers that are alive (the datastore's masterleases), which decide which servers there are. Names
 * the servers, this one as well, and sorts them, so that every server comes to the same list. */
void discover_merge(struct discover_facts *f, const struct discover_member *members, size_t members_count,
                    const char (*addresses)[64], size_t addresses_count);

/* The configuration's text. What is missing stands there as a comment that says what to fill in; *ret_missing
 * counts these. */
int discover_render(const struct discover_facts *f, const char *token_file, struct buf *out,
                    size_t *ret_missing, struct error *err) _must_check_;

/* "K3s", "RKE2", "kubeadm", "a kube-apiserver service". */
const char *discover_kind_name(enum discover_kind kind);

#endif
