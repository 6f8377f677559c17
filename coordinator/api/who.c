#include "who.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/text.h>

#define IDENTITIES_MAX                                                                                       \
    256 /* that are counted; of more, the one that was quiet for the longest is forgotten */
#define BY_HOST_MAX   20
#define BY_NAME_MAX   38 /* whatever the host: the same caller has the same name from everywhere */
#define MINUTE_MS     60000
#define TELL_EVERY_MS 1000

_Static_assert(BY_NAME_MAX + sizeof(WHO_VIA) - 1 + BY_HOST_MAX <= CLUSTER_NAME_MAX, "both fit");

void who_init(struct who *w, const char *identity, const char *from, enum api_role role, int64_t until_ms)
{
    char host[BY_HOST_MAX];
    memset(w, 0, sizeof(*w));
    text_copy(w->identity, sizeof(w->identity), identity);
    text_copy(w->from, sizeof(w->from), from);
    w->role = role;
    w->until_ms = until_ms;
    const char *colon = strrchr(from, ':');
    snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - from) : (int)strlen(from), from);
    snprintf(w->by, sizeof(w->by), "%.*s" WHO_VIA "%s", BY_NAME_MAX, identity, host);
}

struct counted {
    char identity[CLUSTER_WHO_MAX];
    int64_t tokens_ms; /* what it may still do, in the time that one deed takes to come back */
    int64_t seen_ms, told_ms;
    unsigned untold;
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
