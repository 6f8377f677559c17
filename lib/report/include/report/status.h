/* `status`, without its reading: a snapshot and the keys of S1's file, to K3s's text, JSON, and a wide one.
 */
#ifndef REPORT_STATUS_H
#define REPORT_STATUS_H

#include <base/buf.h>
#include <cluster/snapshot.h>
#include <config/config.h>
#include <encryption/config.h>

struct key_row {
    char name[CLUSTER_KEY_NAME_MAX];
    const char *type; /* static: "AES-CBC" */
    bool active;
};

/* The keys of S1's encryption config. */
struct key_table {
    bool known; /* false: its text could not be had; `why` */
    bool enabled;
    char why[CLUSTER_TEXT_MAX]; /* "" where there is nothing to tell */
    struct key_row rows[CLUSTER_KEYS_MAX];
    size_t count;
};

/* Fills in *ret from a parsed config. */
void key_table_fill(const struct encryption_config *c, struct resource_set managed, struct key_table *ret);

/* Where the text of S1's config comes from. */
enum key_source {
    KEY_SOURCE_NONE,   /* nowhere; `why` tells the reason, "" when there is no config at all */
    KEY_SOURCE_BUNDLE, /* the generation in *ret_generation */
    KEY_SOURCE_FILE,   /* this machine's file */
};

/* `file_hash`: of this machine's encryption config file, "" when it has none that it can read. */
enum key_source key_source_choose(const struct cluster_snapshot *s, const char *file_hash,
                                  int64_t *ret_generation, char why[CLUSTER_TEXT_MAX]);

/* Before a coordinator has ever led there is no spec: takes servers and resources from the configuration. */
void status_use_config(struct cluster_snapshot *s, const struct config *c);

/* S1: the first server of the spec that has an API server, or NULL. */
const struct snapshot_server *status_first(const struct cluster_snapshot *s);

enum encryption_state { ENCRYPTION_UNKNOWN, ENCRYPTION_ON, ENCRYPTION_OFF, ENCRYPTION_NO_FILE };
enum encryption_state status_encryption(const struct cluster_snapshot *s, const struct key_table *keys);

/* "Current Rotation Stage". */
enum stage status_stage(const struct cluster_snapshot *s);

/* Why a server is not as it should be, "" when it is. Borrowed from the snapshot, or static. */
const char *status_server_why(const struct snapshot_server *v);

/* `--check`: the exit code of the first thing that is wrong (halted, a server silent, stale or not ready, a
 * mismatch, no coordinator, an API server that nobody knows or a lock), and what it is; EXIT_DONE and "" when
 * all is well. stale_ms: so old may a report be. */
int status_check(const struct cluster_snapshot *s, int64_t stale_ms, char why[CLUSTER_TEXT_MAX]);

/* What `--check` said, for JSON; code -1: it was not asked. */
struct status_verdict {
    int code;
    char why[CLUSTER_TEXT_MAX];
};

/* Each appends whole lines. */
int render_status_text(const struct cluster_snapshot *s, const struct key_table *keys, struct buf *out,
                       struct error *err) _must_check_;
int render_status_json(const struct cluster_snapshot *s, const struct key_table *keys, struct buf *out,
                       struct error *err) _must_check_;
int render_status_checked(const struct cluster_snapshot *s, const struct key_table *keys,
                          const struct status_verdict *verdict, struct buf *out,
                          struct error *err) _must_check_; /* JSON too */
int render_status_wide(const struct cluster_snapshot *s, const struct key_table *keys, struct buf *out,
                       struct error *err) _must_check_;

#endif
