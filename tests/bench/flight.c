#include "bench.h"

#include <pthread.h>

#define DEADLINE_MS 10000

struct flight {
    pthread_mutex_t lock;
    pthread_cond_t change;
    size_t window, out; /* under lock, so all below */
    int64_t done;
    int code;
    struct error err;
};

/* What one transaction carries to its answer. */
struct load {
    struct flight *flight;
    int64_t puts;
};

int bench_flight_new(size_t window, struct flight **ret, struct error *err)
{
    struct flight *f = calloc(1, sizeof(*f));
    if (!f)
        return error_no_memory(err);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->change, NULL);
    f->window = window > 0 ? window : 1;
    *ret = f;
    return 0;
}

static void landed(void *arg, int code, int64_t revision, const struct error *err)
{
    struct load *load = arg;
    struct flight *f = load->flight;
    (void)revision;
    pthread_mutex_lock(&f->lock);
    f->out--;
    if (code == 0)
        f->done += load->puts;
    else if (f->code == 0) {
        f->code = code;
        f->err = *err;
    }
    pthread_cond_signal(&f->change);
    pthread_mutex_unlock(&f->lock);
    free(load);
}

static int enter(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    while (f->out >= f->window)
        pthread_cond_wait(&f->change, &f->lock);
    int code = f->code;
    f->out += code == 0;
    pthread_mutex_unlock(&f->lock);
    return code;
}

static void leave(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    f->out--;
    pthread_mutex_unlock(&f->lock);
}

int bench_flight_send(struct flight *f, struct etcd_txn *t, int64_t puts, struct error *err)
{
    struct load *load = malloc(sizeof(*load));
    int rc = load ? enter(f) : error_no_memory(err);
    if (rc < 0) {
        free(load);
        etcd_txn_free(t);
        return rc;
    }
    *load = (struct load){f, puts};
    rc = etcd_txn_start(t, DEADLINE_MS, landed, load, err);
    etcd_txn_free(t);
    if (rc < 0) {
        leave(f);
        free(load);
    }
    return rc;
}

int bench_flight_end(struct flight *f, int64_t *ret_done, struct error *err)
{
    pthread_mutex_lock(&f->lock);
    while (f->out > 0)
        pthread_cond_wait(&f->change, &f->lock);
    int rc = f->code;
    if (rc < 0 && err)
        *err = f->err;
    *ret_done = f->done;
    pthread_mutex_unlock(&f->lock);
    pthread_cond_destroy(&f->change);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return rc;
}
