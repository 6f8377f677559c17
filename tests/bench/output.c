#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <time.h>

int64_t mono_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void sleep_until_us(int64_t us)
{
    struct timespec until = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR && !bench_stopped())
        ;
}

static double cpu_ms(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1e3 +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e3;
}

void print_rate(int64_t done, int64_t us, const char *more)
{
    struct rusage u = {0};
    (void)getrusage(RUSAGE_SELF, &u);
    printf("{\"done\":%" PRId64 ",\"ms\":%.3f,\"per_second\":%.1f,\"rss_kb\":%ld,\"cpu_ms\":%.1f%s%s}\n",
           done, (double)us / 1e3, us > 0 ? (double)done * 1e6 / (double)us : 0, u.ru_maxrss, cpu_ms(&u),
           *more ? "," : "", more);
    fflush(stdout);
}

void samples_add(struct samples *s, int64_t us)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->us = realloc(s->us, s->cap * sizeof(*s->us));
        if (!s->us)
            abort();
    }
    s->us[s->count++] = us;
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double samples_ms(struct samples *s, double part)
{
    if (s->count == 0)
        return -1;
    qsort(s->us, s->count, sizeof(*s->us), compare);
    size_t at = (size_t)(part * (double)s->count);
    return (double)s->us[at < s->count ? at : s->count - 1] / 1e3;
}

void samples_free(struct samples *s)
{
    free(s->us);
    *s = (struct samples){0};
}
