/* What every command needs: the configuration, the token, and a state store that answers. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <cli/args.h>
#include <report/status.h>
#include <store/store.h>

#define CONNECT_MS 5000 /* until the state store must have answered */

struct session {
    struct config *config;
    struct store *store;
    struct cluster_snapshot
        *snapshot; /* as read at the start; servers of the configuration where no spec is */
};

/* Reads the configuration and the token (--token, else --data-dir's, else token_file) and takes a first
 * snapshot, within CONNECT_MS. One line names the file or the endpoint. Close with session_close, also
 * after a failure. */
int session_open(const struct args *args, struct session *ret, struct error *err) _must_check_;
void session_close(struct session *s);

/* A command that shows one snapshot and ends: opens, shows, closes, tells what went wrong. Returns the exit
 * code. */
int session_show(const struct args *args,
                 int (*show)(struct session *s, enum output output, struct error *err));

/* The keys of S1's config, from its bundle or from this machine's file. Does not fail: ret->why tells. */
void session_keys(struct session *s, struct key_table *ret);

#endif
