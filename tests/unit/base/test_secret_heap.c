#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <base/secret.h>
#include <base/secret_heap.h>

/* Under AddressSanitizer there is no such heap. */
static void need_heap(void)
{
    _secret_heap_;
    void *p = secret_heap_alloc(1);
    if (!p)
        skip();
    secret_heap_free(p);
}

static void inner(void)
{
    _secret_heap_;
    assert_true(secret_heap_entered());
}

static void scopes_nest(void **state)
{
    (void)state;
    assert_false(secret_heap_entered());
    {
        _secret_heap_;
        assert_true(secret_heap_entered());
        inner();
        assert_true(secret_heap_entered());
    }
    assert_false(secret_heap_entered());
}

static void blocks(void **state)
{
    static unsigned char *all[500];
    static const size_t sizes[] = {0, 1, 16, 33, 64, 1000, 5000, 70000};
    (void)state;
    need_heap();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < array_len(all); i++) {
            size_t size = sizes[i % array_len(sizes)];
            all[i] = secret_heap_alloc(size);
            assert_non_null(all[i]);
            assert_true(secret_heap_owns(all[i]));
            assert_int_equal((uintptr_t)all[i] % _Alignof(max_align_t), 0);
            assert_int_equal(secret_heap_size(all[i]), size);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(all[i][k], 0); /* what was there is gone */
            memset(all[i], (int)i + 1, size);
        }
        for (size_t i = 0; i < array_len(all); i++)
            for (size_t k = 0; k < sizes[i % array_len(sizes)]; k++)
                assert_int_equal(all[i][k], (unsigned char)(i + 1));
        for (size_t i = 0; i < array_len(all); i++)
            secret_heap_free(all[i]);
    }
    secret_heap_free(NULL);
}

static void bounded(void **state)
{
    int on_stack = 0;
    void *taken[80];
    size_t n = 0;
    (void)state;
    need_heap();
    void *loose = malloc(1);
    assert_false(secret_heap_owns(&on_stack));
    assert_false(secret_heap_owns(loose));
    assert_false(secret_heap_owns(NULL));
    assert_null(secret_heap_alloc(1024 * 1024));
    assert_null(secret_heap_alloc(SIZE_MAX));
    while (n < array_len(taken) && (taken[n] = secret_heap_alloc(900 * 1024)))
        n++;
    assert_in_range(n, 32, 64); /* 64 MiB are set aside */
    while (n > 0)
        secret_heap_free(taken[--n]);
    free(loose);
}

/* As little as any other secret they get into a core: "dd"; and they are locked: "lo". */
static void locked_and_not_dumped(void **state)
{
    char line[512];
    bool inside = false, dd = false, lo = false;
    (void)state;
    need_heap();
    void *p = secret_heap_alloc(100);
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            dd = strstr(line, " dd") != NULL;
            lo = strstr(line, " lo") != NULL;
        }
    }
    fclose(f);
    secret_heap_free(p);
    assert_true(dd);
#ifdef __SANITIZE_THREAD__
    lo = true; /* it makes mlock do nothing */
#endif
    assert_true(lo || secret_lock_failed());
}

static void *churn(void *arg)
{
    _secret_heap_;
    for (size_t i = 0; i < 20000; i++) {
        unsigned char *p = secret_heap_alloc(i % 300);
        if (!p)
            return arg; /* no such heap */
        memset(p, 1, i % 300);
        secret_heap_free(p);
    }
    return NULL;
}

static void of_many_threads(void **state)
{
    pthread_t threads[4];
    (void)state;
    need_heap();
    for (size_t i = 0; i < array_len(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &threads), 0);
    for (size_t i = 0; i < array_len(threads); i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

/* It is told once, and everything goes on. */
static void not_locked_is_told_once(void **state)
{
    int status = 0;
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* which makes mlock do nothing, and succeed */
#endif
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
            _exit(10);
        struct secret *s = secret_copy("key", 3), *t = secret_new(100000);
        bool first = secret_lock_failed(), again = secret_lock_failed();
        secret_free(s);
        secret_free(t);
        _exit(s && t && first && !again ? 0 : 1);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_locked_is_told_once),
        cmocka_unit_test(scopes_nest),
        cmocka_unit_test(blocks),
        cmocka_unit_test(bounded),
        cmocka_unit_test(locked_and_not_dumped),
        cmocka_unit_test(of_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
