#include "internal.h"

#include <base/clock.h>

#define ATTEMPT_MS                                                                                           \
    1000 /* the first attempt's share of the deadline; each later one may take twice as long                 \
          */
#define ATTEMPT_MIN_MS 200
#define BACKOFF_MS     50
#define BACKOFF_MAX_MS 500
/* A server that ends this many fresh connections without a word is misconfigured rather than away. */
#define SILENT_MAX 2

/* A hung member must not eat the whole deadline: the next attempt goes to another one. */
static int attempt_share(unsigned attempt, int64_t left)
{
    int64_t share = (int64_t)ATTEMPT_MS << (attempt < 10 ? attempt : 10);
    return (int)(left - share < ATTEMPT_MIN_MS ? left : share);
}

bool rpc_channel_refused(const struct rpc_channel *c)
{
    return !atomic_load(&c->answered) && atomic_load(&c->silent_handshakes) >= SILENT_MAX;
}

bool rpc_channel_answered(const struct rpc_channel *c)
{
    return atomic_load(&c->answered);
}

static bool worth_repeating(const struct rpc_channel *c, int rc)
{
    if (rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT)
        return false;
    return !rpc_channel_refused(c);
}

int rpc_call_repeat(struct rpc_channel *c, int which, const struct rpc_method *method,
                    const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret_reply,
                    struct error *err)
{
    int64_t end = clock_mono_ms() + deadline_ms;
    struct error last = ERROR_INIT, refused = ERROR_INIT;
    int rc = 0;
    for (unsigned attempt = 0;; attempt++) {
        int64_t left = end - clock_mono_ms();
        if (left <= 0)
            break;
        rc = unary_call(c, which, method, request, attempt_share(attempt, left), ret_reply, &last);
        if (rc == 0)
            return 0;
        if (rc == ERR_UNAVAILABLE)
            refused = last;
        if (!worth_repeating(c, rc))
            break;
        int64_t wait = backoff_ms(attempt, BACKOFF_MS, BACKOFF_MAX_MS);
        if (wait >= end - clock_mono_ms())
            break;
        clock_nap_ms(wait);
    }
    if (rc == ERR_TIMEOUT || rc == 0)
        return error_set(err, ERR_TIMEOUT, "no answer within %d ms%s%s", deadline_ms,
                         refused.code ? "; before that: " : "", refused.text);
    if (err)
        *err = last;
    return rc;
}
