/* OpenRC has no interface but its commands and its folder /run/openrc. */
#include "service/openrc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include <agent/command_run.h>
#include <agent/openrc_words.h>
#include <agent/process.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/text.h>

#define RUN_DIR      "/run/openrc"
#define OUTPUT_MAX   (64 * 1024)
#define FILE_MAX     4096
#define CALL_MS      10000
#define STEADY_MS    2000
#define WORDS_MAX    300
#define DAEMONS_MAX  16
#define PATH_LEN_MAX 1024

/* rc-service NAME VERB; the output is appended. */
static int call(const char *service, const char *verb, int64_t deadline_ms, struct buf *out,
                struct command_result *ret, struct error *err)
{
    const char *argv[] = {"rc-service", "--nocolor", service, verb, NULL};
    int rc = command_run(argv, deadline_ms, out, ret, err);
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_UNAVAILABLE,
                         "rc-service is missing: this machine has no OpenRC; set driver");
    return rc;
}

static int status_of(const char *service, int *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    struct command_result result = {0};
    int rc = call(service, "status", clock_mono_ms() + CALL_MS, &out, &result, err);
    *ret = result.code;
    return rc;
}

int openrc_check(const char *service, struct error *err)
{
    const char *argv[] = {"rc-service", "--exists", service, NULL};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    struct command_result result = {0};
    int rc = command_run(argv, clock_mono_ms() + CALL_MS, &out, &result, err);
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_UNAVAILABLE,
                         "rc-service is missing: this machine has no OpenRC; set driver");
    if (rc < 0 || result.code == 0)
        return rc;
    return error_set(
        err, ERR_NOT_FOUND,
        "%s: OpenRC has no such service (no executable /etc/init.d/%s); set service.unit to the one "
        "that runs the API server",
        service, service);
}

/* --- its process --- */

static int read_small(const char *path, struct buf *out)
{
    char chunk[1024];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ERR_NOT_FOUND;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? ERR_IO : 0;
        if (buf_add(out, chunk, (size_t)n, NULL) < 0)
            return ERR_TOO_LARGE;
    }
}

/* A number in a file, 0 when there is none. */
static int64_t pid_in(const char *path)
{
    _cleanup_(buf_freep) struct buf b = BUF_INIT(64);
    int64_t pid = 0;
    if (read_small(path, &b) < 0 || !b.data)
        return 0;
    b.data[strcspn(b.data, " \t\r\n")] = 0;
    return text_int(b.data, 1, INT32_MAX, &pid, NULL) == 0 ? pid : 0;
}

/* A file that start-stop-daemon or supervise-daemon left: lines of "name=value"; pidfile is the one. */
static int64_t pid_of_daemon(const char *path)
{
    static const char name[] = "pidfile=";
    _cleanup_(buf_freep) struct buf b = BUF_INIT(FILE_MAX);
    if (read_small(path, &b) < 0)
        return 0;
    const char *at = buf_str(&b);
    while (at && strncmp(at, name, sizeof(name) - 1) != 0) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        return 0;
    at += sizeof(name) - 1;
    char file[PATH_LEN_MAX];
    size_t len = strcspn(at, "\n");
    if (len == 0 || len >= sizeof(file))
        return 0;
    memcpy(file, at, len);
    file[len] = 0;
    return pid_in(file);
}

/* supervise-daemon notes its child; start-stop-daemon notes where the pid file is. A script with a start() of
 * its own may have neither. */
static int64_t main_pid(const char *service)
{
    char path[PATH_LEN_MAX];
    struct process_id id;
    snprintf(path, sizeof(path), RUN_DIR "/options/%s/child_pid", service);
    int64_t pid = pid_in(path);
    snprintf(path, sizeof(path), RUN_DIR "/daemons/%s", service);
    DIR *dir = pid == 0 ? opendir(path) : NULL;
    for (int i = 0; dir && pid == 0 && i < DAEMONS_MAX; i++) {
        struct dirent *e = readdir(dir);
        if (!e)
            break;
        snprintf(path, sizeof(path), RUN_DIR "/daemons/%s/%s", service, e->d_name);
        pid = e->d_name[0] == '.' ? 0 : pid_of_daemon(path);
    }
    if (dir)
        closedir(dir);
    return pid > 0 && process_identify("/proc", pid, &id, NULL) == 0 ? pid : 0;
}

int openrc_main_pid(const char *service, bool *ret_active, int64_t *ret_pid, struct error *err)
{
    int status = 0;
    int rc = openrc_check(service, err);
    if (rc == 0)
        rc = status_of(service, &status, err);
    if (rc < 0)
        return rc;
    *ret_active = status == 0;
    *ret_pid = main_pid(service);
    return 0;
}

/* --- restart --- */

/* "started" only says that a process was made (start-stop-daemon does not look back unless it is told to
 * wait). */
static int watch(const char *service, struct error *err)
{
    int status = 0;
    int64_t pid = main_pid(service);
    if (pid == 0)
        return 0;
    int rc = process_wait_end(pid, clock_mono_ms() + STEADY_MS, NULL);
    if (rc == ERR_TIMEOUT)
        return 0;
    rc = status_of(service, &status, err);
    if (rc < 0)
        return rc;
    return error_set(err, ERR_IO,
                     "%s: %s: its process %" PRId64
                     " ended at once after its start; its log has its last words "
                     "(/var/log/%s.log, or where output_log and error_log lead)",
                     service,
                     status == 32  ? "crashed"
                     : status == 0 ? "started again"
                                   : "stopped",
                     pid, service);
}

int openrc_restart(const char *service, int64_t timeout_s, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    struct command_result result = {0};
    char words[WORDS_MAX];
    int status = 0;
    int rc = openrc_check(service, err);
    if (rc < 0)
        return rc;
    rc = call(service, "restart", clock_mono_ms() + timeout_s * 1000, &out, &result, err);
    openrc_words(buf_str(&out), words, sizeof(words));
    if (rc == ERR_TIMEOUT)
        return error_set(err, rc,
                         "%s: rc-service restart took longer than %" PRId64
                         " s (service.timeout) and was ended: %s; `rc-service %s status` says how it stands",
                         service, timeout_s, words, service);
    if (rc == 0)
        rc = status_of(service, &status, err);
    if (rc == 0)
        rc = openrc_judge(service, result.code, status, words, err);
    return rc < 0 ? rc : watch(service, err);
}
