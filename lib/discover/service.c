/* A kube-apiserver that runs as a process of its own. */
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <base/text.h>

#define ARGUMENTS_MAX (64 * 1024)
#define CGROUP_MAX    (16 * 1024)

/* A file of /proc, which has no size; a NUL behind it. Bytes read, or -1. */
static ssize_t read_proc(struct finder *d, const char *pid, const char *name, char *out, size_t size)
{
    char path[PATH_MAX], full[PATH_MAX];
    if (snprintf(path, sizeof(path), "/proc/%s/%s", pid, name) >= (int)sizeof(path) ||
        !found_path(d, path, full))
        return -1;
    _cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC);
    ssize_t len = 0, n = 0;
    while (fd >= 0 && (size_t)len < size - 1 && (n = read(fd, out + len, size - 1 - (size_t)len)) > 0)
        len += n;
    if (fd < 0 || n < 0)
        return -1;
    out[len] = 0;
    return len;
}

static bool is_api_server(const char *arguments, size_t len)
{
    const char *slash = strrchr(arguments, '/');
    const char *name = slash ? slash + 1 : arguments;
    const char *second = arguments + strlen(arguments) + 1;
    bool more = second < arguments + len;
    return strcmp(name, "kube-apiserver") == 0 ||
           (strcmp(name, "hyperkube") == 0 && more &&
            (strcmp(second, "kube-apiserver") == 0 || strcmp(second, "apiserver") == 0));
}

/* Process id of the API server, the lowest where there are several; its arguments stay in `arguments`. */
static bool find_process(struct finder *d, char pid[16], char *arguments, ssize_t *ret_len)
{
    char full[PATH_MAX];
    int64_t found = 0;
    size_t count = 0;
    DIR *dir = found_path(d, "/proc", full) ? opendir(full) : NULL;
    if (!dir)
        return false;
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        int64_t number = 0;
        if (text_int(e->d_name, 1, INT32_MAX, &number, NULL) < 0)
            continue;
        ssize_t len = read_proc(d, e->d_name, "cmdline", arguments, ARGUMENTS_MAX);
        if (len <= 0 || !is_api_server(arguments, (size_t)len))
            continue;
        count++;
        found = found == 0 || number < found ? number : found;
    }
    closedir(dir);
    if (!found)
        return false;
    if (count > 1)
        note(d->f, "%zu API servers run on this machine: this is about process %lld", count,
             (long long)found);
    snprintf(pid, 16, "%lld", (long long)found);
    *ret_len = read_proc(d, pid, "cmdline", arguments, ARGUMENTS_MAX);
    return *ret_len > 0;
}

static void read_arguments(const char *arguments, size_t len, struct api_flags *flags)
{
    flags_begin(flags);
    for (size_t at = 0; at < len; at += strlen(arguments + at) + 1)
        flags_take(flags, arguments + at);
}

/* "0::/system.slice/kube-apiserver.service" */
static bool unit_of(const char *cgroups, char out[DISCOVER_NAME_MAX])
{
    static const char tail[] = ".service";
    for (const char *line = cgroups; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t len = strcspn(line, "\n"), start = len;
        if (len < sizeof(tail) || strncmp(line + len - strlen(tail), tail, strlen(tail)) != 0)
            continue;
        while (start > 0 && line[start - 1] != '/')
            start--;
        len -= start + strlen(tail);
        if (len == 0 || len >= DISCOVER_NAME_MAX)
            continue;
        memcpy(out, line + start, len);
        out[len] = 0;
        return true;
    }
    return false;
}

static void use_driver(struct finder *d, const char *pid)
{
    struct discover_facts *f = d->f;
    char cgroups[CGROUP_MAX] = "";
    (void)!read_proc(d, pid, "cgroup", cgroups, sizeof(cgroups)); /* stays "" */
    if (strstr(cgroups, "kubepods")) {
        note(f, "the API server runs in a pod, but not by kubeadm's manifest: say which manifest it is");
    } else if (unit_of(cgroups, f->unit)) {
        (void)text_copy(f->driver, sizeof(f->driver), "systemd");
    } else if (found_file(d, "/etc/init.d/kube-apiserver")) {
        (void)text_copy(f->driver, sizeof(f->driver), "openrc");
        (void)text_copy(f->unit, sizeof(f->unit), "kube-apiserver");
    } else {
        note(f, "process %s belongs to no systemd unit, and /etc/init.d/kube-apiserver is not there", pid);
    }
}

static void use_login(struct finder *d)
{
    static const char *const configs[] = {"/etc/kubernetes/admin.conf", "/etc/kubernetes/admin.kubeconfig",
                                          "/root/.kube/config"};
    for (size_t i = 0; i < array_len(configs); i++)
        if (use_kubeconfig(d, configs[i]))
            return;
}

static void use_path(struct discover_facts *f, const char *what, const char *path,
                     char out[DISCOVER_PATH_MAX])
{
    if (*path && !keep_path(out, path))
        note(f, "%s is %.100s, which is no path from the root: fill it in", what, path);
}

bool find_service(struct finder *d)
{
    struct discover_facts *f = d->f;
    char pid[16];
    ssize_t len = 0;
    _cleanup_free_ char *arguments = calloc(1, ARGUMENTS_MAX);
    _cleanup_free_ struct api_flags *flags = calloc(1, sizeof(*flags));
    if (!arguments || !flags || !find_process(d, pid, arguments, &len))
        return false;
    f->kind = DISCOVER_SERVICE;
    snprintf(f->where, sizeof(f->where), "process %s", pid);
    read_arguments(arguments, (size_t)len, flags);
    flags_use(flags, f);
    use_path(f, "--encryption-provider-config", flags->values[FLAG_CONFIG], f->encryption_config);
    use_path(f, "--etcd-cafile", flags->values[FLAG_ETCD_CA], f->etcd_ca);
    use_path(f, "--etcd-certfile", flags->values[FLAG_ETCD_CERT], f->etcd_cert);
    use_path(f, "--etcd-keyfile", flags->values[FLAG_ETCD_KEY], f->etcd_key);
    if (!*f->encryption_config && !*flags->values[FLAG_CONFIG])
        note(f, "the API server has no --encryption-provider-config: start it with one first");
    use_driver(d, pid);
    use_login(d);
    return true;
}
