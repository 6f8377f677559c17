#include "internal.h"

void etcd_event_free(struct etcd_event *ev)
{
    if (!ev)
        return;
    kv_free(&ev->kv);
    memset(ev, 0, sizeof(*ev));
}

static size_t size_of(const struct etcd_event *ev)
{
    return sizeof(struct queued_event) + ev->kv.key_len + ev->kv.value_len;
}

void queue_init(struct watch_queue *q)
{
    memset(q, 0, sizeof(*q));
    q->last = &q->first;
}

static void drop_all(struct watch_queue *q)
{
    while (q->first) {
        struct queued_event *e = q->first;
        q->first = e->next;
        etcd_event_free(&e->event);
        free(e);
    }
    q->last = &q->first;
    q->count = q->bytes = 0;
}

void queue_clear(struct watch_queue *q)
{
    drop_all(q);
    q->resync = false;
}

bool queue_empty(const struct watch_queue *q)
{
    return !q->resync && !q->count;
}

void queue_resync(struct watch_queue *q, int64_t revision)
{
    drop_all(q);
    q->resync = true;
    q->resynced = revision;
}

void queue_push(struct watch_queue *q, struct etcd_event *ev)
{
    /* The rest of a revision whose beginning was dropped. */
    if (ev->revision <= q->resynced) {
        etcd_event_free(ev);
        return;
    }
    bool full = q->count >= QUEUE_EVENTS || q->bytes + size_of(ev) > QUEUE_BYTES;
    struct queued_event *e = full ? NULL : malloc(sizeof(*e));
    if (!e) {
        queue_resync(q, ev->revision);
        etcd_event_free(ev);
        return;
    }
    e->next = NULL;
    e->event = *ev;
    memset(ev, 0, sizeof(*ev));
    *q->last = e;
    q->last = &e->next;
    q->count++;
    q->bytes += size_of(&e->event);
}

bool queue_pop(struct watch_queue *q, struct etcd_event *ret)
{
    if (q->resync) {
        q->resync = false;
        *ret = (struct etcd_event){.type = ETCD_EVENT_RESYNC, .revision = q->resynced};
        return true;
    }
    struct queued_event *e = q->first;
    if (!e)
        return false;
    q->first = e->next;
    if (!q->first)
        q->last = &q->first;
    q->count--;
    q->bytes -= size_of(&e->event);
    *ret = e->event;
    free(e);
    return true;
}
