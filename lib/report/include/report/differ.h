/* How two servers' encryption configs differ, from the layouts that their agents publish. Pure. */
#ifndef REPORT_DIFFER_H
#define REPORT_DIFFER_H

#include <base/error.h>
#include <cluster/snapshot.h>
#include <encryption/config.h>

enum difference_kind {
    DIFFER_ITEM_MISSING, /* no element of `resources` is for these resources, and one is there */
    DIFFER_ITEM_EXTRA,
    DIFFER_ITEM_ORDER,     /* the elements stand in another order */
    DIFFER_RESOURCES,      /* an element is for other resources: `detail` */
    DIFFER_RESOURCE_ORDER, /* for the same ones, in another order */
    DIFFER_PROVIDER_MISSING,
    DIFFER_PROVIDER_EXTRA,
    DIFFER_PROVIDER_ORDER, /* `detail`: both */
    DIFFER_KEY_MISSING,
    DIFFER_KEY_EXTRA,
    DIFFER_KEY_ORDER, /* `detail`: both */
    DIFFER_OTHER_KEY, /* the same name with another key */
    DIFFER_PLUGIN,    /* a KMS plugin: `detail` */
    DIFFER_SETTINGS,  /* something that a layout does not have, as a plugin's timeout */
    DIFFER_FORMAT,    /* the same content in other bytes */
    DIFFER_NO_FILE,   /* there is none, or none that can be read: `detail` */
    DIFFER_UNKNOWN,   /* the files differ, and in what cannot be said: `detail` */
};

#define DIFFERENCES_MAX 64
struct difference {
    enum difference_kind kind;
    char of[64];       /* the element's resources, where there are several elements; else "" */
    char provider[16]; /* "aescbc"; "" where it is about none */
    char key[CLUSTER_KEY_NAME_MAX];
    size_t place; /* of the key, or of the provider, from 1 on; where it is missing: its place there */
    char detail[192];
};
struct differences {
    struct difference list[DIFFERENCES_MAX];
    size_t count, more; /* more: past the limit */
};

/* Appends nothing to what stands in *ret: fills it with how `other` differs from `reference`, every
 * difference and not the first alone; count 0: their files are the same, byte by byte. ERR_NO_MEMORY is the
 * one error. */
int differ_compare(const struct cluster_report *reference, const struct cluster_report *other,
                   struct differences *ret, struct error *err) _must_check_;

/* "other-key": for programs. */
const char *difference_name(enum difference_kind kind);

/* "aescbc key 2 (name) is another key than on s1, s2": `where` is "on s1, s2" or the like, for people. */
#define DIFFERENCE_TEXT_MAX 1024
void difference_text(const struct difference *d, const char *where, char out[DIFFERENCE_TEXT_MAX]);

/* All of them in one line, as far as they fit: "…; …; and 2 more". */
void differences_text(const struct differences *d, const char *where, char *out, size_t size);

#endif
