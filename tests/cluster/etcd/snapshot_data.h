/* A database that is large enough to be interrupted while it is copied, and programs run to their end. */
#ifndef TEST_SNAPSHOT_DATA_H
#define TEST_SNAPSHOT_DATA_H

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "check.h"

#define DATA_KEYS  2000
#define DATA_BYTES 8192

/* What key i holds: cannot be compressed or confused with another's. */
static inline void data_value(size_t i, uint8_t out[DATA_BYTES])
{
    uint64_t x = 0x9e3779b97f4a7c15u * (i + 1);
    for (size_t k = 0; k < DATA_BYTES; k += sizeof(x)) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(out + k, &x, sizeof(x));
    }
}

static inline void data_key(size_t i, char out[32])
{
    snprintf(out, 32, "/data/%05zu", i);
}

static inline void data_put(struct etcd *e, size_t keys)
{
    static uint8_t value[DATA_BYTES];
    for (size_t i = 0; i < keys; i++) {
        char key[32];
        data_key(i, key);
        data_value(i, value);
        must(etcd_put(e, key, value, sizeof(value), 0, 10000, NULL, &err));
    }
}

/* All keys, each with its value; none besides. */
static inline void data_check(struct etcd *e, size_t keys)
{
    static uint8_t value[DATA_BYTES];
    struct etcd_range r;
    must(etcd_snapshot(e, "/data/", keys, 20000, &r, &err));
    assert_int_equal(r.count, keys);
    for (size_t i = 0; i < keys; i++) {
        char key[32];
        data_key(i, key);
        data_value(i, value);
        assert_string_equal(r.kvs[i].key, key);
        assert_int_equal(r.kvs[i].value_len, sizeof(value));
        assert_memory_equal(r.kvs[i].value, value, sizeof(value));
    }
    etcd_range_free(&r);
}

/* Exit status of a program from PATH, run in `dir` (NULL: here), its output thrown away. */
static inline int run_program(const char *dir, const char *const *args)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        if (dir && chdir(dir) < 0)
            _exit(126);
        execvp(args[0], (char *const *)args);
        _exit(127);
    }
    int status = -1;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Makes an etcd of one member out of a snapshot file and checks what it holds. */
static inline void data_restore_and_check(const char *file, size_t keys)
{
    struct etcd_fixture *f = NULL;
    struct etcd_fixture_options o = {.members = 1};
    assert_int_equal(etcd_fixture_start(&o, &f), 0);
    etcd_fixture_kill(f, 0);
    etcd_fixture_wipe(f, 0);
    char data_dir[600];
    snprintf(data_dir, sizeof(data_dir), "--data-dir=%s", etcd_fixture_path(f, "m0"));
    const char *const args[] = {"etcdctl",
                                "snapshot",
                                "restore",
                                file,
                                "--name=m0",
                                "--initial-cluster=m0=http://127.0.0.1:1",
                                "--initial-advertise-peer-urls=http://127.0.0.1:1",
                                data_dir,
                                NULL};
    assert_int_equal(run_program(NULL, args), 0);
    assert_int_equal(etcd_fixture_restart(f, 0), 0);
    assert_int_equal(etcd_fixture_leader(f, 20000), 0);
    struct etcd *e = etcd_fixture_client(f);
    assert_non_null(e);
    data_check(e, keys);
    etcd_close(e);
    etcd_fixture_free(f);
}

#endif
