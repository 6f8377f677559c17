/* Which servers are the odd ones out, against what the coordinator issued and against the majority. Pure. */
#ifndef REPORT_ODD_H
#define REPORT_ODD_H

#include <base/error.h>
#include <cluster/snapshot.h>

enum odd_kind {
    ODD_NO,
    ODD_DRIFT,      /* its file is none that was ever issued here: somebody changed it */
    ODD_NOT_ISSUED, /* its file was issued once, and is not the one that it should have now */
    ODD_NEWER, /* its file was issued, and the state store does not know of it any more: that is the older one
                */
    ODD_MINORITY, /* nothing was issued yet, and most of the others have another file */
    ODD_TIE,      /* nothing was issued yet, they differ, and there is no majority */
    ODD_SILENT,   /* what it has is not known */
};

struct odd_server {
    enum odd_kind kind;
    char why[CLUSTER_TEXT_MAX]; /* one line; "" for ODD_NO */
};
struct odd_verdict {
    struct odd_server servers[SNAPSHOT_SERVERS_MAX]; /* as the snapshot's; those of no list are ODD_NO */
    size_t odd; /* servers whose file is another one (not the silent ones) */
    size_t silent;
    char reference[CLUSTER_HASH_MAX];    /* of the file that the others are held against; "" = none */
    bool issued;                         /* it is one that was issued; else it is the majority's */
    size_t with;                         /* servers that have it */
    const struct snapshot_server *model; /* one of these, that says what stands in it; NULL: none. The
                                            snapshot's */
};

/* While a phase brings another config to the servers, both are right. Large: caller allocates *ret on the
 * heap; what stands behind the snapshot's servers_count means nothing. */
void odd_find(const struct cluster_snapshot *s, struct odd_verdict *ret);

/* "no", "drift", "not-issued", "newer", "minority", "tie", "silent". */
const char *odd_name(enum odd_kind kind);

/* True when that server's file is not the one that it should have: as odd_find's ODD_DRIFT, ODD_NOT_ISSUED or
 * ODD_NEWER, at no cost. */
bool odd_drifted(const struct cluster_snapshot *s, const struct snapshot_server *v);

/* "on s1, s2 and as issued": which servers have that file. */
#define ODD_WHERE_MAX 256
void odd_where(const struct cluster_snapshot *s, const char *hash, bool issued, char out[ODD_WHERE_MAX]);

#endif
