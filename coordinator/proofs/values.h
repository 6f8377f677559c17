/* Every stored value of every managed resource, in pages, all read at one revision; and what a value stands
 * under. */
#ifndef COORDINATOR_PROOFS_VALUES_H
#define COORDINATOR_PROOFS_VALUES_H

#include <encryption/envelope.h>
#include <etcd/etcd.h>

#include "../job.h"

#define VALUES_PREFIX_MAX (3 * CLUSTER_KEY_NAME_MAX)
#define VALUES_KEY_TEXT   (CLUSTER_KEY_NAME_MAX + 32)

/* What a value stands under. */
struct value_key {
    bool known;             /* false: "k8s:enc:" of a provider or version that nobody here knows */
    enum provider provider; /* PROVIDER_IDENTITY: a plain value */
    const char *name;       /* borrowed from the value, not NUL-terminated; NULL for plain ones */
    size_t name_len;
};

/* Reads a value's prefix, with the names of the job's keys. */
void value_key(const struct job_options *o, const struct etcd_kv *kv, struct value_key *ret);

/* True when that is the key. */
bool value_under(const struct value_key *k, const struct job_key *key);

/* True when such a value may stay: its key is one of job_options.keep. */
bool value_kept(const struct job_options *o, const struct value_key *k);

/* "aescbc:key1", "plain" or "an unknown provider"; bytes that no terminal should see become '?'. */
void value_key_text(const struct value_key *k, char out[VALUES_KEY_TEXT]);
/* The same for a key of the job's options. */
void job_key_text(const struct job_key *k, char out[VALUES_KEY_TEXT]);
/* What may stay, for people: "aescbc:key2", "aescbc:key2 or plain". */
void values_keep_text(const struct job_options *o, char *out, size_t size);

/* Where the values of a resource stand in the datastore, with the closing slash. */
void values_prefix(const struct job_options *o, const char *resource, char out[VALUES_PREFIX_MAX]);

/* Decrypts a value with the job's config. ERR_DENIED too when what comes out is no object (AES-CBC with a
 * wrong key passes for right once in 256 times, as far as the padding tells). Caller frees *ret. */
int value_open(const struct job_options *o, const char *resource, const struct etcd_kv *kv,
               struct secret **ret, struct error *err) _must_check_;

/* The same with a codec of the config. */
int value_decode(struct envelope_codec *codec, const struct etcd_kv *kv, struct secret **ret,
                 struct error *err) _must_check_;

/* Wipes the values of what was read, which are the objects themselves where nothing is encrypted, and frees.
 */
void values_wipe(struct etcd_range *page);

/* Writes a value again under the key that the job's config writes with, if it is still the one that was read:
 * ERR_CONFLICT when it is not. Its lease stays. *ret_revision is that of the write. */
int value_move(const struct job_options *o, const char *resource, const struct etcd_kv *kv,
               int64_t *ret_revision, struct error *err) _must_check_;

struct values_reader {
    struct job *job;
    /* One stored value. An error ends the reading and is handed on. The value is wiped afterwards. */
    int (*each)(void *arg, const char *resource, const struct etcd_kv *kv, struct error *err);
    /* May be NULL. After each page. */
    void (*page)(void *arg);
    /* The revision was compacted away in the middle: all that was counted is void, it begins again. */
    void (*again)(void *arg);
    void *arg;
};

/* Reads them all; *ret_revision is the one revision that they were read at. The number of values seen is
 * compared with the datastore's own count. ERR_CANCELED when the job is stopped; ERR_COMPACTED when the
 * datastore is compacted faster than it can be read. */
int values_each(const struct values_reader *r, int64_t *ret_revision, struct error *err) _must_check_;

#endif
