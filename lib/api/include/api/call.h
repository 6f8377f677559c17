/* The calls of the coordinator's API (proto/secrets_encrypt.proto), and what makes two of them one. */
#ifndef API_CALL_H
#define API_CALL_H

#include <secrets_encrypt.pb-c.h>

#include <base/error.h>
#include <cluster/types.h>

#define API_MESSAGE_MAX   (256 * 1024)       /* of a request */
#define API_REPLY_MAX     (16 * 1024 * 1024) /* of an answer: the state of a thousand servers takes 5 MiB */
#define API_KEY_MAX       128                /* of an idempotency key, without the NUL */
#define API_REQUEST_TTL_S 600                /* an unanswered request goes by itself after so long */
#define API_ANSWER_TTL_S  (24 * 3600)        /* so long one key is one operation */
#define API_DONE_TTL_S    600                /* an answer that is none about a new operation */
#define API_REFUSAL_MS    90000              /* the CLI waits for 60 s */

enum api_call {
    API_STATUS,
    API_WATCH,
    API_EXPLAIN,
    API_KEYS,
    API_AUDIT,
    API_START,
    API_PAUSE,
    API_RESUME,
    API_THROTTLE,
    API_LOCK,
    API_UNLOCK,
    API_WITHDRAW,
    API_ABORT,
    API_REPAIR,
    API_CALLS,
};

/* "Start" */
const char *api_call_name(enum api_call call);
/* "/secretsencrypt.v1.Coordinator/Start" */
const char *api_call_path(enum api_call call);
/* The reverse; -1: none of ours. */
int api_call_parse(const char *path);
const ProtobufCMessageDescriptor *api_call_request(enum api_call call);
const ProtobufCMessageDescriptor *api_call_reply(enum api_call call);

/* Is the key 1 to API_KEY_MAX printable ASCII characters? */
bool api_key_valid(const char *key);

/* The id of the request that a caller with this identity makes under an idempotency key: a UUID of version 8
 * out of SHA-256 over cluster, identity and key. */
int api_request_id(const char *cluster, const char *identity, const char *key, char out[CLUSTER_ID_MAX],
                   struct error *err) _must_check_;
/* Was it made of an idempotency key? */
bool api_id_is_keyed(const char *id);

/* How long an answered request stays: with an idempotency key that became an operation, as long as the key
 * stands for it. All else can be asked for again and again, and every look at the state store reads it. */
int64_t api_answer_ttl_s(const struct cluster_request *r);

/* Is the same key again a new request, not that one? A refusal began nothing: what it names may have been
 * mended since. It stands for API_REFUSAL_MS, in which whoever asked still looks for it. */
bool api_request_is_spent(const struct cluster_request *r, int64_t now_ms);

#endif
