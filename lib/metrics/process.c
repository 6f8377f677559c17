/* What the process counts, and what the kernel says of it. */
#include "internal.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/log.h>

/* etcd's calls that this program makes (lib/etcd/method.c); the last one is whatever else there is. */
const char *const call_names[METRICS_CALLS] = {
    "Range",           "Put",        "DeleteRange", "Txn",   "Compact",    "LeaseGrant", "LeaseRevoke",
    "LeaseTimeToLive", "MemberList", "Status",      "Alarm", "Defragment", "Snapshot",   "other",
};
#define CALL_OTHER 13

const uint64_t bucket_us[METRICS_BUCKETS - 1] = {1000,   2500,   5000,    10000,   25000,   50000,   100000,
                                                 250000, 500000, 1000000, 2500000, 5000000, 10000000};
const char *const bucket_le[METRICS_BUCKETS] = {"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
                                                "0.25",  "0.5",    "1.0",   "2.5",  "5.0",   "10.0", "+Inf"};

static struct {
    atomic_bool leads;
    atomic_int store;
    _Atomic uint64_t counters[METRICS_COUNTERS];
    struct {
        _Atomic uint64_t buckets[METRICS_BUCKETS], sum_us, failures;
    } calls[METRICS_CALLS];
} counted;

static void count(_Atomic uint64_t *n, uint64_t more)
{
    atomic_fetch_add_explicit(n, more, memory_order_relaxed);
}

static uint64_t value_of(_Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

void metrics_count(enum metrics_counter counter)
{
    count(&counted.counters[counter], 1);
}

void metrics_leads(bool leads)
{
    atomic_store(&counted.leads, leads);
}

void metrics_store_answers(bool answers)
{
    atomic_store(&counted.store, answers ? METRICS_STORE_UP : METRICS_STORE_DOWN);
}

static size_t call_index(const char *call)
{
    for (size_t i = 0; i < CALL_OTHER; i++)
        if (strcmp(call_names[i], call) == 0)
            return i;
    return CALL_OTHER;
}

/* What a caller asks for and does not get is an answer; an etcd that is away or refuses is none. */
static bool is_failure(int code)
{
    return code < 0 && code != ERR_NOT_FOUND && code != ERR_CONFLICT && code != ERR_COMPACTED &&
           code != ERR_CANCELED;
}

void metrics_etcd_call(const char *call, int code, int64_t us)
{
    size_t i = call_index(call), bucket = 0;
    uint64_t took = us > 0 ? (uint64_t)us : 0;
    while (bucket < METRICS_BUCKETS - 1 && took > bucket_us[bucket])
        bucket++;
    count(&counted.calls[i].buckets[bucket], 1);
    count(&counted.calls[i].sum_us, took);
    if (is_failure(code))
        count(&counted.calls[i].failures, 1);
}

/* ---------- /proc/self ---------- */

static int64_t count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return -1;
    int64_t n = -3; /* ".", "..", and the folder itself */
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Field 22: the start in ticks since boot; field 24: resident pages. The name in parentheses may hold
 * anything. */
static void read_stat(struct metrics_process *ret)
{
    _cleanup_(buf_freep) struct buf b = BUF_INIT(4096);
    const char *rest = file_read("/proc/self/stat", 4096, &b, NULL) == 0 ? strrchr(buf_str(&b), ')') : NULL;
    long long start = 0, pages = 0;
    if (!rest ||
        sscanf(rest,
               ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lld %*s "
               "%lld",
               &start, &pages) != 2)
        return;
    /* Once: the two clocks are not read at the same time and drift apart, and to Prometheus another start is
     * a restart. */
    static _Atomic int64_t started_ms;
    int64_t none = 0, now = clock_wall_ms() - clock_mono_ms() + start * 1000 / sysconf(_SC_CLK_TCK);
    (void)atomic_compare_exchange_strong(&started_ms, &none, now);
    ret->started_ms = atomic_load(&started_ms);
    ret->resident_bytes = pages * sysconf(_SC_PAGESIZE);
}

static void read_self(struct metrics_process *ret)
{
    struct timespec cpu;
    struct rlimit files;
    ret->cpu_ms = ret->started_ms = ret->resident_bytes = ret->max_fds = -1;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        ret->cpu_ms = cpu.tv_sec * 1000 + cpu.tv_nsec / 1000000;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
        ret->max_fds = (int64_t)files.rlim_cur;
    ret->open_fds = count_fds();
    read_stat(ret);
}

void metrics_process_get(struct metrics_process *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->now_ms = clock_wall_ms();
    ret->leader = atomic_load(&counted.leads);
    ret->store = atomic_load(&counted.store);
    for (size_t i = 0; i < METRICS_COUNTERS; i++)
        ret->counters[i] = value_of(&counted.counters[i]);
    for (int level = 0; level < (int)array_len(ret->log_lines); level++)
        ret->log_lines[level] = log_lines((enum log_level)level);
    for (size_t i = 0; i < METRICS_CALLS; i++) {
        for (size_t b = 0; b < METRICS_BUCKETS; b++)
            ret->calls[i].buckets[b] = value_of(&counted.calls[i].buckets[b]);
        ret->calls[i].sum_us = value_of(&counted.calls[i].sum_us);
        ret->calls[i].failures = value_of(&counted.calls[i].failures);
    }
    read_self(ret);
}
