#include "serve.h"

#include <signal.h>

int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? error_errno(err, rc, "cannot start a thread") : 0;
}

static struct job *next_locked(struct pool *p)
{
    p->idle++;
    while (!p->first && !p->stopping)
        pthread_cond_wait(&p->given, &p->lock);
    p->idle--;
    struct job *j = p->first;
    if (!j)
        return NULL;
    p->first = j->next;
    if (!p->first)
        p->last = &p->first;
    p->waiting--;
    return j;
}

static void *work(void *arg)
{
    struct pool *p = arg;
    pthread_mutex_lock(&p->lock);
    for (struct job *j; (j = next_locked(p));) {
        pthread_mutex_unlock(&p->lock);
        j->run(j);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int pool_init(struct pool *p, unsigned max, struct error *err)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->given, NULL);
    p->last = &p->first;
    p->threads = calloc(max, sizeof(p->threads[0]));
    if (!p->threads)
        return error_no_memory(err);
    p->max = max;
    return 0;
}

bool pool_give(struct pool *p, struct job *j)
{
    pthread_mutex_lock(&p->lock);
    if (p->waiting >= p->idle && p->count < p->max && thread_start(&p->threads[p->count], work, p, NULL) == 0)
        p->count++;
    bool given = p->count > 0;
    if (given) {
        j->next = NULL;
        *p->last = j;
        p->last = &j->next;
        p->waiting++;
        pthread_cond_signal(&p->given);
    }
    pthread_mutex_unlock(&p->lock);
    return given;
}

void pool_stop(struct pool *p)
{
    if (!p->last)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->given);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
    free(p->threads);
    pthread_cond_destroy(&p->given);
    pthread_mutex_destroy(&p->lock);
}
