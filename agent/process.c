#include <agent/process.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <base/buf.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/text.h>

#define CMDLINE_MAX_BYTES (256 * 1024)
#define STAT_MAX_BYTES    4096
#define FLAG              "--encryption-provider-config"
#define SCANS_MAX         3

/* Files in /proc have no size, so file_read (which trusts st_size) does not fit. */
static int read_proc(const char *proc, const char *name, size_t max, struct buf *out, struct error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", proc, name) >= (int)sizeof(path))
        return error_set(err, ERR_INVALID, "%s: the path is too long", name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    char chunk[4096];
    while (out->len < max) {
        size_t want = max - out->len < sizeof(chunk) ? max - out->len : sizeof(chunk);
        ssize_t n = read(fd, chunk, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "%s", path);
        if (n == 0)
            return 0;
        int rc = buf_add(out, chunk, (size_t)n, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void process_boot(const char *proc, char out[PROCESS_BOOT_MAX])
{
    _cleanup_(buf_freep) struct buf b = BUF_INIT(PROCESS_BOOT_MAX);
    (void)text_copy(out, PROCESS_BOOT_MAX, "unknown");
    if (read_proc(proc, "sys/kernel/random/boot_id", PROCESS_BOOT_MAX - 1, &b, NULL) < 0 || b.len == 0)
        return;
    b.data[strcspn(b.data, "\r\n")] = 0;
    if (b.data[0])
        (void)text_copy(out, PROCESS_BOOT_MAX, b.data);
}

/* "pid (comm) state …": comm may hold blanks and brackets, so fields are counted from the last ')'. */
static int parse_stat(const char *text, char *ret_state, int64_t *ret_start)
{
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || !p[2])
        return ERR_INVALID;
    *ret_state = p[2];
    p += 2; /* field 3 */
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p)
            return ERR_INVALID;
        p++;
    }
    char number[32];
    size_t len = strcspn(p, " \n");
    if (len == 0 || len >= sizeof(number))
        return ERR_INVALID;
    memcpy(number, p, len);
    number[len] = 0;
    return text_int(number, 0, INT64_MAX, ret_start, NULL);
}

int process_identify(const char *proc, int64_t pid, struct process_id *ret, struct error *err)
{
    char name[64];
    snprintf(name, sizeof(name), "%" PRId64 "/stat", pid);
    _cleanup_(buf_freep) struct buf b = BUF_INIT(STAT_MAX_BYTES);
    int rc = read_proc(proc, name, STAT_MAX_BYTES, &b, err);
    if (rc < 0)
        return rc;
    char state = 0;
    struct process_id id = {.pid = pid};
    rc = parse_stat(buf_str(&b), &state, &id.start_ticks);
    if (rc < 0)
        return error_set(err, rc, "%s/%s: not understood", proc, name);
    if (state == 'Z' || state == 'X')
        return error_set(err, ERR_NOT_FOUND, "process %" PRId64 " has ended", pid);
    process_boot(proc, id.boot);
    *ret = id;
    return 0;
}

bool process_same(const struct process_id *a, const struct process_id *b)
{
    return a->pid > 0 && a->pid == b->pid && a->start_ticks == b->start_ticks &&
           strcmp(a->boot, b->boot) == 0;
}

bool process_alive(const char *proc, const struct process_id *id)
{
    struct process_id now;
    return id->pid > 0 && process_identify(proc, id->pid, &now, NULL) == 0 && process_same(id, &now);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A process in a container may call the file by another name: look at it through that process's root. */
static bool names_config(const struct process_finder *f, const char *pid, const char *path)
{
    if (strcmp(path, f->config_path) == 0)
        return true;
    char seen[PATH_MAX];
    const char *base = path[0] == '/' ? "root" : "cwd/";
    if (snprintf(seen, sizeof(seen), "%s/%s/%s%s", f->proc, pid, base, path) >= (int)sizeof(seen))
        return false;
    return same_file(seen, f->config_path);
}

/* Walks the NUL-separated arguments. */
static bool arguments_match(const struct process_finder *f, const char *pid, const struct buf *args)
{
    const size_t flag_len = sizeof(FLAG) - 1;
    bool next_is_path = false;
    for (size_t at = 0; at < args->len; at += strlen(args->data + at) + 1) {
        const char *arg = args->data + at;
        if (next_is_path && names_config(f, pid, arg))
            return true;
        next_is_path = strcmp(arg, FLAG) == 0;
        if (strncmp(arg, FLAG, flag_len) == 0 && arg[flag_len] == '=' &&
            names_config(f, pid, arg + flag_len + 1))
            return true;
    }
    return false;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ".../k3s", "server", also behind an interpreter; or, once it has named itself, "/usr/local/bin/k3s server"
 * in one. */
static bool runs_server(const struct process_finder *f, const struct buf *args)
{
    const char *before = NULL;
    size_t number = 0;
    char one[64];
    snprintf(one, sizeof(one), "%s server", f->program);
    for (size_t at = 0; at < args->len && number < 4; at += strlen(args->data + at) + 1, number++) {
        const char *arg = args->data + at;
        if (number == 0 && strcmp(base_name(arg), one) == 0)
            return true;
        if (before && strcmp(base_name(before), f->program) == 0 && strcmp(arg, "server") == 0)
            return true;
        before = arg;
    }
    return false;
}

static bool is_pid(const char *name)
{
    return name[0] >= '1' && name[0] <= '9' && strspn(name, "0123456789") == strlen(name) &&
           strlen(name) < 12;
}

/* `exact`: an argument list that it must have; NULL: it must name the config. */
static bool process_matches(const struct process_finder *f, const struct buf *exact, const char *pid)
{
    char name[64];
    snprintf(name, sizeof(name), "%s/cmdline", pid);
    _cleanup_(buf_freep) struct buf args = BUF_INIT(CMDLINE_MAX_BYTES);
    if (read_proc(f->proc, name, CMDLINE_MAX_BYTES, &args, NULL) < 0 || args.len == 0)
        return false;
    if (exact)
        return args.len == exact->len && memcmp(args.data, exact->data, args.len) == 0;
    return f->program ? runs_server(f, &args) : arguments_match(f, pid, &args);
}

static void none(struct process_found *ret, enum process_count count)
{
    memset(&ret->id, 0, sizeof(ret->id));
    ret->count = count;
}

static int open_proc(const struct process_finder *f, DIR **ret_dir, struct process_found *ret)
{
    *ret_dir = opendir(f->proc);
    if (*ret_dir)
        return 0;
    none(ret, PROCESS_NONE);
    snprintf(ret->why, sizeof(ret->why), "%.200s cannot be read, so that no process can be found", f->proc);
    return ERR_IO;
}

static void scan(const struct process_finder *f, const struct buf *exact, struct process_found *ret)
{
    DIR *dir = NULL;
    if (open_proc(f, &dir, ret) < 0)
        return;
    int64_t pids[2] = {0, 0};
    int count = 0;
    none(ret, PROCESS_NONE);
    for (struct dirent *e = readdir(dir); e && count < 2; e = readdir(dir)) {
        struct process_id id;
        if (!is_pid(e->d_name) || !process_matches(f, exact, e->d_name))
            continue;
        int64_t pid = strtoll(e->d_name, NULL, 10);
        if (pid == getpid() || process_identify(f->proc, pid, &id, NULL) < 0)
            continue;
        ret->id = id;
        pids[count++] = pid;
    }
    closedir(dir);
    ret->count = count == 0 ? PROCESS_NONE : count == 1 ? PROCESS_ONE : PROCESS_MANY;
    if (count > 1)
        memset(&ret->id, 0, sizeof(ret->id));
    if (f->program && count != 1)
        snprintf(ret->why, sizeof(ret->why), "%s: %s", count ? "several processes run" : "no process runs",
                 f->program);
    else if (count == 0)
        snprintf(ret->why, sizeof(ret->why),
                 "no process has the argument " FLAG "=%.200s; if the API server runs, set pid_file",
                 f->config_path);
    else if (count > 1 && exact)
        snprintf(ret->why, sizeof(ret->why),
                 "processes %" PRId64 " and %" PRId64 " both have the API server's argument list; end one",
                 pids[0], pids[1]);
    else if (count > 1)
        snprintf(ret->why, sizeof(ret->why),
                 "processes %" PRId64 " and %" PRId64 " both have the argument " FLAG
                 "=%.200s; end one, or set pid_file",
                 pids[0], pids[1], f->config_path);
}

static int read_pid_file(const char *path, int64_t *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf b = BUF_INIT(64);
    /* Not file_read: the writer may be in the middle of it, and any size but a number's is just "not yet". */
    int rc = read_proc("", path[0] == '/' ? path + 1 : path, 63, &b, err);
    if (rc < 0)
        return rc;
    char *text = b.data ? b.data : (char[]){""};
    text += strspn(text, " \t\r\n");
    text[strcspn(text, " \t\r\n")] = 0;
    if (text_int(text, 1, INT32_MAX, ret, NULL) < 0)
        return error_set(err, ERR_INVALID, "pid file %s does not hold a process id", path);
    return 0;
}

static void by_pid_file(const struct process_finder *f, struct process_found *ret)
{
    struct error err = ERROR_INIT;
    int64_t pid = 0;
    ret->by_pid_file = true;
    int rc = read_pid_file(f->pid_file, &pid, &err);
    if (rc == 0)
        rc = process_identify(f->proc, pid, &ret->id, &err);
    ret->count = rc == 0 ? PROCESS_ONE : PROCESS_NONE;
    if (rc < 0) {
        none(ret, PROCESS_NONE);
        snprintf(ret->why, sizeof(ret->why), "pid file %.160s: %.300s", f->pid_file, err.text);
    }
}

static void add_times(struct process_found *p)
{
    int64_t hz = sysconf(_SC_CLK_TCK);
    hz = hz > 0 ? hz : 100;
    p->started_boot_ms = p->id.start_ticks / hz * 1000 + p->id.start_ticks % hz * 1000 / hz;
    p->started_wall_ms = clock_wall_ms() - (clock_mono_ms() - p->started_boot_ms);
}

/* Between its fork and its exec a child shows its parent's arguments: look again before two are believed. */
static void scan_again(const struct process_finder *f, const struct buf *exact, struct process_found *ret)
{
    for (int i = 0; i < SCANS_MAX; i++) {
        scan(f, exact, ret);
        if (ret->count != PROCESS_MANY)
            break;
    }
}

/* One that has no encryption config at all. */
static void find_plain(const struct process_finder *f, struct process_found *ret)
{
    _cleanup_(buf_freep) struct buf exact = BUF_INIT(CMDLINE_MAX_BYTES);
    struct process_found plain = {0};
    snprintf(ret->why, sizeof(ret->why),
             "no process has the argument " FLAG "=%.200s: the API server does not run", f->config_path);
    if (f->arguments(f->config, &exact, NULL) < 0 || exact.len == 0)
        return;
    scan_again(f, &exact, &plain);
    if (plain.count == PROCESS_NONE)
        return;
    *ret = plain;
    ret->plain = plain.count == PROCESS_ONE;
}

void process_find(const struct process_finder *f, struct process_found *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (f->pid_file && f->pid_file[0]) {
        by_pid_file(f, ret);
    } else {
        scan_again(f, NULL, ret);
        if (ret->count == PROCESS_NONE && f->arguments)
            find_plain(f, ret);
    }
    if (ret->count == PROCESS_ONE) {
        ret->why[0] = 0;
        add_times(ret);
    }
}
