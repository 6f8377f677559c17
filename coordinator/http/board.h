/* The newest state document, for whoever asks: one publishes, many read. Nobody copies it. */
#ifndef COORDINATOR_HTTP_BOARD_H
#define COORDINATOR_HTTP_BOARD_H

#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>

#define BOARD_DOCUMENT_MAX ((size_t)4 * 1024 * 1024)

/* One document, framed as a server-sent event once for all streams; shared, never changed. */
struct board_text {
    unsigned references; /* atomic */
    uint64_t number;     /* rises with each one */
    char *event;         /* "id: …\nevent: state\ndata: {…}\n\n" */
    size_t event_len;
    size_t json_at, json_len; /* the document within it */
};
void board_text_unref(struct board_text *t); /* NULL is safe */
DEFINE_CLEANUP(struct board_text *, board_text_unref);

/* Caller frees. */
struct board;
int board_new(struct board **ret, struct error *err) _must_check_;
void board_free(struct board *b); /* NULL is safe */
DEFINE_CLEANUP(struct board *, board_free);

/* Puts up a document: one line of JSON without its break. Copied. */
int board_publish(struct board *b, const char *json, size_t len, struct error *err) _must_check_;

/* The newest document where it is newer than `after`, else NULL. Caller unrefs. */
struct board_text *board_get(struct board *b, uint64_t after);

/* The number of the newest document; 0: none yet. */
uint64_t board_number(struct board *b);

#endif
