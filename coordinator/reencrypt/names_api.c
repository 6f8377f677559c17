#include "names_api.h"

#include <pthread.h>
#include <stdlib.h>

#include <base/clock.h>

#include "../api_login.h"

#define FIND_MS        10000
#define PAGE_MS        10000
#define TRIES          8 /* of one page, in a row */
#define AGAIN_MAX      3 /* times that the list is begun again */
#define BACKOFF_MS     100
#define BACKOFF_MAX_MS 2000

struct names_api {
    struct job *job;
    struct kube_resource resource;
    pthread_t thread;
    /* the thread's own */
    struct kube *kube[CLUSTER_SERVERS_MAX]; /* opened when they are asked first */
    size_t turn;
    char *next; /* continue token; NULL: the first page */
    unsigned again;
    /* the consumer's own */
    struct kube_page now;
    size_t at;
    bool last; /* `now` is the last page */
    /* between them */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct kube_page ahead; /* under lock; so all below */
    bool has_ahead, ahead_last, stop;
    int rc; /* why there is no more; 0: nothing is wrong */
    struct error err;
};

/* ---------- one page ---------- */

/* The next server in turn that may be asked; where none may, just the next one. */
static size_t next_server(struct job *j, size_t *turn)
{
    size_t count = job_opts(j)->spec.servers_count;
    for (size_t n = 0; n < count; n++) {
        size_t i = (*turn)++ % count;
        if (job_usable(j, i))
            return i;
    }
    return (*turn)++ % count;
}

static int ask(struct names_api *n, size_t server, struct kube_page *ret, struct error *err)
{
    struct kube_options login = api_login(job_opts(n->job), server);
    int rc = n->kube[server] ? 0 : kube_open(&login, &n->kube[server], err);
    return rc < 0
               ? rc
               : kube_list_names(n->kube[server], &n->resource, (int)job_opts(n->job)->config->reencrypt_page,
                                 n->next, PAGE_MS, ret, err);
}

static int fetch(struct names_api *n, struct kube_page *ret, struct error *err)
{
    for (unsigned attempt = 0;; attempt++) {
        struct error why = ERROR_INIT;
        int rc = ask(n, next_server(n->job, &n->turn), ret, &why);
        if (rc == 0)
            return 0;
        if (rc == ERR_COMPACTED && n->next && n->again++ < AGAIN_MAX) {
            free(take(n->next));
            continue;
        }
        if (!error_is_transient(rc) || attempt == TRIES)
            return error_set(err, rc, "%s", why.text);
        if (job_wait(n->job, backoff_ms(attempt, BACKOFF_MS, BACKOFF_MAX_MS)))
            return error_set(err, ERR_CANCELED, "listing names was stopped");
    }
}

/* ---------- the thread ---------- */

/* Waits until the page ahead was taken. False: it is to end. */
static bool wait_taken(struct names_api *n)
{
    pthread_mutex_lock(&n->lock);
    while (n->has_ahead && !n->stop)
        pthread_cond_wait(&n->moved, &n->lock);
    bool go_on = !n->stop;
    pthread_mutex_unlock(&n->lock);
    return go_on;
}

static void hand_over(struct names_api *n, struct kube_page *page, int rc, const struct error *err)
{
    pthread_mutex_lock(&n->lock);
    if (rc < 0)
        n->rc = error_set(&n->err, rc, "%s", err->text);
    n->ahead = *page;
    n->ahead_last = rc == 0 && !n->next;
    n->has_ahead = rc == 0;
    pthread_mutex_unlock(&n->lock);
}

static void *run(void *arg)
{
    struct names_api *n = arg;
    bool more = true;
    while (more && wait_taken(n)) {
        struct kube_page page = {0};
        struct error err = ERROR_INIT;
        int rc = fetch(n, &page, &err);
        free(n->next);
        n->next = take(page.next);
        more = rc == 0 && n->next;
        hand_over(n, &page, rc, &err);
    }
    return NULL;
}

/* ---------- the consumer ---------- */

int names_api_open(struct job *j, const struct kube_resource *resource, struct names_api **ret,
                   struct error *err)
{
    struct names_api *n = calloc(1, sizeof(*n));
    if (!n)
        return error_no_memory(err);
    n->job = j;
    n->resource = *resource;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->moved, NULL);
    int e = pthread_create(&n->thread, NULL, run, n);
    if (e != 0) {
        pthread_cond_destroy(&n->moved);
        pthread_mutex_destroy(&n->lock);
        free(n);
        return error_errno(err, e, "starting a thread that lists names");
    }
    *ret = n;
    return 0;
}

/* 1: a page was taken over; 0: none is there yet. */
static int take_page(struct names_api *n, struct error *err)
{
    pthread_mutex_lock(&n->lock);
    int rc = n->has_ahead ? 1 : n->rc < 0 ? error_set(err, n->rc, "%s", n->err.text) : 0;
    if (rc == 1) {
        kube_page_free(&n->now);
        n->now = n->ahead;
        n->ahead = (struct kube_page){0};
        n->at = 0;
        n->last = n->ahead_last;
        n->has_ahead = false;
        pthread_cond_signal(&n->moved);
    }
    pthread_mutex_unlock(&n->lock);
    return rc;
}

int names_api_next(struct names_api *n, struct kube_object *ret, struct error *err)
{
    if (n->at == n->now.count) {
        if (n->last)
            return KUBE_NEXT_END;
        int rc = take_page(n, err);
        if (rc < 0)
            return rc;
        if (n->at == n->now.count) /* no page yet, or an empty one */
            return n->last ? KUBE_NEXT_END : KUBE_NEXT_LATER;
    }
    *ret = n->now.objects[n->at++];
    return KUBE_NEXT_OBJECT;
}

void names_api_close(struct names_api *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stop = true;
    pthread_cond_signal(&n->moved);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    for (size_t i = 0; i < CLUSTER_SERVERS_MAX; i++)
        kube_close(n->kube[i]);
    kube_page_free(&n->now);
    kube_page_free(&n->ahead);
    free(n->next);
    pthread_cond_destroy(&n->moved);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

/* ---------- how many ---------- */

static int count_through(struct job *j, size_t server, const char *resource, int64_t *ret, struct error *err)
{
    struct kube_options login = api_login(job_opts(j), server);
    _cleanup_(kube_closep) struct kube *k = NULL;
    struct kube_resource r = {0};
    struct kube_page page = {0};
    int rc = kube_open(&login, &k, err);
    if (rc == 0)
        rc = kube_find_resource(k, resource, FIND_MS, &r, err);
    if (rc == 0)
        rc = kube_list_names(k, &r, 1, NULL, PAGE_MS, &page, err);
    if (rc == 0)
        *ret = (int64_t)page.count + page.remaining;
    kube_page_free(&page);
    return rc;
}

int names_api_count(struct job *j, const char *resource, int64_t *ret, struct error *err)
{
    struct error why = ERROR_INIT;
    size_t turn = 0;
    int rc = error_set(&why, ERR_UNAVAILABLE, "there is no server");
    for (size_t i = 0; rc < 0 && i < job_opts(j)->spec.servers_count && !job_canceled(j); i++)
        rc = count_through(j, next_server(j, &turn), resource, ret, &why);
    return rc < 0 ? error_set(err, rc, "%s", why.text) : 0;
}
