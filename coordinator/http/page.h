/* The coordinator's page as a whole: what the state store holds, put on a board whenever it changes, and two
 * ways to it (loopback, TLS). It lives beside the leading and standing by, and never in their way: what
 * cannot be opened is logged once and tried again. */
#ifndef COORDINATOR_HTTP_PAGE_H
#define COORDINATOR_HTTP_PAGE_H

#include <config/config.h>
#include <store/store.h>

#include "../api/feed.h"

struct page;

/* Is there any way in, by the configuration? */
bool page_is_wanted(const struct config *config);

/* Everything is borrowed. Starts a thread that opens what the configuration says, and keeps trying.
 * ERR_NO_MEMORY, ERR_IO: there is not even that thread. */
int page_new(const struct config *config, struct store *store, struct feed *feed, struct page **ret,
             struct error *err) _must_check_;

/* Sends every caller away. The feed was stopped before. NULL is safe. */
void page_free(struct page *p);

#endif
