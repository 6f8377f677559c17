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

static int run(const char *const *argv, int64_t deadline_ms, struct buf *out, struct command_result *ret,
               struct error *err)
{
    int rc = command_run(argv, deadline_ms, out, ret, err);
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_UNAVAILABLE,
                         "rc-service is missing: OpenRC does not run this machine; set driver");
    return rc;
}

/* rc-service NAME VERB; the output is appended. */
static int call(const char *service, const char *verb, int64_t deadline_ms, struct buf *out,
                struct command_result *ret, struct error *err)
{
    const char *argv[] = {"rc-service", "--nocolor", service, verb, NULL};
    return run(argv, deadline_ms, out, ret, err);
}

static int status_of(const char *service, int *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    struct command_result result = {0};
    int rc = call(service, "status", clock_mono_ms() + CALL_MS, &out, &result, err);
    *ret = result.code;
    return rc;
}

static int no_such(const char *service, struct error *err)
{
    return error_set(
        err, ERR_NOT_FOUND,
        "%s: OpenRC has no such service (/etc/init.d/%s); set service.unit to the one that runs the "
        "API server",
        service, service);
}

int openrc_check(const char *service, struct error *err)
{
    const char *argv[] = {"rc-service", "--resolve", service, NULL};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    struct command_result result = {0};
    int rc = run(argv, clock_mono_ms() + CALL_MS, &out, &result, err);
    if (rc < 0)
        return rc;
    if (out.data)
        out.data[strcspn(out.data, "\n")] = 0;
    const char *script = buf_str(&out);
    if (result.code != 0 || script[0] != '/')
        return no_such(service, err);
    if (access(script, X_OK) < 0)
        return error_errno(err, errno, "%s: %s is not a program; make it executable (chmod 755)", service,
                           script);
    return 0;
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

/* The file's first line; "" when there is none. */
static void read_line(const char *path, char *out, size_t size)
{
    _cleanup_(buf_freep) struct buf b = BUF_INIT(FILE_MAX);
    out[0] = 0;
    if (read_small(path, &b) < 0 || !b.data)
        return;
    b.data[strcspn(b.data, "\r\n")] = 0;
    if (!text_copy(out, size, b.data))
        out[0] = 0;
}

static int64_t pid_in(const char *path)
{
    char line[64];
    int64_t pid = 0;
    read_line(path, line, sizeof(line));
    line[strcspn(line, " \t")] = 0;
    return text_int(line, 1, INT32_MAX, &pid, NULL) == 0 ? pid : 0;
}

/* What OpenRC's start-stop-daemon left of a daemon: lines of "name=value", of which we want pidfile's. */
static void pid_file_of_daemon(const char *path, char *out, size_t size)
{
    static const char name[] = "pidfile=";
    _cleanup_(buf_freep) struct buf b = BUF_INIT(FILE_MAX);
    out[0] = 0;
    if (read_small(path, &b) < 0)
        return;
    for (const char *at = buf_str(&b); at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, sizeof(name) - 1) != 0)
            continue;
        at += sizeof(name) - 1;
        int n = snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
        if (n >= (int)size)
            out[0] = 0;
        return;
    }
}

static void pid_file_of_daemons(const char *service, char *out, size_t size)
{
    char path[PATH_LEN_MAX];
    snprintf(path, sizeof(path), RUN_DIR "/daemons/%s", service);
    DIR *dir = opendir(path);
    out[0] = 0;
    for (int i = 0; dir && !out[0] && i < DAEMONS_MAX; i++) {
        struct dirent *e = readdir(dir);
        if (!e)
            break;
        snprintf(path, sizeof(path), RUN_DIR "/daemons/%s/%s", service, e->d_name);
        if (e->d_name[0] != '.')
            pid_file_of_daemon(path, out, size);
    }
    if (dir)
        closedir(dir);
}

struct daemon {
    int64_t pid; /* 0: not known */
    bool alive;
    bool supervised; /* and started again when it ends */
};

/* supervise-daemon notes its child; OpenRC's functions note the pid file that the script names, and its own
 * start-stop-daemon does too (Debian has another one). A script with a start() of its own may have neither.
 */
static struct daemon find_daemon(const char *service)
{
    struct daemon d = {0};
    char path[PATH_LEN_MAX], file[PATH_LEN_MAX];
    struct process_id id;
    snprintf(path, sizeof(path), RUN_DIR "/options/%s/child_pid", service);
    d.pid = pid_in(path);
    d.supervised = d.pid > 0;
    if (d.pid == 0) {
        snprintf(path, sizeof(path), RUN_DIR "/options/%s/pidfile", service);
        read_line(path, file, sizeof(file));
        if (!file[0])
            pid_file_of_daemons(service, file, sizeof(file));
        d.pid = file[0] == '/' ? pid_in(file) : 0;
    }
    d.alive = d.pid > 0 && process_identify("/proc", d.pid, &id, NULL) == 0;
    return d;
}

int openrc_main_pid(const char *service, bool *ret_active, int64_t *ret_pid, struct error *err)
{
    int status = 0;
    int rc = openrc_check(service, err);
    if (rc == 0)
        rc = status_of(service, &status, err);
    if (rc < 0)
        return rc;
    const struct daemon d = find_daemon(service);
    *ret_active = status == 0 && (d.pid == 0 || d.alive);
    *ret_pid = d.alive ? d.pid : 0;
    return 0;
}

/* --- restart --- */

/* "started" only says that a process was made (start-stop-daemon does not look back unless it is told to
 * wait), and some of them never say that it has crashed. */
static int watch(const char *service, struct error *err)
{
    const struct daemon d = find_daemon(service);
    if (d.pid == 0)
        return 0;
    int rc = d.alive ? process_wait_end(d.pid, clock_mono_ms() + STEADY_MS, NULL) : 0;
    if (rc == ERR_TIMEOUT)
        return 0;
    return error_set(
        err, ERR_IO,
        "%s: crashed: its process %" PRId64
        " ended at once after its start%s; its log has its last words (/var/log/%s.log, or where "
        "output_log and error_log lead)",
        service, d.pid, d.supervised ? ", and supervise-daemon starts it again" : "", service);
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
