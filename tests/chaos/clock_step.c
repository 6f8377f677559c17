/* A wall clock that can be stepped, for the programs of one machine: containers share the kernel's, and there
 * is no namespace for it. Preloaded into our agent and coordinator; the milliseconds to add stand in a file
 * that the test writes (of whole labs on one machine: the one that $CLOCK_STEP_FILE names). The API server
 * and etcd (Go, without libc) keep the real clock. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILE_OF_OFFSET "/disk/clock"

static const volatile int64_t *offset_ms;

__attribute__((constructor)) static void map_offset(void)
{
    const char *file = getenv("CLOCK_STEP_FILE");
    int fd = open(file ? file : FILE_OF_OFFSET, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*offset_ms), PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        offset_ms = map;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, id, ts);
    if (rc != 0 || !offset_ms || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return rc;
    int64_t ms = *offset_ms;
    ts->tv_sec += ms / 1000;
    ts->tv_nsec += ms % 1000 * 1000000;
    if (ts->tv_nsec < 0) {
        ts->tv_nsec += 1000000000;
        ts->tv_sec--;
    }
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_nsec -= 1000000000;
        ts->tv_sec++;
    }
    return 0;
}
