/* What the agent finds on its own machine: each trouble by its check, with its remedy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>

#include <agent/checks.h>
#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

#include "certificates.h"

#define CONFIG                                                                                               \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":[{"   \
    "\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"aescbckey\",\"secret\":"  \
    "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}]}},{\"identity\":{}}]}]}"
#define YEAR_MS (INT64_C(365) * 24 * 3600 * 1000)

static char folder[] = "/tmp/checks-test-XXXXXX";
static char paths[16][PATH_MAX];
static size_t paths_used;
static struct config *config;
static struct cluster_checks checks;
static int64_t now_ms;

static char *at(const char *name)
{
    char *path = paths[paths_used++ % array_len(paths)];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
    assert_int_equal(file_write_atomic(at(name), text, strlen(text), mode, NULL), 0);
}

/* A process that was started with the file. */
static void make_process(const char *pid, const char *argument)
{
    char name[64], text[PATH_MAX];
    snprintf(name, sizeof(name), "proc/%s", pid);
    assert_int_equal(dir_make(at(name), 0755, NULL), 0);
    int len = snprintf(text, sizeof(text), "kube-apiserver%c%s", 0, argument) + 1;
    snprintf(name, sizeof(name), "proc/%s/cmdline", pid);
    assert_int_equal(file_write_atomic(at(name), text, (size_t)len, 0644, NULL), 0);
    snprintf(name, sizeof(name), "proc/%s/stat", pid);
    snprintf(text, sizeof(text), "%s (kube-apiserver) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0\n", pid);
    put(name, text, 0644);
}

static void read_config(void)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(65536);
    struct error err = ERROR_INIT;
    assert_int_equal(
        buf_addf(&text, NULL,
                 "{cluster: c, server: s1, servers: [{name: s1, api: 'https://127.0.0.1:1'}], "
                 "token_file: %s, state_dir: %s, encryption_config: %s, state_store: {endpoints: "
                 "['https://127.0.0.1:2'], ca_file: %s, cert_file: %s, key_file: %s}, "
                 "kubernetes: {token_file: %s}, exec: {restart: [%s]}}",
                 at("token"), at("state"), at("enc/config.json"), at("ca.crt"), at("b.crt"), at("b.key"),
                 at("login"), at("restart")),
        0);
    if (config_parse(buf_str(&text), text.len, "config.yaml", CONFIG_FOR_AGENT, &config, &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    (void)state;
    memcpy(strrchr(folder, '-') + 1, "XXXXXX", 6);
    assert_non_null(mkdtemp(folder));
    now_ms = clock_wall_ms();
    assert_int_equal(dir_make(at("state"), 0700, NULL), 0);
    assert_int_equal(dir_make(at("enc"), 0700, NULL), 0);
    put("enc/config.json", CONFIG, 0600);
    put("token", "0123456789abcdef\n", 0600);
    put("login", "a-token\n", 0600);
    put("restart", "#!/bin/sh\n", 0700);
    put("ca.crt", ca_crt, 0644);
    put("a.crt", a_crt, 0644);
    put("b.crt", b_crt, 0644);
    put("a.key", a_key, 0600);
    put("b.key", b_key, 0600);
    char argument[PATH_MAX];
    snprintf(argument, sizeof(argument), "--encryption-provider-config=%s", at("enc/config.json"));
    make_process("4711", argument);
    read_config();
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    config_free(config);
    config = NULL;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void look(void)
{
    memset(&checks, 0, sizeof(checks));
    checks_local(config, driver_find(config->driver), at("proc"), now_ms, &checks);
}

/* That check has the result, its text holds `words`, and there is a remedy unless it is well. */
static void expect(const char *name, enum check_result result, const char *words)
{
    look();
    for (size_t i = 0; i < checks.checks_count; i++) {
        const struct cluster_check *k = &checks.checks[i];
        if (strcmp(k->name, name) != 0)
            continue;
        if (k->result != result || !strstr(k->text, words))
            fail_msg("%s: %d, %s", name, (int)k->result, k->text);
        assert_int_equal(*k->remedy == 0, result == CHECK_OK);
        return;
    }
    fail_msg("no check %s", name);
}

/* Apart from the machine's own clock and disks, which the test cannot choose. */
static void all_is_well(void **state)
{
    (void)state;
    look();
    assert_int_equal(checks.checks_count, 12);
    for (size_t i = 0; i < checks.checks_count; i++)
        if (checks.checks[i].result != CHECK_OK && strcmp(checks.checks[i].name, "clock") != 0)
            fail_msg("%s: %s", checks.checks[i].name, checks.checks[i].text);
    expect("encryption-config-used", CHECK_OK, "process 4711");
    expect("encryption-config-content", CHECK_OK, "1 key for 1 resource, values are written encrypted");
}

static void the_file(void **state)
{
    (void)state;
    assert_int_equal(chmod(config->encryption_config, 0644), 0);
    expect("encryption-config", CHECK_FAIL, "mode 0644: others can read the keys in it");
    put("enc/config.json", "{\"kind\":", 0600);
    expect("encryption-config-content", CHECK_FAIL, "config.json");
    put("enc/config.json",
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\","
        "\"resources\":[{\"resources\":[\"events\"],\"providers\":[{\"identity\":{}}]}]}",
        0600);
    expect("encryption-config-content", CHECK_FAIL, "secrets");
    assert_int_equal(unlink(config->encryption_config), 0);
    expect("encryption-config", CHECK_FAIL, "config.json");
    expect("encryption-config-content", CHECK_FAIL, "config.json");
    expect("encryption-config-folder", CHECK_OK, "");
}

static void who_runs_with_it(void **state)
{
    (void)state;
    put("proc/4711/cmdline", "something else", 0644);
    expect("encryption-config-used", CHECK_FAIL, "no process has the argument");
    free(config->pid_file);
    config->pid_file = strdup(at("pid"));
    put("pid", "4711\n", 0644);
    expect("encryption-config-used", CHECK_WARN, "does not have --encryption-provider-config=");
    char argument[PATH_MAX];
    snprintf(argument, sizeof(argument), "--encryption-provider-config=%s", config->encryption_config);
    make_process("4712", argument);
    expect("encryption-config-used", CHECK_WARN, "names process 4711, but 4712");
    free(config->driver);
    config->driver = strdup("k3s");
    expect("encryption-config-used", CHECK_OK, "K3s");
}

static void a_driver_that_there_is_not(void **state)
{
    (void)state;
    memset(&checks, 0, sizeof(checks));
    checks_local(config, NULL, at("proc"), now_ms, &checks);
    for (size_t i = 0; i < checks.checks_count; i++)
        if (strcmp(checks.checks[i].name, "restart") == 0)
            assert_int_equal(checks.checks[i].result, CHECK_FAIL);
}

static void rights(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(chmod(config->token_file, 0640), 0);
    expect("cluster-token", CHECK_FAIL, "mode 0640");
    assert_int_equal(unlink(config->token_file), 0);
    expect("cluster-token", CHECK_FAIL, "gone");
    assert_int_equal(unlink(at("restart")), 0);
    expect("restart", CHECK_FAIL, "cannot be run");
    free(config->exec_restart[0]);
    config->exec_restart[0] = strdup("sh");
    expect("restart", CHECK_OK, "driver exec");
    free(config->exec_restart[0]);
    config->exec_restart[0] = strdup("no-such-program-here");
    expect("restart", CHECK_FAIL, "is in no folder of PATH");
    /* Root may write everywhere: a file in the folder's place is what it cannot write in. */
    assert_int_equal(rmdir(at("state")), 0);
    expect("state-folder", CHECK_FAIL, "no file can be written in it");
    assert_int_equal(stat(at("enc/.secrets-encrypt-check.tmp"), &st), -1); /* nothing stays */
}

static void certificates(void **state)
{
    (void)state;
    expect("state-store-certificates", CHECK_OK, "b.crt ends in");
    now_ms = INT64_C(4070908800000) - 10 * INT64_C(24) * 3600 * 1000; /* ten days before b.crt ends */
    expect("state-store-certificates", CHECK_WARN, "b.crt ends in 10 days");
    now_ms = INT64_C(4070908800000);
    expect("state-store-certificates", CHECK_FAIL, "b.crt (CN=b) expired at 2099-01-01T00:00:00Z");
    now_ms = 0;
    expect("state-store-certificates", CHECK_FAIL, "is this server's clock right?");
    now_ms = clock_wall_ms();
    put("b.crt", a_crt, 0644);
    expect("state-store-certificates", CHECK_FAIL, "the private key belongs to another certificate");
    put("b.key", a_key, 0600);
    expect("state-store-certificates", CHECK_FAIL, "expired at 2021-01-01T00:00:00Z");
    assert_int_equal(unlink(at("ca.crt")), 0);
    put("b.crt", b_crt, 0644);
    put("b.key", b_key, 0600);
    expect("state-store-certificates", CHECK_FAIL, "ca.crt");
    /* The API's are looked at where it listens. */
    for (size_t i = 0; i < checks.checks_count; i++)
        assert_string_not_equal(checks.checks[i].name, "api-certificates");
    config->api.listen_count = 1;
    config->api.listen[0] = strdup("127.0.0.1:6448");
    free(config->api.cert_file);
    free(config->api.key_file);
    free(config->api.client_ca_file);
    config->api.cert_file = strdup(at("b.crt"));
    config->api.key_file = strdup(at("b.key"));
    config->api.client_ca_file = strdup(at("b.crt"));
    expect("api-certificates", CHECK_OK, "b.crt ends in");
    put("b.key", a_key, 0600);
    expect("api-certificates", CHECK_FAIL, "the private key belongs to another certificate");
    put("b.key", b_key, 0600);
    assert_int_equal(chmod(at("login"), 0604), 0);
    expect("kubernetes-login", CHECK_WARN, "everybody can read it");
    assert_int_equal(unlink(at("login")), 0);
    expect("kubernetes-login", CHECK_FAIL, "login");
    for (size_t i = 0; i < checks.checks_count; i++)
        assert_null(strstr(checks.checks[i].text, "BEGIN"));
}

static void snapshots(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        enum check_result result;
    } cases[] = {{1024 * 1024, CHECK_OK}, {INT64_C(1) << 50, CHECK_FAIL}, {0, CHECK_WARN}};
    for (size_t i = 0; i < array_len(cases); i++) {
        memset(&checks, 0, sizeof(checks));
        checks_snapshot_disk(config, cases[i].bytes, &checks);
        assert_int_equal(checks.checks_count, 1);
        assert_int_equal(checks.checks[0].result, cases[i].result);
        assert_string_equal(checks.checks[0].name, "disk-snapshots");
    }
    free(config->snapshots);
    config->snapshots = strdup("off");
    memset(&checks, 0, sizeof(checks));
    checks_snapshot_disk(config, 1, &checks);
    assert_int_equal(checks.checks_count, 0);
}

static void bounded(void **state)
{
    (void)state;
    char longest[4096];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    memset(&checks, 0, sizeof(checks));
    for (int i = 0; i < 2 * CLUSTER_CHECKS_MAX; i++)
        checks_add(&checks, longest, CHECK_WARN, longest, "a\nb %s", longest);
    assert_int_equal(checks.checks_count, CLUSTER_CHECKS_MAX);
    assert_int_equal(strlen(checks.checks[0].text), CLUSTER_TEXT_MAX - 1);
    assert_null(strchr(checks.checks[0].text, '\n'));
    assert_int_equal(strlen(checks.checks[0].name), CLUSTER_CHECK_NAME - 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_is_well),
        TEST(the_file),
        TEST(who_runs_with_it),
        TEST(rights),
        TEST(a_driver_that_there_is_not),
        TEST(certificates),
        TEST(snapshots),
        TEST(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
