#include <agent/command_run.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <base/cleanup.h>
#include <base/clock.h>

#define GRACE_MS 5000

static int wait_readable(int fd, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, left <= 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && clock_mono_ms() >= deadline_ms)
            return -ETIMEDOUT;
    }
}

int process_wait_end(int64_t pid, int64_t deadline_ms, struct error *err)
{
    _cleanup_close_ int fd = pidfd_open((pid_t)pid, 0);
    if (fd < 0 && errno == ESRCH)
        return error_set(err, ERR_NOT_FOUND, "process %" PRId64 " has ended", pid);
    if (fd < 0)
        return error_errno(err, errno, "process %" PRId64, pid);
    int rc = wait_readable(fd, deadline_ms);
    if (rc == -ETIMEDOUT)
        return error_set(err, ERR_TIMEOUT, "process %" PRId64 " goes on", pid);
    return rc < 0 ? error_errno(err, -rc, "process %" PRId64, pid) : 0;
}

/* The end of the file, as much as the buffer still takes. */
static int read_tail(int fd, struct buf *out, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "the command's output");
    off_t room = (off_t)(out->max - out->len);
    off_t at = st.st_size > room ? st.st_size - room : 0;
    char chunk[4096];
    while (at < st.st_size) {
        size_t want = (size_t)(st.st_size - at) < sizeof(chunk) ? (size_t)(st.st_size - at) : sizeof(chunk);
        ssize_t n = pread(fd, chunk, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "the command's output");
        if (n == 0)
            return 0;
        int rc = buf_add(out, chunk, (size_t)n, err);
        if (rc < 0)
            return rc;
        at += n;
    }
    return 0;
}

static void end_group(pid_t pid)
{
    (void)kill(-pid, SIGTERM);
    if (process_wait_end(pid, clock_mono_ms() + GRACE_MS, NULL) == ERR_TIMEOUT)
        (void)kill(-pid, SIGKILL);
}

static int wait_child(const char *name, pid_t pid, int64_t deadline_ms, struct command_result *ret,
                      struct error *err)
{
    int status = 0;
    int rc = process_wait_end(pid, deadline_ms, NULL);
    if (rc < 0)
        end_group(pid);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, errno, "waiting for %s", name);
    ret->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ret->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return rc < 0 ? error_set(err, ERR_TIMEOUT, "%s did not end in time and was ended", name) : 0;
}

int command_run(const char *const *argv, int64_t deadline_ms, struct buf *out, struct command_result *ret,
                struct error *err)
{
    _cleanup_close_ int fd = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return error_errno(err, errno, "starting %s", argv[0]);
    pid_t pid = 0;
    int rc = command_spawn(argv, fd, &pid);
    if (rc)
        return error_errno(err, rc, "starting %s", argv[0]);
    rc = wait_child(argv[0], pid, deadline_ms, ret, err);
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK);
    int rc_read = read_tail(fd, out, rc < 0 ? NULL : err);
    return rc < 0 ? rc : rc_read;
}
