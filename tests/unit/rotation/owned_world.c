#include "owned_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>

void owned_open_roles(struct world *w, size_t servers, const enum server_role *roles)
{
    world_init(w, servers);
    w->spec.owned = w->s->spec.owned = true;
    for (size_t i = 0; roles && i < servers; i++)
        w->spec.servers[i].role = w->s->spec.servers[i].role = roles[i];
    world_run(w);
    assert_int_equal(w->s->rotation.generation, 1);
    assert_int_equal(w->s->rotation.op.state, OP_STATE_FINISHED);
    w->log_count = 0;
}

void owned_open(struct world *w, size_t servers)
{
    owned_open_roles(w, servers, NULL);
}

/* The log's lines from the one that begins with `first`, one by one. */
void owned_assert_log(const struct world *w, const char *const *lines, size_t count)
{
    size_t at = 0;
    while (at < w->log_count && strcmp(w->log[at], lines[0]) != 0)
        at++;
    for (size_t i = 0; i < count; i++) {
        if (at + i >= w->log_count)
            fail_msg("the log ends before '%s'", lines[i]);
        assert_string_equal(w->log[at + i], lines[i]);
    }
}

struct snapshot_server *owned_server(struct world *w, size_t i)
{
    return &w->s->servers[i];
}

void owned_set_file(struct world *w, size_t i, const char *hash)
{
    text_copy(owned_server(w, i)->report.hash, CLUSTER_HASH_MAX, hash);
    text_copy(owned_server(w, i)->report.config_id, CLUSTER_HASH_MAX, hash);
}

void owned_set_loaded(struct world *w, size_t i, const char *hash)
{
    text_copy(owned_server(w, i)->report.loaded_hash, CLUSTER_HASH_MAX, hash);
}
