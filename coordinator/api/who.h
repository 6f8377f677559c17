/* Somebody at the other end of a connection, as the API knows it. */
#ifndef COORDINATOR_API_WHO_H
#define COORDINATOR_API_WHO_H

#include "roles.h"

#define WHO_VIA " via "

struct who {
    char identity[CLUSTER_WHO_MAX]; /* the certificate's subject; "root (uid 0)" through the socket */
    char from[CLUSTER_WHO_MAX / 2]; /* "10.0.0.9:51234", "unix" */
    char by[CLUSTER_NAME_MAX];      /* both, shortened, for people */
    enum api_role role;
    int64_t until_ms; /* wall clock: the certificate ends then; 0: there is none */
};

/* `from` is "host:port", "[v6]:port" or "unix". */
void who_init(struct who *w, const char *identity, const char *from, enum api_role role, int64_t until_ms);

/* Do two texts like who.by name the same caller, from wherever? Who takes a lock may give it back from
 * another address. */
bool who_same_name(const char *a, const char *b);

/* At most a number of deeds a minute, a word about refusals once a second, and some of these in the audit
 * trail, for each identity. Thread-safe. */
struct limits;
int limits_new(unsigned a_minute, struct limits **ret, struct error *err) _must_check_;
void limits_free(struct limits *l);

/* One more deed of this identity: 0, or ERR_UNAVAILABLE with the time after which to try again. */
int limits_take(struct limits *l, const char *identity, int64_t now_ms, struct error *err) _must_check_;

/* Is a refusal of this identity to be told now? *ret_more: how many were not told since the last that was. */
bool limits_tell(struct limits *l, const char *identity, int64_t now_ms, unsigned *ret_more);

/* Is what is told now for the trail, too? LIMITS_KEPT of an identity's in a row, then one in LIMITS_KEPT_MS:
 * the trail holds a number of entries, and nobody shall drive others' out of it by being refused. It stands
 * for `more` beside itself; *ret_more: and for all that were not for the trail. */
#define LIMITS_KEPT    60
#define LIMITS_KEPT_MS 600000
bool limits_keep(struct limits *l, const char *identity, int64_t now_ms, uint64_t more, uint64_t *ret_more);

#endif
