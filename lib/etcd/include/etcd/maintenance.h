/* A copy of the whole datastore (what `etcdctl snapshot save` writes and `etcdctl snapshot restore` reads),
 * and the alarms that etcd raises. */
#ifndef ETCD_MAINTENANCE_H
#define ETCD_MAINTENANCE_H

#include <stdatomic.h>

#include <etcd/etcd.h>

#define ETCD_SHA256_HEX   65  /* with the NUL */
#define ETCD_URL_MAX      320 /* with the NUL */
#define ETCD_SNAPSHOT_SHA 32  /* bytes of the SHA-256 that etcd puts at a snapshot's end */

struct etcd_snapshot_options {
    /* Gets the snapshot in order, in pieces of at most 8 MiB (etcd's are of 32 KiB). It may take its time:
     * nothing more than 24 MiB is read ahead. An error of its own ends the snapshot and is handed on
     * unchanged. What it was given is worth nothing unless etcd_datastore_snapshot returned 0. */
    int (*write)(void *arg, const void *data, size_t len, struct error *err);
    /* May be NULL. Bytes given to `write` so far, and bytes to come, before the SHA-256 at the end. */
    void (*progress)(void *arg, uint64_t done, uint64_t remaining);
    void *arg;
    const atomic_bool *cancel; /* set from any thread: ERR_CANCELED within 0.2 s (while it looks for a
                                  member: 2 s); may be NULL */
    int choose_ms;             /* at most for finding a member that is up to date; 0: 10 s */
    int idle_ms;               /* at most between two pieces; 0: 30 s */
};

struct etcd_snapshot_result {
    uint64_t size;                /* bytes, SHA-256 at the end included */
    char sha256[ETCD_SHA256_HEX]; /* of all `size` bytes, as sha256sum prints it */
    int64_t revision;             /* everything up to this revision is in it; later writes may be */
    uint64_t member;              /* id of the member that sent it */
    char url[ETCD_URL_MAX];       /* its endpoint */
};

/* Streams a snapshot of the datastore from one member, over a connection of its own. The member is a voter
 * that already has everything that was committed before the call (its revision is compared with a
 * linearizable read), a follower where there is one; each call begins with another. The SHA-256 at the end
 * was checked when this returns 0.
 *
 * ERR_UNAVAILABLE: no such member, or it broke off: call again, another is asked. ERR_TIMEOUT: nothing came
 * for idle_ms. ERR_INVALID: what came is no snapshot, or was garbled on the way. ERR_UNSUPPORTED: this is no
 * etcd (K3s on an SQL database). ERR_CANCELED. Blocks; not from gRPC's own thread. */
int etcd_datastore_snapshot(struct etcd *e, const struct etcd_snapshot_options *options,
                            struct etcd_snapshot_result *ret, struct error *err) _must_check_;

struct etcd_snapshot_file {
    uint64_t size;
    char sha256[ETCD_SHA256_HEX]; /* of the whole file */
};
/* Reads a snapshot file from its beginning to its end and checks the SHA-256 there. ERR_INVALID: it is cut
 * short, changed, or no snapshot. `name` is for error texts. `cancel` may be NULL. The file offset is not
 * used. */
int etcd_snapshot_verify(int fd, const char *name, const atomic_bool *cancel, struct etcd_snapshot_file *ret,
                         struct error *err) _must_check_;

enum etcd_alarm_type {
    ETCD_ALARM_NOSPACE, /* the quota is used up: every write is refused */
    ETCD_ALARM_CORRUPT, /* a member's data differs from the others' */
    ETCD_ALARM_OTHER,   /* one that this program does not know */
};
#define ETCD_ALARMS_MAX (3 * ETCD_ENDPOINT_MAX)
struct etcd_alarm_list {
    struct etcd_alarm {
        uint64_t member; /* id, as in etcd_member_list */
        enum etcd_alarm_type type;
    } alarms[ETCD_ALARMS_MAX];
    size_t count; /* 0: all is well */
};
/* Asks for the alarms that are raised (through the quorum). More than ETCD_ALARMS_MAX is ERR_TOO_LARGE. */
int etcd_alarms(struct etcd *e, int deadline_ms, struct etcd_alarm_list *ret, struct error *err) _must_check_;

/* "nospace", "corrupt" or "other". */
const char *etcd_alarm_name(enum etcd_alarm_type type);

#endif
