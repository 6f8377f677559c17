/* A world whose servers make their encryption configs themselves. */
#ifndef TESTS_ROTATION_OWNED_WORLD_H
#define TESTS_ROTATION_OWNED_WORLD_H

#include "world.h"

/* Adopted, with an empty log. `roles`: one a server, NULL: all are alike. */
void owned_open_roles(struct world *w, size_t servers, const enum server_role *roles);
void owned_open(struct world *w, size_t servers);

/* The log's lines from the one that begins with `first`, one by one. */
void owned_assert_log(const struct world *w, const char *const *lines, size_t count);

/* What server i reports. */
struct snapshot_server *owned_server(struct world *w, size_t i);
void owned_set_file(struct world *w, size_t i, const char *hash);
void owned_set_loaded(struct world *w, size_t i, const char *hash);

#endif
