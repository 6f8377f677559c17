/* So many a second: a token bucket. Pure: times come in as arguments. */
#ifndef COORDINATOR_REENCRYPT_PACE_H
#define COORDINATOR_REENCRYPT_PACE_H

#include <stdint.h>

struct pace {
    double rate;   /* a second; negative: no limit, 0: nothing at all */
    double tokens; /* may be below 0 after a batch: that is waited off */
    int64_t filled_ms;
};

#define PACE_BURST_S                                                                                         \
    0.01 /* what may come at once after a pause, and one: more is felt by who asks just then */

void pace_set(struct pace *p, double rate, int64_t now_ms);
/* Milliseconds until the next one may go: 0 is now. INT64_MAX while the rate is 0. */
int64_t pace_wait_ms(struct pace *p, int64_t now_ms);
/* So many went. */
void pace_take(struct pace *p, double count);

#endif
