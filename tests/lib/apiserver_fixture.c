#include "apiserver_fixture.h"
#include "real.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/file.h>

#define BUILT_APISERVER "/var/cache/secrets-encrypt/kube-apiserver-debian12/kube-apiserver"
#define START_MS        90000
#define OUTPUT_MAX      (64 * 1024 * 1024)
#define PATHS           32

struct apifix {
    char dir[64];
    char apiserver[512];
    char etcd_url[64], peer_url[64];
    pid_t etcd;
    struct {
        char url[64];
        int port;
        pid_t pid;
    } servers[APIFIX_SERVERS];
    char paths[PATHS][128];
    size_t paths_count;
    int holds[APIFIX_SERVERS + 2]; /* the sockets that keep the ports */
    size_t holds_count;
};

static bool complain(const char *what, const char *detail)
{
    fprintf(stderr, "apiserver fixture: %s: %s\n", what, detail);
    return false;
}

static void nap(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L}, NULL);
}

/* --- processes --- */

/* A child that ends with this process, whatever becomes of it. */
static void child_begins(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
}

static bool feed(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return shutdown(fd, SHUT_WR) == 0;
}

static bool drain(int fd, struct buf *out)
{
    char piece[16384];
    ssize_t n;

    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        if (out && buf_add(out, piece, (size_t)n, NULL) < 0)
            return false;
    }
    return n == 0 || errno == ECONNRESET;
}

bool apifix_run(const char *const argv[], const void *input, size_t input_len, struct buf *out)
{
    int pair[2], status = 0;
    pid_t parent = getpid(), pid;
    bool ok;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return complain("socketpair", strerror(errno));
    pid = fork();
    if (pid == 0) {
        child_begins(parent);
        dup2(pair[1], 0);
        dup2(pair[1], 1);
        if (!getenv("APIFIX_VERBOSE")) /* openssl draws its progress there */
            dup2(open("/dev/null", O_WRONLY), 2);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(pair[1]);
    ok = pid > 0 && feed(pair[0], input ? input : "", input ? input_len : 0);
    ok = drain(pair[0], out) && ok;
    close(pair[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return complain(argv[0], "failed; APIFIX_VERBOSE=1 shows why");
    return ok;
}

static pid_t spawn(const char *log_path, const char *const argv[])
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        int none = open("/dev/null", O_RDONLY);

        child_begins(parent);
        dup2(none, 0);
        dup2(log, 1);
        dup2(log, 2);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid;
}

static void end(pid_t *pid, int signal_number)
{
    if (*pid <= 0)
        return;
    kill(*pid, signal_number);
    kill(*pid, SIGCONT);
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *pid = 0;
}

static bool has_ended(pid_t *pid)
{
    if (waitpid(*pid, NULL, WNOHANG) != *pid)
        return false;
    *pid = 0;
    return true;
}

static void show_log(const char *path)
{
    _cleanup_(buf_freep) struct buf log = BUF_INIT(OUTPUT_MAX);
    size_t from;

    if (file_read(path, OUTPUT_MAX, &log, NULL) < 0)
        return;
    from = log.len > 3000 ? log.len - 3000 : 0;
    fprintf(stderr, "--- end of %s\n%s\n---\n", path, buf_str(&log) + from);
}

/* --- folder, ports, certificates --- */

const char *apifix_path(struct apifix *f, const char *name)
{
    char path[sizeof(f->paths[0])];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    for (size_t i = 0; i < f->paths_count; i++) {
        if (strcmp(f->paths[i], path) == 0)
            return f->paths[i];
    }
    if (f->paths_count == PATHS)
        abort();
    memcpy(f->paths[f->paths_count], path, sizeof(path));
    return f->paths[f->paths_count++];
}

bool apifix_write(struct apifix *f, const char *name, const char *text)
{
    struct error e = ERROR_INIT;

    if (file_write_atomic(apifix_path(f, name), text, strlen(text), 0600, &e) < 0)
        return complain("write", e.text);
    return true;
}

/* Until the fixture ends: a server that is down for a while must not find another one's in its place. */
static int take_port(struct apifix *f)
{
    int fd = -1, port = port_hold(&fd);
    if (port > 0)
        f->holds[f->holds_count++] = fd;
    return port;
}

static bool openssl(struct apifix *f, const char *const args[])
{
    const char *argv[24] = {"openssl"};
    size_t n = 1;

    (void)f;
    while (args[n - 1] && n < array_len(argv) - 1) {
        argv[n] = args[n - 1];
        n++;
    }
    return apifix_run(argv, NULL, 0, NULL);
}

static bool make_ca(struct apifix *f, const char *cert, const char *key)
{
    return openssl(f, (const char *[]){"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                                       "-nodes", "-subj", "/CN=fixture-ca", "-days", "2", "-keyout",
                                       apifix_path(f, key), "-out", apifix_path(f, cert), NULL});
}

static bool make_cert(struct apifix *f, const char *name, const char *subject, const char *extensions)
{
    char key[32], csr[32], cert[32], ext[32];

    snprintf(key, sizeof(key), "%s.key", name);
    snprintf(csr, sizeof(csr), "%s.csr", name);
    snprintf(cert, sizeof(cert), "%s.pem", name);
    snprintf(ext, sizeof(ext), "%s.ext", name);
    return apifix_write(f, ext, extensions) &&
           openssl(f, (const char *[]){"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                                       "-nodes", "-subj", subject, "-keyout", apifix_path(f, key), "-out",
                                       apifix_path(f, csr), NULL}) &&
           openssl(f, (const char *[]){"x509", "-req", "-in", apifix_path(f, csr), "-CA",
                                       apifix_path(f, "ca.pem"), "-CAkey", apifix_path(f, "ca.key"),
                                       "-CAcreateserial", "-days", "2", "-extfile", apifix_path(f, ext),
                                       "-out", apifix_path(f, cert), NULL});
}

static bool make_files(struct apifix *f)
{
    static const char hex[] = "0123456789abcdef";
    _cleanup_(buf_freep) struct buf tokens = BUF_INIT(4096);
    unsigned char raw[16];
    char token[33] = "";

    if (getentropy(raw, sizeof(raw)) < 0)
        return complain("getentropy", strerror(errno));
    for (size_t i = 0; i < sizeof(raw); i++) {
        token[2 * i] = hex[raw[i] >> 4];
        token[2 * i + 1] = hex[raw[i] & 15];
    }
    if (buf_addf(&tokens, NULL, "%s,admin,admin,\"system:masters\"\n", token) < 0)
        return false;
    return apifix_write(f, "admin.token", token) && apifix_write(f, "tokens.csv", buf_str(&tokens)) &&
           openssl(f, (const char *[]){"genrsa", "-out", apifix_path(f, "sa.key"), "2048", NULL}) &&
           make_ca(f, "ca.pem", "ca.key") && make_ca(f, "other-ca.pem", "other-ca.key") &&
           make_cert(f, "server", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1,DNS:localhost\n") &&
           make_cert(f, "admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth\n");
}

/* --- etcd --- */

bool apifix_etcdctl(struct apifix *f, const char *const args[], const void *input, size_t input_len,
                    struct buf *out)
{
    const char *argv[16] = {"etcdctl", "--endpoints", f->etcd_url};
    size_t n = 3;

    for (size_t i = 0; args[i] && n < array_len(argv) - 1; i++)
        argv[n++] = args[i];
    setenv("ETCDCTL_API", "3", 1);
    return apifix_run(argv, input, input_len, out);
}

int apifix_count(struct apifix *f, const char *key_prefix, const char *head)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    const char *at;
    int count = 0;

    if (!apifix_etcdctl(f, (const char *[]){"get", key_prefix, "--prefix", "--print-value-only", NULL}, NULL,
                        0, &out))
        return -1;
    at = out.data;
    while (at && (at = memmem(at, (size_t)(out.data + out.len - at), head, strlen(head)))) {
        count += at == out.data || at[-1] == '\n';
        at++;
    }
    return count;
}

static bool can_connect(int port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool start_etcd(struct apifix *f)
{
    char cluster[96];
    int port = take_port(f);
    int64_t until;

    snprintf(f->etcd_url, sizeof(f->etcd_url), "http://127.0.0.1:%d", port);
    snprintf(f->peer_url, sizeof(f->peer_url), "http://127.0.0.1:%d", take_port(f));
    snprintf(cluster, sizeof(cluster), "fixture=%s", f->peer_url);
    f->etcd =
        spawn(apifix_path(f, "etcd.log"),
              (const char *[]){"etcd", "--name", "fixture", "--data-dir", apifix_path(f, "etcd"),
                               "--listen-client-urls", f->etcd_url, "--advertise-client-urls", f->etcd_url,
                               "--listen-peer-urls", f->peer_url, "--initial-advertise-peer-urls",
                               f->peer_url, "--initial-cluster", cluster, NULL});
    until = clock_mono_ms() + START_MS;
    while (f->etcd > 0 && !has_ended(&f->etcd) && clock_mono_ms() < until) {
        if (can_connect(port))
            return true;
        nap(50);
    }
    show_log(apifix_path(f, "etcd.log"));
    return complain("etcd", "did not start (package etcd-server)");
}

/* --- kube-apiserver --- */

static bool find_apiserver(struct apifix *f)
{
    const char *given = getenv("KUBE_APISERVER");

    snprintf(f->apiserver, sizeof(f->apiserver), "%s", given && *given ? given : BUILT_APISERVER);
    if (access(f->apiserver, X_OK) == 0)
        return true;
    fprintf(stderr,
            "apiserver fixture: no kube-apiserver at %s (%s): set KUBE_APISERVER to one, or run "
            "deploy/lab/get-kube-apiserver.sh\n",
            f->apiserver, strerror(errno));
    return false;
}

static pid_t spawn_apiserver(struct apifix *f, size_t i, bool encrypted)
{
    char etcd[96], port[32], conf[192], args[10][192], log[32], certs[32];
    const char *argv[24] = {f->apiserver};
    static const struct {
        const char *flag, *file;
    } files[] = {
        {"--tls-cert-file", "server.pem"},        {"--tls-private-key-file", "server.key"},
        {"--client-ca-file", "ca.pem"},           {"--service-account-signing-key-file", "sa.key"},
        {"--service-account-key-file", "sa.key"}, {"--token-auth-file", "tokens.csv"},
    };
    size_t n = 1, a = 0;

    snprintf(etcd, sizeof(etcd), "--etcd-servers=%s", f->etcd_url);
    snprintf(port, sizeof(port), "--secure-port=%d", f->servers[i].port);
    snprintf(log, sizeof(log), "apiserver-%zu.log", i);
    snprintf(certs, sizeof(certs), "encryption-%zu.json", i);
    snprintf(conf, sizeof(conf), "--encryption-provider-config=%s", apifix_path(f, certs));
    argv[n++] = etcd;
    argv[n++] = port;
    for (; a < array_len(files); a++) {
        snprintf(args[a], sizeof(args[a]), "%s=%s", files[a].flag, apifix_path(f, files[a].file));
        argv[n++] = args[a];
    }
    argv[n++] = "--bind-address=127.0.0.1";
    argv[n++] = "--service-account-issuer=https://kubernetes.default.svc";
    argv[n++] = "--api-audiences=https://kubernetes.default.svc";
    argv[n++] = "--service-cluster-ip-range=10.43.0.0/16";
    argv[n++] = "--authorization-mode=RBAC";
    argv[n++] = "--endpoint-reconciler-type=none";
    argv[n++] = "--disable-admission-plugins=ServiceAccount";
    if (encrypted)
        argv[n++] = conf;
    return spawn(apifix_path(f, log), argv);
}

/* A new cluster's API server says that it is ready a moment before it has made the namespaces. */
static bool has_namespaces(struct kube *k, struct error *e)
{
    long status = 0;

    return kube_request(k, "GET", "/api/v1/namespaces/default", NULL, NULL, NULL, 0, 2000, &status, NULL,
                        e) == 0 &&
           status == 200;
}

static bool wait_ready(struct apifix *f, size_t i)
{
    struct kube_options o = apifix_options(f, i);
    int64_t until = clock_mono_ms() + START_MS;
    struct error e = ERROR_INIT;
    char log[32];

    while (f->servers[i].pid > 0 && !has_ended(&f->servers[i].pid) && clock_mono_ms() < until) {
        _cleanup_(kube_closep) struct kube *k = NULL;

        if (kube_open(&o, &k, &e) == 0 && kube_ready(k, 2000, &e) == 0 && has_namespaces(k, &e))
            return true;
        nap(100);
    }
    snprintf(log, sizeof(log), "apiserver-%zu.log", i);
    show_log(apifix_path(f, log));
    return complain("kube-apiserver is not ready", e.text);
}

bool apifix_start(struct apifix *f, size_t i, const char *encryption_config)
{
    char name[32];

    snprintf(name, sizeof(name), "encryption-%zu.json", i);
    if (encryption_config && !apifix_write(f, name, encryption_config))
        return false;
    f->servers[i].pid = spawn_apiserver(f, i, encryption_config != NULL);
    return wait_ready(f, i);
}

void apifix_stop(struct apifix *f, size_t i, int signal_number)
{
    end(&f->servers[i].pid, signal_number);
}

void apifix_signal(struct apifix *f, size_t i, int signal_number)
{
    if (f->servers[i].pid <= 0)
        return;
    if (signal_number == SIGSTOP)
        child_stop(f->servers[i].pid);
    else
        kill(f->servers[i].pid, signal_number);
}

const char *apifix_url(const struct apifix *f, size_t i)
{
    return f->servers[i].url;
}

const char *apifix_etcd_url(const struct apifix *f)
{
    return f->etcd_url;
}

const char *apifix_dir(const struct apifix *f)
{
    return f->dir;
}

struct kube_options apifix_options(struct apifix *f, size_t i)
{
    static const char *const names[APIFIX_SERVERS] = {"s1", "s2", "s3"};

    return (struct kube_options){.server = names[i],
                                 .url = f->servers[i].url,
                                 .ca_file = apifix_path(f, "ca.pem"),
                                 .token_file = apifix_path(f, "admin.token")};
}

/* --- all of it --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

void apifix_free(struct apifix *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < APIFIX_SERVERS; i++)
        end(&f->servers[i].pid, SIGKILL);
    end(&f->etcd, SIGKILL);
    while (f->holds_count > 0)
        close(f->holds[--f->holds_count]);
    if (f->dir[0])
        nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
}

struct apifix *apifix_new(void)
{
    struct apifix *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    snprintf(f->dir, sizeof(f->dir), "/tmp/apiserver-fixture-XXXXXX");
    for (size_t i = 0; i < APIFIX_SERVERS; i++) {
        f->servers[i].port = take_port(f);
        snprintf(f->servers[i].url, sizeof(f->servers[i].url), "https://127.0.0.1:%d", f->servers[i].port);
    }
    if (!mkdtemp(f->dir)) {
        f->dir[0] = '\0';
        complain("temp folder", strerror(errno));
    } else if (find_apiserver(f) && make_files(f) && start_etcd(f)) {
        return f;
    }
    apifix_free(f);
    return NULL;
}
