#include "board.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include <crypto/crypto.h>

struct board {
    pthread_mutex_t lock;
    struct board_text *text; /* NULL: none yet */
    char id[37];             /* a coordinator that was started anew has other ids */
};

void board_text_unref(struct board_text *t)
{
    if (!t || __atomic_sub_fetch(&t->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(t->event);
    free(t);
}

int board_new(struct board **ret, struct error *err)
{
    struct board *b = calloc(1, sizeof(*b));
    if (!b)
        return error_no_memory(err);
    pthread_mutex_init(&b->lock, NULL);
    int rc = crypto_uuid(b->id, err);
    if (rc < 0)
        board_free(b);
    else
        *ret = b;
    return rc;
}

void board_free(struct board *b)
{
    if (!b)
        return;
    board_text_unref(b->text);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static int frame(const struct board *b, const char *json, size_t len, struct board_text *t, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(BOARD_DOCUMENT_MAX + 128);
    int rc = buf_addf(&out, err, "id: %.8s-%" PRIu64 "\nevent: state\ndata: ", b->id, t->number);
    t->json_at = out.len;
    t->json_len = len;
    if (rc == 0)
        rc = buf_add(&out, json, len, err);
    if (rc == 0)
        rc = buf_adds(&out, "\n\n", err);
    if (rc < 0)
        return rc;
    t->event_len = out.len;
    t->event = take(out.data);
    return 0;
}

int board_publish(struct board *b, const char *json, size_t len, struct error *err)
{
    if (memchr(json, '\n', len))
        return error_set(err, ERR_INTERNAL, "the page's document is not one line");
    _cleanup_(board_text_unrefp) struct board_text *t = calloc(1, sizeof(*t));
    if (!t)
        return error_no_memory(err);
    t->references = 1;
    t->number = board_number(b) + 1; /* one thread publishes */
    int rc = frame(b, json, len, t, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&b->lock);
    struct board_text *old = b->text;
    b->text = take(t);
    pthread_mutex_unlock(&b->lock);
    board_text_unref(old);
    return 0;
}

struct board_text *board_get(struct board *b, uint64_t after)
{
    pthread_mutex_lock(&b->lock);
    struct board_text *t = b->text && b->text->number > after ? b->text : NULL;
    if (t)
        __atomic_add_fetch(&t->references, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&b->lock);
    return t;
}

uint64_t board_number(struct board *b)
{
    pthread_mutex_lock(&b->lock);
    uint64_t number = b->text ? b->text->number : 0;
    pthread_mutex_unlock(&b->lock);
    return number;
}
