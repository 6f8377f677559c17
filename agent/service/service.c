#include <agent/service.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <agent/command_run.h>
#include <agent/unit.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/text.h>

#include "service/openrc.h"
#include "service/systemd.h"

#define LOG_MS 10000

/* --- names --- */

static bool has_suffix(const char *name, size_t len)
{
    static const char suffix[] = ".service";
    const size_t n = sizeof(suffix) - 1;
    return len > n && strcmp(name + len - n, suffix) == 0;
}

int service_unit_check(const char *unit, struct error *err)
{
    size_t len = strlen(unit);
    size_t whole = len + (has_suffix(unit, len) ? 0 : sizeof(".service") - 1);
    if (len == 0 || whole > SERVICE_UNIT_MAX)
        return error_set(err, ERR_INVALID, "service.unit: a unit's name has 1 to %d bytes, with its .service",
                         SERVICE_UNIT_MAX);
    if (unit[0] == '-' || unit[0] == '.')
        return error_set(err, ERR_INVALID, "service.unit: '%s': a unit's name does not begin with '%c'", unit,
                         unit[0]);
    for (const char *p = unit; *p; p++)
        if ((unsigned char)*p > 0x7f || !(isalnum((unsigned char)*p) || strchr(":-_.\\@", *p)))
            return error_set(err, ERR_INVALID,
                             "service.unit: '%s': a unit's name has letters, digits and :-_.\\@ only", unit);
    return 0;
}

int unit_name(const char *unit, char out[SERVICE_UNIT_MAX + 1], struct error *err)
{
    int rc = service_unit_check(unit, err);
    if (rc < 0)
        return rc;
    snprintf(out, SERVICE_UNIT_MAX + 1, "%s%s", unit, has_suffix(unit, strlen(unit)) ? "" : ".service");
    return 0;
}

/* OpenRC's names have no suffix. */
static int script_name(const char *unit, char out[SERVICE_UNIT_MAX + 1], struct error *err)
{
    int rc = unit_name(unit, out, err);
    if (rc == 0)
        *strrchr(out, '.') = 0;
    return rc;
}

static int name_for(enum service_init init, const char *unit, char out[SERVICE_UNIT_MAX + 1],
                    struct error *err)
{
    return init == SERVICE_SYSTEMD ? unit_name(unit, out, err) : script_name(unit, out, err);
}

const char *service_unit_of(const struct config *c)
{
    return c->service_unit[0] ? c->service_unit : "kube-apiserver";
}

/* --- which init --- */

int service_init_find(enum service_init *ret, struct error *err)
{
    static const struct {
        const char *folder;
        enum service_init init;
    } signs[] = {{"/run/systemd/system", SERVICE_SYSTEMD}, {"/run/openrc", SERVICE_OPENRC}};
    struct stat st;
    for (size_t i = 0; i < array_len(signs); i++) {
        if (stat(signs[i].folder, &st) == 0 && S_ISDIR(st.st_mode)) {
            *ret = signs[i].init;
            return 0;
        }
    }
    return error_set(
        err, ERR_UNSUPPORTED,
        "neither systemd nor OpenRC runs this machine; use the driver exec with a restart command");
}

/* --- the calls --- */

int service_restart(enum service_init init, const char *unit, int64_t timeout_s, struct error *err)
{
    char name[SERVICE_UNIT_MAX + 1];
    int rc = name_for(init, unit, name, err);
    if (rc < 0)
        return rc;
    return init == SERVICE_SYSTEMD ? systemd_restart(name, timeout_s, err)
                                   : openrc_restart(name, timeout_s, err);
}

int service_check(enum service_init init, const char *unit, struct error *err)
{
    char name[SERVICE_UNIT_MAX + 1];
    struct unit_state u;
    int rc = name_for(init, unit, name, err);
    if (rc == 0 && init == SERVICE_OPENRC)
        return openrc_check(name, err);
    if (rc == 0)
        rc = systemd_look(name, &u, err);
    return rc < 0 ? rc : unit_judge_load(name, &u, err);
}

int service_main_pid(enum service_init init, const char *unit, bool *ret_active, int64_t *ret_pid,
                     struct error *err)
{
    char name[SERVICE_UNIT_MAX + 1];
    struct unit_state u;
    int rc = name_for(init, unit, name, err);
    if (rc == 0 && init == SERVICE_OPENRC)
        return openrc_main_pid(name, ret_active, ret_pid, err);
    if (rc == 0)
        rc = systemd_look(name, &u, err);
    if (rc == 0 && strcmp(u.load_state, "not-found") == 0 && strcmp(u.active_state, "active") != 0)
        rc = unit_judge_load(name, &u, err);
    if (rc < 0)
        return rc;
    *ret_active = strcmp(u.active_state, "active") == 0 || strcmp(u.active_state, "reloading") == 0;
    *ret_pid = u.main_pid;
    return 0;
}

/* --- logs --- */

/* A program's last line may still be on its way when its end is known. */
static void sync_journal(int64_t deadline_ms)
{
    const char *argv[] = {"journalctl", "--sync", NULL};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024);
    struct command_result result = {0};
    (void)!command_run(argv, deadline_ms, &out, &result, NULL);
}

static int journal_tail(const char *name, unsigned lines, struct buf *out, struct error *err)
{
    char count[16];
    snprintf(count, sizeof(count), "%u", lines);
    const char *argv[] = {"journalctl", "--no-pager", "--quiet", "-o", "cat", "-n", count, "-u", name, NULL};
    struct command_result result = {0};
    int64_t deadline_ms = clock_mono_ms() + LOG_MS;
    sync_journal(deadline_ms - LOG_MS / 2);
    int rc = command_run(argv, deadline_ms, out, &result, err);
    if (rc == 0 && result.code != 0)
        rc = error_set(err, ERR_IO, "journalctl -u %s: exit status %d", name, result.code);
    return rc;
}

/* Where the last `lines` lines of the text begin. */
static size_t lines_from(const char *text, size_t len, unsigned lines)
{
    size_t at = len > 0 && text[len - 1] == '\n' ? len - 1 : len;
    while (at > 0 && (text[at - 1] != '\n' || --lines > 0))
        at--;
    return at;
}

static int file_tail(const char *name, unsigned lines, struct buf *out, struct error *err)
{
    char path[SERVICE_UNIT_MAX + 32];
    struct stat st;
    snprintf(path, sizeof(path), "/var/log/%s.log", name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_INVALID, "%s is not a regular file", path);
    _cleanup_free_ char *text = malloc(SERVICE_LOG_MAX);
    if (!text)
        return error_no_memory(err);
    ssize_t n =
        pread(fd, text, SERVICE_LOG_MAX, st.st_size > SERVICE_LOG_MAX ? st.st_size - SERVICE_LOG_MAX : 0);
    if (n < 0)
        return error_errno(err, errno, "%s", path);
    size_t from = lines_from(text, (size_t)n, lines), room = out->max - out->len;
    if ((size_t)n - from > room)
        from = (size_t)n - room;
    return buf_add(out, text + from, (size_t)n - from, err);
}

int service_log_tail(enum service_init init, const char *unit, unsigned lines, struct buf *out,
                     struct error *err)
{
    char name[SERVICE_UNIT_MAX + 1];
    int rc = name_for(init, unit, name, err);
    lines = lines < 1 ? 1 : lines > SERVICE_LINES_MAX ? SERVICE_LINES_MAX : lines;
    if (rc < 0)
        return rc;
    return init == SERVICE_SYSTEMD ? journal_tail(name, lines, out, err) : file_tail(name, lines, out, err);
}
