/* What every command needs: the cluster's state, straight from the state store (with the configuration and
 * the token), or through a coordinator's API. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <cli/args.h>
#include <report/status.h>
#include <store/store.h>

#include "remote.h"

#define CONNECT_MS 5000 /* until the state store must have answered */

struct session {
    struct config *config; /* NULL with `remote` */
    struct store *store;   /* NULL with `remote` */
    struct remote *remote; /* NULL: straight at the state store */
    struct cluster_snapshot
        *snapshot; /* as read at the start; servers of the configuration where no spec is */
};

/* Where a coordinator is named (--coordinator, or its variable) that is asked, and nothing else is read. Else
 * reads the configuration and the token (--token, else --data-dir's, else token_file); where these may not be
 * read and the API's socket is there, that is asked. Takes a first snapshot, within CONNECT_MS. One line
 * names the file or the endpoint. Close with session_close, also after a failure. */
int session_open(const struct args *args, struct session *ret, struct error *err) _must_check_;
void session_close(struct session *s);

/* For what cannot be done through the API: ERR_UNSUPPORTED, naming `what`. */
int session_need_store(const struct session *s, const char *what, struct error *err) _must_check_;

/* The cluster's name. */
const char *session_cluster(const struct session *s);

/* Everything anew. */
int session_snapshot(struct session *s, int deadline_ms, struct cluster_snapshot *ret,
                     struct error *err) _must_check_;

/* A command that shows one snapshot and ends: opens, shows, closes, tells what went wrong. Returns the exit
 * code. */
int session_show(const struct args *args,
                 int (*show)(struct session *s, enum output output, struct error *err));

/* The keys of S1's config, from its bundle or from this machine's file. Does not fail: ret->why tells. */
void session_keys(struct session *s, struct key_table *ret);

#endif
