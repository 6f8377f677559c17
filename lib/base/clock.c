#include <base/clock.h>

#include <stdio.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int64_t clock_mono_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

void clock_nap_ms(int64_t ms)
{
    struct timespec ts = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    if (ms > 0)
        nanosleep(&ts, NULL);
}

void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_MAX])
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, CLOCK_TEXT_MAX, "-");
}

void clock_format_ms(int64_t wall_ms, char out[CLOCK_TEXT_MAX])
{
    clock_format(wall_ms, out);
    size_t len = strlen(out);
    if (len > 1)
        snprintf(out + len - 1, CLOCK_TEXT_MAX - len + 1, ".%03dZ", (int)(wall_ms % 1000));
}

int64_t backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms)
{
    int64_t wait = base_ms;
    while (attempt-- > 0 && wait < max_ms)
        wait *= 2;
    if (wait > max_ms)
        wait = max_ms;
    uint32_t r = 0;
    if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
        r = UINT32_MAX;
    return wait / 2 + (int64_t)((uint64_t)(wait - wait / 2) * r / UINT32_MAX);
}
