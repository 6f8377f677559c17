/* The generations that were ever issued here, as far as this agent has read them: what tells a file that
 * somebody changed from one that the cluster knows. */
#ifndef AGENT_KNOWN_H
#define AGENT_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

#include <agent/state.h>
#include <cluster/types.h>

#define KNOWN_MAX 256 /* the newest */

struct known_bundle {
    struct version version;
    char config_id[CLUSTER_HASH_MAX];
    char vector[CLUSTER_VECTOR_MAX]; /* "" = it has none */
};
struct known {
    struct known_bundle bundles[KNOWN_MAX]; /* rising generations */
    size_t count;
};

/* Takes a bundle's description over; one that is there already is replaced, the oldest makes room. */
void known_add(struct known *k, const struct cluster_bundle *b);

bool known_has(const struct known *k, int64_t generation);
const struct known_bundle *known_get(const struct known *k, int64_t generation);   /* NULL: not known */
const struct known_bundle *known_by_hash(const struct known *k, const char *hash); /* the newest, or NULL */
bool known_config_id(const struct known *k, const char *config_id);

/* Which generation a file of this hash is: the one that we wrote ourselves, else the newest bundle with that
 * hash, else 0 with the stage left as given. */
struct version known_version(const struct known *k, const struct file_record *r, const char *hash,
                             enum stage stage);

#endif
