#include "fail.h"
#include "openssl_memory.h"

#include <execinfo.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <base/secret.h>

#define BLOCKS_MAX      (1u << 17) /* in use at a time; a power of two */
#define FRAMES_MAX      16
#define ALLOCATIONS_MAX 20000 /* of one call */
#define KEEPS_MAX       4     /* so often OpenSSL may keep something of a call for the next ones */

void *__real_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
struct secret *__real_secret_new(size_t cap);
struct secret *__real_secret_copy(const void *data, size_t len);
void __real_secret_free(struct secret *s);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t max);
struct secret *__wrap_secret_new(size_t cap);
struct secret *__wrap_secret_copy(const void *data, size_t len);
void __wrap_secret_free(struct secret *s);

struct block {
    void *p;
    size_t number; /* which allocation of the call it was */
    int frames_count;
    void *frames[FRAMES_MAX];
};

/* Only the thread that runs the cases is looked at: threads of the libraries go on meanwhile. */
static _Thread_local bool watched;
static size_t count, failing; /* allocations since a call began; the one that fails, 0: none */
static bool failed;
static struct block blocks[BLOCKS_MAX], culprit;
static size_t live;
static bool tracing;

static void trace(struct block *b)
{
    if (tracing)
        b->frames_count = backtrace(b->frames, FRAMES_MAX);
}

static size_t place_of(const void *p)
{
    size_t i = ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 40 & (BLOCKS_MAX - 1);
    while (blocks[i].p && blocks[i].p != p)
        i = (i + 1) & (BLOCKS_MAX - 1);
    return i;
}

static void *note(void *p)
{
    if (!p || !watched)
        return p;
    if (live == BLOCKS_MAX / 2)
        abort();
    struct block *b = &blocks[place_of(p)];
    *b = (struct block){.p = p, .number = count};
    trace(b);
    live++;
    return p;
}

/* Those behind it in its run move up, as with linear probing nothing may be empty in between. */
static void forget(const void *p)
{
    size_t i = place_of(p);
    if (!p || !watched || !blocks[i].p)
        return;
    blocks[i].p = NULL;
    live--;
    for (i = (i + 1) & (BLOCKS_MAX - 1); blocks[i].p; i = (i + 1) & (BLOCKS_MAX - 1)) {
        struct block b = blocks[i];
        blocks[i].p = NULL;
        blocks[place_of(b.p)] = b;
    }
}

static bool is_out(void)
{
    if (!watched || ++count != failing)
        return false;
    failed = true;
    culprit.number = count;
    trace(&culprit);
    return true;
}

void *__wrap_malloc(size_t size)
{
    return is_out() ? NULL : note(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    size_t all;
    if (__builtin_mul_overflow(n, size, &all) || is_out())
        return NULL;
    void *p = note(__real_malloc(all));
    if (p)
        memset(p, 0, all);
    return p;
}

void *__wrap_realloc(void *p, size_t size)
{
    if (is_out())
        return NULL;
    forget(p);
    return note(__real_realloc(p, size));
}

void __wrap_free(void *p)
{
    forget(p);
    __real_free(p);
}

char *__wrap_strndup(const char *s, size_t max)
{
    size_t len = strnlen(s, max);
    char *copy = __wrap_malloc(len + 1);
    if (copy) {
        memcpy(copy, s, len);
        copy[len] = 0;
    }
    return copy;
}

char *__wrap_strdup(const char *s)
{
    return __wrap_strndup(s, strlen(s));
}

struct secret *__wrap_secret_new(size_t cap)
{
    return is_out() ? NULL : note(__real_secret_new(cap));
}

struct secret *__wrap_secret_copy(const void *data, size_t len)
{
    return is_out() ? NULL : note(__real_secret_copy(data, len));
}

void __wrap_secret_free(struct secret *s)
{
    forget(s);
    __real_secret_free(s);
}

static void show(const char *what, const struct block *b)
{
    fprintf(stderr, "%s: allocation %zu\n", what, b->number);
    fflush(stderr);
    if (tracing)
        backtrace_symbols_fd(b->frames, b->frames_count, 2);
}

static _Noreturn void give_up(const struct alloc_case *c, const char *what, int rc, const struct error *err)
{
    fprintf(stderr, "%s, allocation %zu fails: %s (%d, \"%s\")\n", c->name, failing, what, rc, err->text);
    show("the one that failed", &culprit);
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        if (blocks[i].p && blocks[i].number > 0)
            show("in use", &blocks[i]);
    exit(1);
}

/* Whatever there is from before has number 0. */
static void begin(size_t n)
{
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        blocks[i].number = 0;
    count = 0;
    failing = n;
    failed = false;
}

static const char *wrong(const struct alloc_case *c, int rc, const struct error *err)
{
    if (!failed)
        return rc == 0 ? NULL : "an error where no allocation failed";
    if (rc == 0)
        return c->openssl ? NULL : "nobody noticed";
    if (rc != err->code || !err->text[0])
        return "the error is not told";
    return rc == ERR_NO_MEMORY || c->openssl ? NULL : "another error than that memory is out";
}

static int call(const struct alloc_case *c, size_t n, struct error *err)
{
    int rc;
    begin(n);
    watched = true;
    rc = c->run(err);
    openssl_memory_forget_errors();
    watched = false;
    return rc;
}

/* True when the n-th allocation was made, and failed. */
static bool run_once(const struct alloc_case *c, size_t n)
{
    const char *why = NULL;
    size_t before;
    for (int round = 0; round == 0 || (live != before && c->openssl && round < KEEPS_MAX); round++) {
        struct error err = ERROR_INIT;
        before = live;
        int rc = call(c, n, &err);
        why = wrong(c, rc, &err);
        if (!why && live != before && (!c->openssl || round == KEEPS_MAX - 1))
            why = "not all is freed";
        if (why)
            give_up(c, why, rc, &err);
    }
    return failed;
}

void alloc_case_run(const struct alloc_case *c)
{
    struct error err = ERROR_INIT;
    size_t n = 1;
    for (int i = 0; i < 2; i++) {
        int rc = call(c, 0, &err);
        if (rc != 0)
            give_up(c, "it does not even go with all memory there is", rc, &err);
    }
    run_once(c, 0);
    while (n <= ALLOCATIONS_MAX && run_once(c, n))
        n++;
    if (n == 1 || n > ALLOCATIONS_MAX)
        give_up(c, n == 1 ? "nothing is allocated" : "it does not end", 0, &err);
    printf("%s: %zu allocations\n", c->name, n - 1);
}

static void run_case(void **state)
{
    alloc_case_run(*state);
}

void alloc_install(void)
{
    tracing = getenv("ALLOC_TRACE") != NULL;
    if (!openssl_memory_install())
        abort();
}

int alloc_cases_main(const struct alloc_case *cases, size_t cases_count)
{
    struct CMUnitTest tests[64] = {{0}};
    if (cases_count > sizeof(tests) / sizeof(tests[0]))
        abort();
    for (size_t i = 0; i < cases_count; i++)
        tests[i] = (struct CMUnitTest){
            .name = cases[i].name, .test_func = run_case, .initial_state = (void *)(uintptr_t)&cases[i]};
    return _cmocka_run_group_tests("alloc", tests, cases_count, NULL, NULL);
}
