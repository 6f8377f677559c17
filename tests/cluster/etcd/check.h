/* Short words for these tests: a call that must succeed, or fail with a code and a text that names the cause.
 */
#ifndef TEST_ETCD_CHECK_H
#define TEST_ETCD_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <base/clock.h>

#include "etcd_fixture.h"

#define CALL_MS 20000 /* for what has to come about: disks and processors may be busy with other things */

#define must(call)                                                                                           \
    do {                                                                                                     \
        struct error err = ERROR_INIT;                                                                       \
        int rc_ = (call);                                                                                    \
        if (rc_ < 0)                                                                                         \
            fail_msg("%s: %s (%s)", #call, err.text, error_code_name(rc_));                                  \
    } while (0)

/* `call` uses &err. */
#define must_fail(want, part, call)                                                                          \
    do {                                                                                                     \
        struct error err = ERROR_INIT;                                                                       \
        int rc_ = (call);                                                                                    \
        if (rc_ != (want) || err.code != (want) || !strstr(err.text, (part)))                                \
            fail_msg("%s: wanted %s with \"%s\", got %s: %s", #call, error_code_name(want), (part),          \
                     rc_ ? error_code_name(rc_) : "success", err.text);                                      \
    } while (0)

static inline void sleep_ms(int64_t ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}

/* The value of a key, a number in decimal; -1 when it is not there. */
static inline int64_t value_of(struct etcd *e, const char *key)
{
    struct etcd_range r;
    struct error err = ERROR_INIT;
    int rc = etcd_get(e, key, CALL_MS, &r, &err);
    if (rc == ERR_NOT_FOUND)
        return -1;
    if (rc < 0)
        fail_msg("%s", err.text);
    int64_t n = strtoll((const char *)r.kvs[0].value, NULL, 10);
    etcd_range_free(&r);
    return n;
}

#endif
