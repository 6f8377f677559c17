#include <agent/command.h>
#include <agent/command_run.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <base/clock.h>
#include <base/text.h>

#define GRACE_MS       5000
#define TAIL_MAX       4096
#define LINE_MAX_BYTES 400
#define OUTPUT_MAX     (256 * 1024)
#define PATH_FALLBACK  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct command {
    struct process_id id;
    bool attached; /* not our child */
    bool reaped;
    int64_t timeout_s;
    int64_t deadline_ms;
    int64_t kill_ms; /* 0 until SIGTERM was sent */
    char output[PATH_MAX];
};

static mode_t child_umask = 022;

void command_set_umask(mode_t mask)
{
    child_umask = mask;
}

/* "NAME=value" out of our own environment. */
static void env_copy(char *out, size_t size, const char *name, const char *fallback)
{
    const char *value = getenv(name);
    if (!value || snprintf(out, size, "%s=%s", name, value) >= (int)size)
        (void)text_copy(out, size, fallback);
}

static int open_output(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fd : open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static int set_actions(posix_spawn_file_actions_t *actions, int output)
{
    int rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, output, 2);
    return rc ? rc : posix_spawn_file_actions_addclosefrom_np(actions, 3);
}

static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, changed;
    sigemptyset(&none);
    sigemptyset(&changed);
    static const int signals[] = {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGQUIT, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < array_len(signals); i++)
        sigaddset(&changed, signals[i]);
    int rc = posix_spawnattr_setflags(attr,
                                      POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(attr, 0);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attr, &none);
    return rc ? rc : posix_spawnattr_setsigdefault(attr, &changed);
}

/* posix_spawn and not fork: gRPC's threads and fork handlers stay out of it, and a failing exec is reported.
 */
int command_spawn(const char *const *argv, int output, pid_t *ret)
{
    char path[4096], home[1024], lang[128];
    env_copy(path, sizeof(path), "PATH", PATH_FALLBACK);
    env_copy(home, sizeof(home), "HOME", "HOME=/root");
    env_copy(lang, sizeof(lang), "LANG", "LANG=C.UTF-8");
    char *env[] = {path, home, lang, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = set_actions(&actions, output);
        if (rc == 0)
            rc = set_attributes(&attr);
        mode_t ours = umask(child_umask);
        if (rc == 0)
            rc = posix_spawnp(ret, argv[0], &actions, &attr, (char *const *)argv, env);
        umask(ours);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static struct command *command_new(int64_t timeout_s, const char *output)
{
    struct command *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->timeout_s = timeout_s;
    c->deadline_ms = clock_mono_ms() + timeout_s * 1000;
    (void)text_copy(c->output, sizeof(c->output), output);
    return c;
}

int command_start(const char *const *argv, int64_t timeout_s, const char *output_path, struct command **ret,
                  struct error *err)
{
    if (!argv[0])
        return error_set(err, ERR_INVALID, "the restart command is empty");
    _cleanup_(command_freep) struct command *c = command_new(timeout_s, output_path);
    if (!c)
        return error_no_memory(err);
    _cleanup_close_ int output = open_output(output_path);
    if (output < 0)
        return error_errno(err, errno, "%s", output_path);
    pid_t pid = 0;
    int rc = command_spawn(argv, output, &pid);
    if (rc)
        return error_errno(err, rc, "starting %s", argv[0]);
    c->id.pid = pid;
    /* For command_attach after a crash; without it the restart would only be repeated. */
    if (process_identify("/proc", pid, &c->id, NULL) < 0)
        c->id.pid = pid;
    *ret = take(c);
    return 0;
}

int command_attach(const struct process_id *id, int64_t timeout_s, struct command **ret, struct error *err)
{
    struct command *c = command_new(timeout_s, "");
    if (!c)
        return error_no_memory(err);
    c->attached = true;
    c->id = *id;
    *ret = c;
    return 0;
}

/* The last line with anything in it, cut to LINE_MAX_BYTES. */
static void last_line(const char *path, char out[LINE_MAX_BYTES + 1])
{
    char tail[TAIL_MAX + 1];
    struct stat st;
    out[0] = 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    off_t from = st.st_size > TAIL_MAX ? st.st_size - TAIL_MAX : 0;
    ssize_t n = pread(fd, tail, TAIL_MAX, from);
    size_t end = n > 0 ? (size_t)n : 0;
    while (end > 0 && strchr(" \t\r\n", tail[end - 1]))
        end--;
    size_t start = end;
    while (start > 0 && tail[start - 1] != '\n')
        start--;
    size_t len = end - start < LINE_MAX_BYTES ? end - start : LINE_MAX_BYTES;
    memcpy(out, tail + start, len);
    out[len] = 0;
}

/* "exit status 3: could not bind" */
static enum command_state ended(struct command *c, int status, struct error *why)
{
    char line[LINE_MAX_BYTES + 1], how[96];
    if (c->kill_ms)
        snprintf(how, sizeof(how), "it took longer than %lld s and was ended", (long long)c->timeout_s);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return COMMAND_OK;
    else if (WIFEXITED(status))
        snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
    else
        snprintf(how, sizeof(how), "ended by signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    last_line(c->output, line);
    error_set(why, ERR_IO, "%s%s%s", how, line[0] ? ": " : "", line);
    return COMMAND_FAILED;
}

static void end_when_late(struct command *c)
{
    int64_t now = clock_mono_ms();
    if (!c->kill_ms && now >= c->deadline_ms) {
        (void)kill((pid_t)-c->id.pid, SIGTERM); /* gone already: the next poll sees that */
        c->kill_ms = now + GRACE_MS;
    } else if (c->kill_ms && now >= c->kill_ms) {
        (void)kill((pid_t)-c->id.pid, SIGKILL);
        c->kill_ms = now + GRACE_MS;
    }
}

static enum command_state poll_attached(struct command *c, struct error *why)
{
    if (process_alive("/proc", &c->id)) {
        end_when_late(c);
        return COMMAND_RUNNING;
    }
    return ended(c, 0, why);
}

enum command_state command_poll(struct command *c, struct error *why)
{
    int status = 0;
    if (c->attached)
        return poll_attached(c, why);
    if (c->reaped)
        return error_set(why, ERR_INTERNAL, "the restart command was waited for twice"), COMMAND_FAILED;
    pid_t pid = waitpid((pid_t)c->id.pid, &status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR)) {
        end_when_late(c);
        return COMMAND_RUNNING;
    }
    c->reaped = true;
    if (pid < 0) {
        error_errno(why, errno, "waiting for the restart command");
        return COMMAND_FAILED;
    }
    return ended(c, status, why);
}

struct process_id command_id(const struct command *c)
{
    return c->id;
}

void command_free(struct command *c)
{
    free(c);
}

void command_trim(const char *output_path)
{
    struct stat st;
    if (lstat(output_path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > OUTPUT_MAX)
        (void)!truncate(output_path, 0); /* tried again at the next look */
}
