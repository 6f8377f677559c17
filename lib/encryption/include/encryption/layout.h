/* The layout of an encryption config: everything that two servers' configs are compared by, and nothing that
 * tells of a key more than whether it is the same one. It travels in an agent's report as text, a line a
 * thing:
 *
 *   e              an element of `resources` begins
 *   r secrets      a resource of it
 *   p aescbc       a provider of it; its keys or its plugin follow
 *   k 0123456789abcdef aescbckey      a key: its fingerprint (crypto/seal.h) and its name
 *   n, v, u …      a KMS plugin's name, apiVersion and endpoint
 */
#ifndef ENCRYPTION_LAYOUT_H
#define ENCRYPTION_LAYOUT_H

#include <encryption/config.h>

#define LAYOUT_TEXT_MAX  8192 /* with the NUL */
#define LAYOUT_LINES_MAX 512
#define LAYOUT_ITEMS_MAX 64 /* elements of `resources` */

/* Writes the layout. ERR_TOO_LARGE: the config has more than fits; ERR_UNSUPPORTED: a name in it has control
 * characters. The texts go on from "its layout …". `out` is "" after an error. */
int layout_write(const struct encryption_config *c, const struct secret *fingerprint_key,
                 char out[LAYOUT_TEXT_MAX], struct error *err) _must_check_;

struct layout_key {
    const char *name, *fingerprint;
};
struct layout_provider {
    enum provider kind;
    size_t keys, keys_count;                           /* from that index on in the layout's keys */
    const char *kms_name, *kms_version, *kms_endpoint; /* "" where it has none */
};
struct layout_item {
    size_t resources, resources_count; /* from that index on; so providers */
    size_t providers, providers_count;
};
struct layout {
    char text[LAYOUT_TEXT_MAX]; /* all texts point into it */
    const char *resources[LAYOUT_LINES_MAX];
    struct layout_key keys[LAYOUT_LINES_MAX];
    struct layout_provider providers[LAYOUT_LINES_MAX];
    struct layout_item items[LAYOUT_ITEMS_MAX];
    size_t resources_count, keys_count, providers_count, items_count;
};

/* Reads a layout that came from elsewhere. ERR_INVALID: it is none, with what is wrong. The struct is large:
 * caller allocates it on the heap. */
int layout_read(const char *text, struct layout *ret, struct error *err) _must_check_;

#endif
