/* The typed view of a config that the room's files share. The JSON tree of the document is the truth, so that
 * everything unknown is carried over; the view is read from it anew after each edit, and borrows its texts.
 */
#ifndef ENCRYPTION_MODEL_H
#define ENCRYPTION_MODEL_H

#include <crypto/crypto.h>
#include <encryption/config.h>
#include <json/json.h>

struct key {
    const char *name;
    struct secret *value;
};

struct stage { /* one element of `providers` */
    enum provider kind;
    struct key *keys; /* none for identity and kms */
    size_t key_count;
};

struct entry { /* one element of `resources` */
    const char **resources;
    size_t resource_count;
    struct stage *stages;
    size_t stage_count;
};

struct encryption_config {
    struct json *doc;
    bool yaml;  /* the format that it was read from, and is written in */
    char *what; /* the source, for error texts */
    struct entry *entries;
    size_t entry_count;
    size_t key_count; /* in all entries; a key that stands in two counts twice */
};

/* Reads the view of a document; takes doc in every case. Caller frees *ret. */
int config_from_doc(struct json *doc, bool yaml, const char *what, struct encryption_config **ret,
                    struct error *err) _must_check_;

/* The cipher of a provider that has keys; false for identity and kms. */
bool provider_cipher(enum provider p, enum cipher *ret);
/* True when a key of so many bytes is one for this provider. */
bool provider_takes(enum provider p, size_t key_len);
const char *provider_key_sizes(enum provider p); /* "16, 24 or 32" */

/* 1 to ENCRYPTION_KEY_NAME_MAX bytes without control characters. */
bool key_name_is_good(const char *name);
/* True when a stored value under one of the names can be taken for one under the other: API servers compare
 * "<name>:" with the start of the value, so "k" also fits what was written under "k:1". */
bool key_names_clash(const char *a, const char *b);

/* Names of one resource: "secrets" and "secrets." are the same one. */
bool resource_equal(const char *a, const char *b);
/* "*.<group>", "*." (core) and "*.*". */
bool resource_is_wildcard(const char *name);
bool resource_covered(const char *wildcard, const char *resource);

bool set_has(struct resource_set set, const char *resource);
bool entry_names(const struct entry *e, const char *resource);
/* True when the entry names one of the managed resources. */
bool entry_is_managed(const struct entry *e, struct resource_set managed);
/* The entry that an API server takes for a resource: the one that names it, else the first wildcard that
 * covers it. NULL when there is none. */
const struct entry *entry_of(const struct encryption_config *c, const char *resource);

const struct key *stage_key(const struct stage *s, const char *name);
/* The first stage of that kind (that has the key, where a name is given); its index or -1. */
int find_stage(const struct entry *e, enum provider kind, const char *name);
/* The key that the entry writes under; NULL when its first provider is identity or kms. */
const struct key *write_key(const struct entry *e);

/* How many (provider, name) there are in all entries; exact up to ENCRYPTION_KEYS_MAX. */
size_t distinct_keys(const struct encryption_config *c);

/* Runs through the managed entries: `i` is the index to go on from; returns the next one and its index in
 * *i, NULL at the end. */
const struct entry *next_managed(const struct encryption_config *c, struct resource_set managed, size_t *i);
#define for_each_managed(e, c, managed)                                                                      \
    for (size_t at_ = 0, *at_p_ = &at_; at_p_; at_p_ = NULL)                                                 \
        for (const struct entry *e; (e = next_managed(c, managed, at_p_)); at_++)

#endif
