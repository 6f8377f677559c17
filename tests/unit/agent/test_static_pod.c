/* The driver static-pod: what it checks, what it prepares, and a restart with a thread that passes for
 * kubelet. The API server is this program, by another name. */
#include "bench.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <agent/manifest.h>
#include <agent/static_pod.h>
#include <base/file.h>

extern char **environ;

#define PLAIN                                                                                                \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":"     \
    "[{\"resources\":[\"secrets\",\"configmaps\"],\"providers\":[{\"identity\":{}}]}]}"
#define KEYS                                                                                                 \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":"     \
    "[{\"resources\":[\"secrets\"],\"providers\":[{\"identity\":{}},{\"aescbc\":{\"keys\":[{\"name\":"       \
    "\"k\",\"secret\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}}]}]}"

struct pod {
    char dir[64], manifest[128], config[128], state[128], own[128];
    char *resources[2];
    struct config c;
    _Atomic pid_t server;
    pthread_t thread;
    atomic_bool stop;
    bool plays;
    char run[4096]; /* the manifest that the server was started from */
};

static const struct driver *driver(void)
{
    return driver_find("static-pod");
}

/* --- kubelet --- */

static pid_t start(const struct buf *words)
{
    char exe[PATH_MAX], *argv[16];
    size_t n = 0;
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    assert_true(len > 0);
    exe[len] = 0;
    for (size_t at = 0; at < words->len && n < 15; at += strlen(words->data + at) + 1)
        argv[n++] = words->data + at;
    argv[n] = NULL;
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, exe, NULL, NULL, argv, environ), 0);
    return pid;
}

static void stop_server(struct pod *p)
{
    if (p->server > 0) {
        kill(p->server, SIGKILL);
        waitpid(p->server, NULL, 0);
    }
    p->server = 0;
}

static void start_server(struct pod *p)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(4000), words = BUF_INIT(4000);
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    assert_int_equal(file_read(p->manifest, 4000, &text, NULL), 0);
    if (strcmp(buf_str(&text), p->run) == 0)
        return;
    snprintf(p->run, sizeof(p->run), "%s", buf_str(&text));
    assert_int_equal(manifest_parse(text.data, text.len, "m", &m, NULL), 0);
    assert_int_equal(manifest_arguments(m, &words, NULL), 0);
    stop_server(p);
    p->server = start(&words);
}

static void *play(void *arg)
{
    struct pod *p = arg;
    while (!p->stop) {
        start_server(p);
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    return NULL;
}

static void play_kubelet(struct pod *p)
{
    start_server(p);
    bench_await_arguments(p->server);
    p->plays = pthread_create(&p->thread, NULL, play, p) == 0;
    assert_true(p->plays);
}

/* --- bench --- */

static void write_manifest(struct pod *p, const char *more)
{
    char text[2048];
    /* The folder's name makes the arguments this test's own. */
    snprintf(text, sizeof(text),
             "apiVersion: v1\nkind: Pod\nmetadata:\n  name: n\nspec:\n  containers:\n  - command:\n    - "
             "kube-apiserver\n"
             "    - --cert-dir=%s\n%s",
             p->dir, more);
    assert_int_equal(file_write_atomic(p->manifest, text, strlen(text), 0600, NULL), 0);
}

static int setup(void **state)
{
    struct pod *p = calloc(1, sizeof(*p));
    snprintf(p->dir, sizeof(p->dir), "/tmp/test-pod-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->manifest, sizeof(p->manifest), "%s/manifests/m.yaml", p->dir);
    snprintf(p->config, sizeof(p->config), "%s/enc/config.json", p->dir);
    snprintf(p->state, sizeof(p->state), "%s/state", p->dir);
    snprintf(p->own, sizeof(p->own), "%s/config.yaml", p->dir);
    char folder[160];
    snprintf(folder, sizeof(folder), "%s/manifests", p->dir);
    assert_int_equal(dir_make(folder, 0700, NULL), 0);
    assert_int_equal(dir_make(p->state, 0700, NULL), 0);
    p->resources[0] = "secrets";
    p->resources[1] = "configmaps";
    p->c = (struct config){.path = p->own,
                           .driver = "static-pod",
                           .manifest = p->manifest,
                           .state_dir = p->state,
                           .encryption_config = p->config,
                           .pid_file = "",
                           .service_timeout_s = 20};
    p->c.resources[0] = p->resources[0];
    p->c.resources[1] = p->resources[1];
    p->c.resources_count = 2;
    write_manifest(p, "");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pod *p = *state;
    p->stop = true;
    if (p->plays)
        pthread_join(p->thread, NULL);
    stop_server(p);
    static const char *const names[] = {"manifests/m.yaml",      "manifests/link", "manifests",
                                        "enc/config.json",       "enc/link",       "enc",
                                        "state/manifest-before", "state"};
    char path[160];
    for (size_t i = 0; i < array_len(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
        (void)remove(path);
    }
    int rc = rmdir(p->dir); /* nothing else was left */
    free(p);
    return rc;
}

static void write_config(struct pod *p, const char *text)
{
    assert_int_equal(file_write_atomic(p->config, text, strlen(text), 0600, NULL), 0);
}

static bool encrypts(struct pod *p)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(4000);
    assert_int_equal(file_read(p->manifest, 4000, &text, NULL), 0);
    return strstr(buf_str(&text), "--encryption-provider-config=") != NULL;
}

static bool is_kept(const struct pod *p)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/manifest-before", p->state);
    return access(path, F_OK) == 0;
}

/* --- tests --- */

static void refused(struct pod *p, const char *why)
{
    struct error err = ERROR_INIT;
    if (driver()->check(&p->c, &err) >= 0)
        fail_msg("not refused: %s", why);
    assert_contains(err.text, why);
}

static void test_check(void **state)
{
    struct pod *p = *state;
    struct error err = ERROR_INIT;
    char other[160];
    if (driver()->check(&p->c, &err) < 0)
        fail_msg("%s", err.text);
    p->c.pid_file = "/run/pid";
    refused(p, "pid_file: kubelet writes none");
    p->c.pid_file = "";
    snprintf(other, sizeof(other), "%s/manifests/config.json", p->dir);
    p->c.encryption_config = other;
    refused(p, "kubelet reads every file there");
    p->c.encryption_config = p->config;
    snprintf(other, sizeof(other), "%s/manifests/link", p->dir);
    assert_int_equal(symlink(p->manifest, other), 0);
    p->c.manifest = other;
    refused(p, "link is not a regular file");
    p->c.manifest = p->manifest;
    write_manifest(p, "    - --encryption-provider-config=/other\n");
    refused(p, "make them the same");
    assert_int_equal(unlink(p->manifest), 0);
    refused(p, "static_pod.manifest: ");
}

static void test_prepare(void **state)
{
    struct pod *p = *state;
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(1000);
    if (driver()->prepare(&p->c, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(file_read(p->config, 1000, &text, NULL), 0);
    assert_string_equal(buf_str(&text), PLAIN);
    assert_int_equal(stat(p->config, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    /* Never over one that is there, whatever it is. */
    write_config(p, "mine");
    assert_int_equal(driver()->prepare(&p->c, &err), 0);
    buf_reset(&text);
    assert_int_equal(file_read(p->config, 1000, &text, NULL), 0);
    assert_string_equal(buf_str(&text), "mine");
    /* Nor where the API server has one already: a file that is gone is a loss, which is not to be hidden. */
    assert_int_equal(unlink(p->config), 0);
    char flag[256];
    snprintf(flag, sizeof(flag), "    - --encryption-provider-config=%s\n", p->config);
    write_manifest(p, flag);
    assert_int_equal(driver()->prepare(&p->c, &err), 0);
    assert_int_equal(access(p->config, F_OK), -1);
}

static void must_restart(struct pod *p)
{
    struct error err = ERROR_INIT;
    int64_t pid = 0;
    pid_t before = p->server;
    if (static_pod_restart(&p->c, &pid, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_not_equal(pid, before);
    /* The process is there a moment before its parent knows. */
    for (int i = 0; i < 1000 && p->server != pid; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    assert_int_equal(pid, p->server);
}

static void test_restart(void **state)
{
    struct pod *p = *state;
    assert_int_equal(driver()->prepare(&p->c, NULL), 0);
    play_kubelet(p);
    assert_false(encrypts(p));
    write_config(p, KEYS);
    must_restart(p);
    assert_true(encrypts(p));
    assert_true(is_kept(p));
    must_restart(p);
    assert_true(encrypts(p));
    assert_false(is_kept(p));
}

/* What kubelet is woken by: one rename, and never another file in its folder. */
static void test_one_event(void **state)
{
    struct pod *p = *state;
    char folder[160], events[4096] __attribute__((aligned(8)));
    struct error err = ERROR_INIT;
    int64_t pid = 0;
    snprintf(folder, sizeof(folder), "%s/manifests", p->dir);
    _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    assert_true(fd >= 0 && inotify_add_watch(fd, folder, IN_CREATE | IN_MOVE | IN_DELETE | IN_MODIFY) >= 0);
    p->c.service_timeout_s = 1;
    assert_int_equal(driver()->prepare(&p->c, NULL), 0);
    assert_int_equal(static_pod_restart(&p->c, &pid, &err), ERR_TIMEOUT);
    assert_true(encrypts(p));
    ssize_t n = read(fd, events, sizeof(events));
    const struct inotify_event *e = (const struct inotify_event *)events;
    assert_true(n > 0);
    assert_string_equal(e->name, "m.yaml");
    assert_int_equal(e->mask, IN_MOVED_TO);
    assert_int_equal(n, sizeof(*e) + e->len);
}

/* The restart after the one that added the flag is undone together with it. */
static void test_way_back(void **state)
{
    struct pod *p = *state;
    assert_int_equal(driver()->prepare(&p->c, NULL), 0);
    play_kubelet(p);
    write_config(p, KEYS);
    must_restart(p);
    write_config(p, PLAIN);
    must_restart(p);
    assert_false(encrypts(p));
    must_restart(p);
    assert_true(encrypts(p));
    must_restart(p);
    assert_false(encrypts(p));
}

/* Somebody else's change is not undone. */
static void test_no_way_back_past_a_change(void **state)
{
    struct pod *p = *state;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(4000);
    assert_int_equal(driver()->prepare(&p->c, NULL), 0);
    play_kubelet(p);
    must_restart(p);
    assert_true(encrypts(p));
    assert_int_equal(file_read(p->manifest, 4000, &text, NULL), 0);
    assert_int_equal(buf_adds(&text, "# mine\n", NULL), 0);
    pid_t before = p->server;
    assert_int_equal(file_replace(p->manifest, p->dir, text.data, text.len, NULL), 0);
    for (int i = 0; i < 5000 && (p->server == before || p->server == 0); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    bench_await_arguments(p->server);
    must_restart(p);
    assert_true(encrypts(p));
    assert_false(is_kept(p));
}

static void test_kubelet_does_nothing(void **state)
{
    struct pod *p = *state;
    struct error err = ERROR_INIT;
    int64_t pid = 0;
    assert_int_equal(driver()->prepare(&p->c, NULL), 0);
    start_server(p);
    bench_await_arguments(p->server);
    p->c.service_timeout_s = 1;
    assert_int_equal(static_pod_restart(&p->c, &pid, &err), ERR_TIMEOUT);
    assert_contains(err.text, "kubelet did not stop the API server");
    assert_true(strlen(err.text) < 170); /* the agent shows 200 bytes, its own name among them */
    stop_server(p);
    assert_int_equal(static_pod_restart(&p->c, &pid, &err), ERR_TIMEOUT);
    assert_contains(err.text, "kubelet started no new API server");
    assert_contains(err.text, "crictl");
    assert_true(strlen(err.text) < 170);
}

static void test_command(void **state)
{
    struct pod *p = *state;
    struct driver_command command = {0};
    assert_int_equal(driver()->restart(&p->c, &command, NULL), 0);
    assert_string_equal(command.argv[0], DRIVER_SELF);
    assert_string_equal(command.argv[2], p->own);
    assert_string_equal(command.argv[3], "pod-restart");
    assert_null(command.argv[4]);
    assert_true(command.timeout_s > p->c.service_timeout_s); /* it says itself what went wrong */
}

int main(int argc, char **argv)
{
    (void)argc;
    if (strcmp(argv[0], "kube-apiserver") == 0) {
        alarm(60); /* nothing is left behind, whatever happens to the test */
        pause();
        return 0;
    }
#define WITH_POD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_POD(test_check),
        WITH_POD(test_prepare),
        WITH_POD(test_restart),
        WITH_POD(test_one_event),
        WITH_POD(test_way_back),
        WITH_POD(test_no_way_back_past_a_change),
        WITH_POD(test_kubelet_does_nothing),
        WITH_POD(test_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
