#include "etcd_fixture.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>

/* For sanitizer builds: c-ares 1.18 loses the name of every host that it finds in /etc/hosts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcares.so";
}

#define ARGS_MAX 64
#define START_MS 20000
#define PATH_LEN 512

struct member {
    pid_t pid; /* 0: not running */
    bool paused;
    int client_port, peer_port;
    int holds[2]; /* the sockets that keep the two ports; 0: none */
    char endpoint[64];
};

struct etcd_fixture {
    char dir[256];
    char path[PATH_LEN];
    char ca[PATH_LEN], cert[PATH_LEN], key[PATH_LEN];
    bool tls;
    const char *const *extra_args;
    size_t count;
    struct member members[FIXTURE_MEMBERS_MAX];
    const char *endpoints[FIXTURE_MEMBERS_MAX];
    char cluster[FIXTURE_MEMBERS_MAX * 64];
};

/* --- processes --- */

struct args {
    char *list[ARGS_MAX];
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void arg(struct args *a, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    if (a->count + 1 >= ARGS_MAX || vasprintf(&a->list[a->count], format, ap) < 0)
        abort();
    a->count++;
    a->list[a->count] = NULL;
    va_end(ap);
}

static void args_free(struct args *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->list[i]);
}

/* Starts a program that is found in PATH, its output in `log`. */
static pid_t spawn(const struct args *a, const char *log)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(a->list[0], a->list);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Runs openssl to its end; 0 when it succeeded. */
static int openssl(struct etcd_fixture *f, struct args *a)
{
    char log[PATH_LEN];
    snprintf(log, sizeof(log), "%s/openssl.log", f->dir);
    pid_t pid = spawn(a, log);
    int status = pid > 0 ? wait_for(pid) : -1;
    if (status != 0)
        fprintf(stderr, "etcd fixture: `openssl %s` failed, see %s\n", a->list[1], log);
    args_free(a);
    return status == 0 ? 0 : -1;
}

/* --- certificates --- */

static int make_ca(struct etcd_fixture *f, const char *name)
{
    struct args a = {.count = 0};
    arg(&a, "openssl");
    arg(&a, "req");
    arg(&a, "-x509");
    arg(&a, "-nodes");
    arg(&a, "-newkey");
    arg(&a, "ec");
    arg(&a, "-pkeyopt");
    arg(&a, "ec_paramgen_curve:prime256v1");
    arg(&a, "-days");
    arg(&a, "2");
    arg(&a, "-subj");
    arg(&a, "/CN=%s", name);
    arg(&a, "-keyout");
    arg(&a, "%s/%s.key", f->dir, name);
    arg(&a, "-out");
    arg(&a, "%s/%s.crt", f->dir, name);
    return openssl(f, &a);
}

static int make_request(struct etcd_fixture *f, const char *name)
{
    struct args a = {.count = 0};
    arg(&a, "openssl");
    arg(&a, "req");
    arg(&a, "-nodes");
    arg(&a, "-newkey");
    arg(&a, "ec");
    arg(&a, "-pkeyopt");
    arg(&a, "ec_paramgen_curve:prime256v1");
    arg(&a, "-subj");
    arg(&a, "/CN=%s", name);
    arg(&a, "-keyout");
    arg(&a, "%s/%s.key", f->dir, name);
    arg(&a, "-out");
    arg(&a, "%s/%s.csr", f->dir, name);
    return openssl(f, &a);
}

static int write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return -1;
    fputs(text, file);
    return fclose(file);
}

static int make_certificate(struct etcd_fixture *f, const char *ca, const char *name)
{
    char ext[PATH_LEN];
    snprintf(ext, sizeof(ext), "%s/%s.ext", f->dir, name);
    if (make_request(f, name) < 0 ||
        write_text(ext, "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:etcd.test\n"
                        "extendedKeyUsage=serverAuth,clientAuth\n") < 0)
        return -1;
    struct args a = {.count = 0};
    arg(&a, "openssl");
    arg(&a, "x509");
    arg(&a, "-req");
    arg(&a, "-in");
    arg(&a, "%s/%s.csr", f->dir, name);
    arg(&a, "-CA");
    arg(&a, "%s/%s.crt", f->dir, ca);
    arg(&a, "-CAkey");
    arg(&a, "%s/%s.key", f->dir, ca);
    arg(&a, "-set_serial");
    arg(&a, "%u", (unsigned)getpid());
    arg(&a, "-days");
    arg(&a, "2");
    arg(&a, "-extfile");
    arg(&a, "%s", ext);
    arg(&a, "-out");
    arg(&a, "%s/%s.crt", f->dir, name);
    return openssl(f, &a);
}

static int make_certificates(struct etcd_fixture *f)
{
    if (make_ca(f, "ca") < 0 || make_ca(f, "other-ca") < 0 || make_certificate(f, "ca", "server") < 0 ||
        make_certificate(f, "ca", "client") < 0 || make_certificate(f, "other-ca", "stranger") < 0)
        return -1;
    snprintf(f->ca, sizeof(f->ca), "%s/ca.crt", f->dir);
    snprintf(f->cert, sizeof(f->cert), "%s/client.crt", f->dir);
    snprintf(f->key, sizeof(f->key), "%s/client.key", f->dir);
    return 0;
}

/* --- members --- */

/* Held for as long as the fixture lives: a member that is down for a while must not find another one's server
 * there. */
static int choose_ports(struct etcd_fixture *f)
{
    for (size_t i = 0; i < f->count; i++) {
        struct member *m = &f->members[i];
        m->client_port = port_hold(&m->holds[0]);
        m->peer_port = m->client_port < 0 ? -1 : port_hold(&m->holds[1]);
        if (m->peer_port < 0)
            return -1;
    }
    return 0;
}

static void name_members(struct etcd_fixture *f)
{
    size_t used = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct member *m = &f->members[i];
        snprintf(m->endpoint, sizeof(m->endpoint), "%s://127.0.0.1:%d", f->tls ? "https" : "http",
                 m->client_port);
        f->endpoints[i] = m->endpoint;
        int n = snprintf(f->cluster + used, sizeof(f->cluster) - used, "%sm%zu=http://127.0.0.1:%d",
                         i ? "," : "", i, m->peer_port);
        used += (size_t)n;
    }
}

int etcd_fixture_restart(struct etcd_fixture *f, size_t i)
{
    struct member *m = &f->members[i];
    struct args a = {.count = 0};
    arg(&a, "etcd");
    arg(&a, "--name=m%zu", i);
    arg(&a, "--data-dir=%s/m%zu", f->dir, i);
    arg(&a, "--listen-client-urls=%s", m->endpoint);
    arg(&a, "--advertise-client-urls=%s", m->endpoint);
    arg(&a, "--listen-peer-urls=http://127.0.0.1:%d", m->peer_port);
    arg(&a, "--initial-advertise-peer-urls=http://127.0.0.1:%d", m->peer_port);
    arg(&a, "--initial-cluster=%s", f->cluster);
    arg(&a, "--initial-cluster-state=new");
    arg(&a, "--logger=zap");
    if (f->tls) {
        arg(&a, "--cert-file=%s/server.crt", f->dir);
        arg(&a, "--key-file=%s/server.key", f->dir);
        arg(&a, "--trusted-ca-file=%s/ca.crt", f->dir);
        arg(&a, "--client-cert-auth");
    }
    for (const char *const *extra = f->extra_args; extra && *extra; extra++)
        arg(&a, "%s", *extra);
    char log[PATH_LEN];
    snprintf(log, sizeof(log), "%s/m%zu.log", f->dir, i);
    m->pid = spawn(&a, log);
    m->paused = false;
    args_free(&a);
    return m->pid > 0 ? 0 : -1;
}

void etcd_fixture_kill(struct etcd_fixture *f, size_t i)
{
    struct member *m = &f->members[i];
    if (m->pid <= 0)
        return;
    kill(m->pid, SIGKILL);
    wait_for(m->pid);
    m->pid = 0;
    m->paused = false;
}

void etcd_fixture_pause(struct etcd_fixture *f, size_t i)
{
    if (f->members[i].pid > 0)
        child_stop(f->members[i].pid);
    f->members[i].paused = true;
}

void etcd_fixture_resume(struct etcd_fixture *f, size_t i)
{
    if (f->members[i].pid > 0)
        kill(f->members[i].pid, SIGCONT);
    f->members[i].paused = false;
}

size_t etcd_fixture_members(const struct etcd_fixture *f)
{
    return f->count;
}

const char *etcd_fixture_endpoint(const struct etcd_fixture *f, size_t member)
{
    return f->members[member].endpoint;
}

struct etcd_options etcd_fixture_options(const struct etcd_fixture *f)
{
    return (struct etcd_options){
        .endpoints = f->endpoints,
        .endpoints_count = f->count,
        .ca_file = f->tls ? f->ca : NULL,
        .cert_file = f->tls ? f->cert : NULL,
        .key_file = f->tls ? f->key : NULL,
    };
}

struct etcd_options etcd_fixture_options_one(const struct etcd_fixture *f, size_t member)
{
    struct etcd_options o = etcd_fixture_options(f);
    o.endpoints = &f->endpoints[member];
    o.endpoints_count = 1;
    return o;
}

struct etcd *etcd_fixture_client(const struct etcd_fixture *f)
{
    struct etcd_options o = etcd_fixture_options(f);
    struct etcd *e = NULL;
    struct error err = ERROR_INIT;
    if (etcd_open(&o, &e, &err) < 0)
        fprintf(stderr, "etcd fixture: %s\n", err.text);
    return e;
}

const char *etcd_fixture_path(struct etcd_fixture *f, const char *name)
{
    snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
    return f->path;
}

static void pause_ms(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    nanosleep(&ts, NULL);
}

/* The index of the leader when `member` says so of itself, else -1; *ret_knows: it knows one at all. */
static bool leads(struct etcd *e, size_t member, bool *ret_knows, struct error *err)
{
    struct etcd_status s;
    *ret_knows = false;
    if (etcd_member_status(e, member, 500, &s, err) < 0)
        return false;
    *ret_knows = s.leader != 0;
    return s.leader && s.leader == s.member;
}

int etcd_fixture_leader(struct etcd_fixture *f, int timeout_ms)
{
    struct etcd *e = etcd_fixture_client(f);
    if (!e)
        return -1;
    int found = -1;
    for (int64_t end = clock_mono_ms() + timeout_ms; found < 0 && clock_mono_ms() < end; pause_ms(20)) {
        bool knows;
        for (size_t i = 0; i < f->count && found < 0; i++)
            if (f->members[i].pid > 0 && !f->members[i].paused && leads(e, i, &knows, NULL))
                found = (int)i;
    }
    etcd_close(e);
    return found;
}

static int wait_ready(struct etcd_fixture *f)
{
    struct etcd *e = etcd_fixture_client(f);
    if (!e)
        return -1;
    struct error err = ERROR_INIT;
    size_t ready = 0;
    for (int64_t end = clock_mono_ms() + START_MS; ready < f->count && clock_mono_ms() < end; pause_ms(20)) {
        bool knows = true;
        while (ready < f->count && knows) {
            (void)leads(e, ready, &knows, &err);
            ready += knows;
        }
    }
    etcd_close(e);
    if (ready == f->count)
        return 0;
    fprintf(stderr, "etcd fixture: member %zu is not ready after %d ms: %s\n", ready, START_MS, err.text);
    return -1;
}

int etcd_fixture_start(const struct etcd_fixture_options *options, struct etcd_fixture **ret)
{
    struct etcd_fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    const char *tmp = getenv("TMPDIR");
    f->tls = options->tls;
    f->count = options->members;
    f->extra_args = options->extra_args;
    snprintf(f->dir, sizeof(f->dir), "%s/etcd-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(f->dir)) {
        perror("etcd fixture: temp folder");
        free(f);
        return -1;
    }
    int rc = choose_ports(f);
    name_members(f);
    if (rc == 0 && f->tls)
        rc = make_certificates(f);
    for (size_t i = 0; i < f->count && rc == 0; i++)
        rc = etcd_fixture_restart(f, i);
    if (rc == 0)
        rc = wait_ready(f);
    if (rc < 0)
        etcd_fixture_free(f);
    else
        *ret = f;
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void etcd_fixture_wipe(struct etcd_fixture *f, size_t member)
{
    char dir[PATH_LEN];
    snprintf(dir, sizeof(dir), "%s/m%zu", f->dir, member);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void member_free(struct etcd_fixture *f, size_t i)
{
    etcd_fixture_kill(f, i);
    for (size_t h = 0; h < 2; h++)
        if (f->members[i].holds[h] > 0)
            close(f->members[i].holds[h]);
}

void etcd_fixture_free(struct etcd_fixture *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++)
        member_free(f, i);
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
}
