/* The backup of the datastore that is taken before the first value is rewritten, and before a key goes: an
 * etcd snapshot in a folder of ours, with its checksum beside it in sha256sum's format.
 *
 *   <folder>/<operation>-before-rewrite.db          restored with `etcdctl snapshot restore`
 *   <folder>/<operation>-before-rewrite.db.sha256   checked with `sha256sum -c`; a comment in it names the
 *                                                   revision and the member
 *
 * A file under its final name is whole, checked and on disk; until then it is "<name>.part". */
#ifndef COORDINATOR_BACKUP_H
#define COORDINATOR_BACKUP_H

#include <limits.h>
#include <stdatomic.h>

#include <etcd/maintenance.h>

#define BACKUP_NAME_MAX 128 /* with the NUL */
#define BACKUP_KEEP_MAX 1000

struct backup_options {
    struct etcd *datastore;
    const char *folder; /* made with mode 0700 if it is missing (its parent has to be there); else it has to
                           be ours and closed to everybody else */
    const char *name;   /* backup_name()'s, or any that backup_name_is_ours() accepts */
    size_t keep;        /* backups to keep in the folder, this one included; 0: all */
    const atomic_bool *cancel; /* set from any thread; may be NULL */
    int idle_ms;               /* at most without any bytes from etcd; 0: 30 s */
    /* May be NULL. Bytes written so far, and bytes to come. */
    void (*progress)(void *arg, uint64_t done, uint64_t remaining);
    void *arg;
    /* For tests: what there is to write to, in bytes; NULL: what statvfs says a plain user may use. */
    int (*free_bytes)(int folder_fd, uint64_t *ret, struct error *err);
};

struct backup_result {
    char path[PATH_MAX];
    uint64_t size;
    char sha256[ETCD_SHA256_HEX];
    int64_t revision;          /* all writes up to this one are in it; 0: not known of an earlier call's */
    char member[ETCD_URL_MAX]; /* the endpoint it came from; "": not known of an earlier call's */
    int64_t millis;
    bool reused;    /* it was there already, whole */
    size_t removed; /* older backups */
    struct error
        pruning; /* code 0, or why older ones could not be removed: the new one is good all the same */
};

/* Takes the backup, or finds it: a file of that name whose checksums are right is taken as it is, a damaged
 * one is replaced. Older backups go only once the new one is on disk. On failure nothing of it is left (after
 * a crash, a ".part" file, which the next call removes).
 *
 * ERR_NO_SPACE: needs 1.1 times the database and 64 MiB. ERR_DENIED: the folder is not ours alone.
 * ERR_CONFLICT: another process writes there. ERR_CANCELED. ERR_INVALID: the name. ERR_IO. And what
 * etcd_datastore_snapshot answers: after ERR_UNAVAILABLE, ERR_TIMEOUT and ERR_INVALID from there, calling
 * again asks another member. Blocks for as long as copying the database takes. */
int backup_take(const struct backup_options *options, struct backup_result *ret,
                struct error *err) _must_check_;

/* "<operation>-before-<what>.db" into out; ERR_INVALID if that is no good name. */
int backup_name(const char *operation, const char *what, char out[BACKUP_NAME_MAX],
                struct error *err) _must_check_;

/* Whether a file of this name is a backup that this program took, to be removed when it gets old. */
bool backup_name_is_ours(const char *name);

#endif
