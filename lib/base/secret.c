#include <base/secret.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "secret_lock.h"

/* The struct stands in front of its bytes in the same mapping, so that one munmap frees both. */
struct mapping {
    struct secret secret;
    size_t size;
    uint8_t data[];
};

/* A few mappings that were wiped are kept: setting one up and taking it down takes four system calls, which
 * is more than opening a value of a kilobyte does. */
#ifdef __SANITIZE_ADDRESS__
#define KEEPS_SPARES false /* whoever uses a secret after its end is to be found */
#else
#define KEEPS_SPARES true
#endif
#define SPARES_MAX     8
#define SPARE_SIZE_MAX (16u * 1024)
static struct {
    pthread_mutex_t lock;
    struct mapping *kept[SPARES_MAX];
    size_t count;
} spares = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct mapping *spare_take(size_t size)
{
    struct mapping *m = NULL;
    if (size > SPARE_SIZE_MAX)
        return NULL;
    pthread_mutex_lock(&spares.lock);
    for (size_t i = spares.count; i-- > 0 && !m;)
        if (spares.kept[i]->size == size) {
            m = spares.kept[i];
            spares.kept[i] = spares.kept[--spares.count];
        }
    pthread_mutex_unlock(&spares.lock);
    return m;
}

/* False: there are enough, or it is too large to keep. */
static bool spare_keep(struct mapping *m)
{
    bool kept = false;
    if (!KEEPS_SPARES || m->size > SPARE_SIZE_MAX)
        return false;
    pthread_mutex_lock(&spares.lock);
    if (spares.count < SPARES_MAX) {
        spares.kept[spares.count++] = m;
        kept = true;
    }
    pthread_mutex_unlock(&spares.lock);
    return kept;
}

static atomic_bool lock_refused, lock_told;

void secret_lock_pages(void *at, size_t size)
{
    if (mlock(at, size) < 0)
        atomic_store(&lock_refused, true);
}

bool secret_lock_failed(void)
{
    return atomic_load(&lock_refused) && !atomic_exchange(&lock_told, true);
}

void secret_guard_process(void)
{
    struct rlimit core = {0, RLIM_INFINITY};
    (void)getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = 0; /* the hard limit stays: children may have limits of their own */
    (void)setrlimit(RLIMIT_CORE, &core);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static struct mapping *map(size_t size)
{
    struct mapping *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    secret_lock_pages(m, size);
    (void)madvise(m, size, MADV_DONTDUMP);
    return m;
}

struct secret *secret_new(size_t cap)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (cap > SIZE_MAX / 2)
        return NULL;
    size_t size = (sizeof(struct mapping) + cap + 1 + page - 1) / page * page;
    struct mapping *m = spare_take(size);
    if (!m)
        m = map(size);
    if (!m)
        return NULL;
    m->size = size;
    m->secret.data = m->data;
    m->secret.cap = cap;
    return &m->secret;
}

struct secret *secret_copy(const void *data, size_t len)
{
    struct secret *s = secret_new(len);
    if (!s)
        return NULL;
    if (len)
        memcpy(s->data, data, len);
    s->len = len;
    return s;
}

int secret_add(struct secret *s, const void *data, size_t len, struct error *err)
{
    if (len > s->cap - s->len)
        return error_set(err, ERR_TOO_LARGE, "a secret of more than %zu bytes", s->cap);
    if (len)
        memcpy(s->data + s->len, data, len);
    s->len += len;
    return 0;
}

void secret_free(struct secret *s)
{
    if (!s)
        return;
    struct mapping *m = (struct mapping *)s;
    size_t size = m->size;
    explicit_bzero(m, size);
    m->size = size;
    if (!spare_keep(m))
        munmap(m, size);
}

int mem_equal_ct(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    unsigned diff = 0;
    for (size_t i = 0; i < len; i++)
        diff |= (unsigned)(x[i] ^ y[i]);
    return diff == 0;
}

int secret_equal(const struct secret *a, const struct secret *b)
{
    return a->len == b->len && mem_equal_ct(a->data, b->data, a->len);
}
