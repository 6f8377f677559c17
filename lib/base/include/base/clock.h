/* Times. Wall-clock is for people and records; deadlines and ages use the monotonic clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void); /* milliseconds since 1970, UTC */
/* Waits between two tries of something that tells no event; nothing else is to be waited for like this. */
void clock_nap_ms(int64_t ms);
int64_t clock_mono_ms(void); /* milliseconds of CLOCK_BOOTTIME: goes on while suspended, never steps */

/* Formats wall-clock milliseconds as RFC 3339 in UTC ("2026-11-24T22:42:40Z"); out needs CLOCK_TEXT_MAX. */
#define CLOCK_TEXT_MAX 32
void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_MAX]);
/* The same with milliseconds ("2026-11-24T22:42:40.071Z"). */
void clock_format_ms(int64_t wall_ms, char out[CLOCK_TEXT_MAX]);

/* base_ms grown by `attempt` (0, 1, …) doublings up to max_ms, then jittered to 50-100 % of that. Uses
 * getrandom, so several processes that failed together do not retry together. */
int64_t backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms);

#endif
