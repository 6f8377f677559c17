#include "who.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/text.h>
#include <crypto/crypto.h>

#define IDENTITIES_MAX                                                                                       \
    256 /* that are counted; of more, the one that was quiet for the longest is forgotten */
#define BY_HOST_MAX   20
#define BY_NAME_MAX   38 /* whatever the host: the same caller has the same name from everywhere */
#define BY_HASH       8  /* hex digits, behind a '~', that tell apart whom the room makes look alike */
#define MINUTE_MS     60000
#define TELL_EVERY_MS 1000
#define KEPT_MAX_MS   ((int64_t)LIMITS_KEPT * LIMITS_KEPT_MS)

_Static_assert(BY_NAME_MAX + sizeof(WHO_VIA) - 1 + BY_HOST_MAX <= CLUSTER_NAME_MAX, "both fit");

/* Locks are given back by this name. */
static void shorten(const char *identity, char out[BY_NAME_MAX + 1])
{
    uint8_t digest[SHA256_SIZE] = {0};
    char hex[2 * SHA256_SIZE + 1];
    size_t len = strlen(identity);
    if (len <= BY_NAME_MAX) {
        memcpy(out, identity, len + 1);
        return;
    }
    if (crypto_sha256(identity, len, digest, NULL) < 0)
        memset(digest, 0, sizeof(digest)); /* OpenSSL has no memory */
    text_hex(digest, sizeof(digest), hex);
    for (len = BY_NAME_MAX - BY_HASH - 1; len > 0 && !text_is_utf8(identity, len); len--)
        ;
    snprintf(out, BY_NAME_MAX + 1, "%.*s~%.*s", (int)len, identity, BY_HASH, hex);
}

/* The last one: a name may hold anything. */
static size_t name_len(const char *by)
{
    const char *end = NULL;
    for (const char *p = by; (p = strstr(p, WHO_VIA)); p++)
        end = p;
    return end ? (size_t)(end - by) : 0;
}

bool who_same_name(const char *a, const char *b)
{
    size_t len = name_len(a);
    return len > 0 && len == name_len(b) && memcmp(a, b, len) == 0;
}

void who_init(struct who *w, const char *identity, const char *from, enum api_role role, int64_t until_ms)
{
    char host[BY_HOST_MAX], name[BY_NAME_MAX + 1];
    memset(w, 0, sizeof(*w));
    text_copy(w->identity, sizeof(w->identity), identity);
    text_copy(w->from, sizeof(w->from), from);
    w->role = role;
    w->until_ms = until_ms;
    const char *colon = strrchr(from, ':');
    snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - from) : (int)strlen(from), from);
    shorten(w->identity, name);
    snprintf(w->by, sizeof(w->by), "%s" WHO_VIA "%s", name, host);
}

struct counted {
    char identity[CLUSTER_WHO_MAX];
    int64_t tokens_ms; /* what it may still do, in the time that one deed takes to come back */
    int64_t seen_ms, told_ms;
    unsigned untold;
    int64_t kept_ms; /* likewise, of entries in the trail; as it was at kept_at_ms */
    int64_t kept_at_ms;
    uint64_t unkept;
};

struct limits {
    pthread_mutex_t lock;
    int64_t deed_ms;
    size_t count;
    struct counted of[IDENTITIES_MAX];
};

int limits_new(unsigned a_minute, struct limits **ret, struct error *err)
{
    struct limits *l = calloc(1, sizeof(*l));
    if (!l)
        return error_no_memory(err);
    pthread_mutex_init(&l->lock, NULL);
    l->deed_ms = MINUTE_MS / a_minute;
    *ret = l;
    return 0;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct counted *find(struct limits *l, const char *identity, int64_t now_ms)
{
    struct counted *oldest = &l->of[0];
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->of[i].identity, identity) == 0)
            return &l->of[i];
        if (l->of[i].seen_ms < oldest->seen_ms)
            oldest = &l->of[i];
    }
    struct counted *c = l->count < IDENTITIES_MAX ? &l->of[l->count++] : oldest;
    memset(c, 0, sizeof(*c));
    text_copy(c->identity, sizeof(c->identity), identity);
    c->tokens_ms = MINUTE_MS;
    c->seen_ms = now_ms;
    c->told_ms = now_ms - TELL_EVERY_MS;
    c->kept_ms = KEPT_MAX_MS;
    c->kept_at_ms = now_ms;
    return c;
}

static int take_one(struct limits *l, struct counted *c, int64_t now_ms, struct error *err)
{
    c->tokens_ms += now_ms - c->seen_ms;
    if (c->tokens_ms > MINUTE_MS)
        c->tokens_ms = MINUTE_MS;
    c->seen_ms = now_ms;
    if (c->tokens_ms < l->deed_ms)
        return error_set(err, ERR_UNAVAILABLE,
                         "too many requests: %lld a minute are taken from one caller; try again in %lld s",
                         (long long)(MINUTE_MS / l->deed_ms),
                         (long long)((l->deed_ms - c->tokens_ms + 999) / 1000));
    c->tokens_ms -= l->deed_ms;
    return 0;
}

int limits_take(struct limits *l, const char *identity, int64_t now_ms, struct error *err)
{
    pthread_mutex_lock(&l->lock);
    int rc = take_one(l, find(l, identity, now_ms), now_ms, err);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

bool limits_tell(struct limits *l, const char *identity, int64_t now_ms, unsigned *ret_more)
{
    pthread_mutex_lock(&l->lock);
    struct counted *c = find(l, identity, now_ms);
    bool tell = now_ms - c->told_ms >= TELL_EVERY_MS;
    *ret_more = tell ? c->untold : 0;
    c->untold = tell ? 0 : c->untold + 1;
    if (tell)
        c->told_ms = now_ms;
    pthread_mutex_unlock(&l->lock);
    return tell;
}

bool limits_keep(struct limits *l, const char *identity, int64_t now_ms, uint64_t more, uint64_t *ret_more)
{
    pthread_mutex_lock(&l->lock);
    struct counted *c = find(l, identity, now_ms);
    c->kept_ms += now_ms - c->kept_at_ms;
    if (c->kept_ms > KEPT_MAX_MS)
        c->kept_ms = KEPT_MAX_MS;
    c->kept_at_ms = now_ms;
    bool keep = c->kept_ms >= LIMITS_KEPT_MS;
    if (keep)
        c->kept_ms -= LIMITS_KEPT_MS;
    *ret_more = more + c->unkept;
    c->unkept = keep ? 0 : *ret_more + 1;
    pthread_mutex_unlock(&l->lock);
    return keep;
}
