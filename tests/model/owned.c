#include "owned.h"

#include <string.h>

#include <agent/k3s.h>

#include "agent_model.h"
#include "jobs.h"

/* ---------- configs ---------- */

static const char *const words[] = {[CALL_NONE] = "",         [CALL_PREPARE] = "prepare",
                                    [CALL_ROTATE] = "rotate", [CALL_REENCRYPT] = "reencrypt",
                                    [CALL_ENABLE] = "enable", [CALL_DISABLE] = "disable"};

unsigned owned_call(const char *word)
{
    for (unsigned i = 1; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return CALL_NONE;
}

static unsigned newest_key(uint8_t config)
{
    for (unsigned k = MODEL_KEYS; k > 0; k--)
        if (reads(config) & KEY_BIT(k))
            return k;
    return 0;
}

/* The one that writes stands first; a new one is appended. So the oldest of the others stands last, and when
 * one was just prepared, that one. */
unsigned owned_last_key(uint8_t config)
{
    for (unsigned k = 1; k <= MODEL_KEYS; k++)
        if ((reads(config) & KEY_BIT(k)) && k != writes(config))
            return k;
    return 0;
}

uint8_t owned_next(uint8_t config, unsigned call, unsigned new_key)
{
    unsigned last = owned_last_key(config), first = 0;
    switch (call) {
    case CALL_PREPARE:
        return new_key <= MODEL_KEYS ? (uint8_t)(config | KEY_BIT(new_key)) : 0;
    case CALL_ROTATE:
        return CONFIG(newest_key(config), reads(config));
    case CALL_REENCRYPT:
        return last ? (uint8_t)(config & ~KEY_BIT(last)) : 0;
    case CALL_ENABLE:
        while (first++ < MODEL_KEYS && !(reads(config) & KEY_BIT(first)))
            ;
        return first <= MODEL_KEYS ? CONFIG(first, reads(config)) : 0;
    case CALL_DISABLE:
        return CONFIG(0, reads(config) | PLAIN);
    default:
        return 0;
    }
}

bool owned_is_made(uint8_t before, uint8_t after, unsigned call)
{
    unsigned key = newest_key(after);
    if (call == CALL_PREPARE && (reads(before) & KEY_BIT(key)))
        return false;
    return after && after == owned_next(before, call, key);
}

/* ---------- a process ---------- */

void owned_stops(struct model_server *m)
{
    m->making = CALL_NONE;
    m->made = MADE_NOTHING;
}

const char *owned_starts(struct model_state *s, size_t i, bool yields, bool stale)
{
    struct model_server *m = &s->servers[i];
    const struct config_file datastore = {s->record.datastore.config, 0};
    const char *broken = NULL;
    bool other = m->file.config != datastore.config || m->file.foreign;
    owned_stops(m);
    m->bad = m->stopped = 0;
    m->known = 1;
    if (m->newer && !yields) {
        m->api = API_DOWN;
        return NULL;
    }
    if (!stale) {
        if (other)
            broken = agent_check_leaving(s, m->file, datastore.config);
        m->file = datastore;
        m->own = datastore.config;
        m->own_stage = s->record.datastore.stage;
        m->newer = 0;
        m->known = !other; /* it is known once the agent has seen it come ready */
    }
    m->loaded = m->file;
    m->api = API_STARTING;
    return broken;
}

bool owned_differs(const struct model_server *m)
{
    bool same = m->own == m->file.config && !m->file.foreign;
    return !same && !m->making;
}

/* ---------- what it makes ---------- */

static enum stage stage_after(const struct model_server *m, unsigned call)
{
    static const enum stage stages[] = {[CALL_PREPARE] = STAGE_PREPARE,
                                        [CALL_ROTATE] = STAGE_ROTATE,
                                        [CALL_REENCRYPT] = STAGE_REENCRYPT_FINISHED};
    return call <= CALL_REENCRYPT ? stages[call] : (enum stage)m->own_stage;
}

static void begin_making(const struct model_state *s, size_t i, struct steps *out, uint8_t next, bool other)
{
    struct step *t = world_begin(
        s, out, other ? "the server makes something else" : "the server makes its next config", i);
    struct model_server *m = &t->next.servers[i];
    if (m->order.call == CALL_PREPARE && (reads(next) & ~reads(m->file.config)))
        t->next.record.keys++;
    if (!other) /* that one is the server's own fault, and goes no further */
        t->broken = agent_check_leaving(&t->next, m->file, next);
    m->making = m->order.call;
    m->made = MADE_FILE;
    m->asked = 1;
    m->file = (struct config_file){next, 0};
    m->newer = 1;
    t->next.record.wrote |= KEY_BIT(writes(next));
    world_keep(s, out, other);
}

/* Any of what it could do wrong: the new key writes at once, or another one is dropped. */
static uint8_t something_else(uint8_t next, unsigned call)
{
    if (call == CALL_PREPARE)
        return CONFIG(newest_key(next), reads(next));
    unsigned last = owned_last_key(next);
    return last ? (uint8_t)(next & ~KEY_BIT(last)) : 0;
}

static void command_ends(const struct model_state *s, size_t i, struct steps *out, const char *what,
                         bool failed, bool fault)
{
    struct model_server *m = &world_begin(s, out, what, i)->next.servers[i];
    m->call = m->asked = 0;
    if (m->alive && m->restart == RESTART_RUNNING)
        m->restart = failed ? RESTART_FAILED : RESTART_OK;
    world_keep(s, out, fault);
}

/* It refuses while its file is not the one that it has recorded. */
static void asked_to_make(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    uint8_t next = owned_next(m->file.config, m->order.call, s->record.keys + 1u);
    if (m->making)
        return;
    if (!next || owned_differs(m)) {
        command_ends(s, i, out, "the call ends: the server refuses", true, false);
        return;
    }
    begin_making(s, i, out, next, false);
    uint8_t other = something_else(next, m->order.call);
    if (other && other != next && world_may(s, FAULT_MADE))
        begin_making(s, i, out, other, true);
}

/* The disk first, then its own record (the node's annotation), then the datastore. */
static void making_steps(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    if (m->made == MADE_FILE) {
        struct model_server *n = &world_begin(s, out, "the server records its stage", i)->next.servers[i];
        n->own = n->file.config;
        n->own_stage = (uint8_t)stage_after(n, n->making);
        n->made = MADE_RECORD;
        world_keep(s, out, false);
    }
    if (m->made != MADE_RECORD)
        return;
    struct model_state *n = &world_begin(s, out, "the server saves it in its datastore", i)->next;
    n->record.datastore.config = m->file.config;
    n->record.datastore.stage = m->own_stage;
    n->servers[i].newer = 0;
    owned_stops(&n->servers[i]);
    world_keep(s, out, false);
    if (world_may(s, FAULT_SAVE)) {
        owned_stops(&world_begin(s, out, "the server cannot save it in its datastore", i)->next.servers[i]);
        world_keep(s, out, true);
    }
}

static void command_looks(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    const struct k3s_status status = {
        .stage = (enum stage)m->own_stage, .enabled = writes(m->file.config) != 0, .hashes_match = true};
    switch (k3s_next(words[m->order.call], &status)) {
    case K3S_DONE:
        command_ends(s, i, out, "the call ends: it is done", false, false);
        return;
    case K3S_PUT:
        asked_to_make(s, i, out);
        return;
    case K3S_WAIT:
        return;
    case K3S_WRONG:
        command_ends(s, i, out, "the call ends: the server is at another stage", true, false);
        return;
    }
}

static void command_steps(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    if (!m->call)
        return;
    if (m->api == API_DOWN && (m->newer || !m->file.config))
        command_ends(s, i, out, "the call ends: the server is silent", true, false);
    if (m->api != API_DOWN && m->asked && !m->making) {
        world_begin(s, out, "the server answers", i)->next.servers[i].asked = 0;
        world_keep(s, out, false);
    }
    if (m->api != API_DOWN && !m->asked)
        command_looks(s, i, out);
    if (world_may(s, FAULT_CALL))
        command_ends(s, i, out, "the call ends and says that it failed", true, true);
}

/* As K3s's log says: the file that is newer than the datastore's is taken away. */
static void mended_by_hand(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    if (m->api != API_DOWN || !m->newer || m->cmd)
        return;
    struct step *t = world_begin(s, out, "the operator lets the datastore's config replace the file", i);
    t->broken = owned_starts(&t->next, i, true, false);
    world_keep(s, out, false);
}

void owned_steps(const struct model_state *s, size_t i, struct steps *out)
{
    if (!model.scenario->owned)
        return;
    command_steps(s, i, out);
    making_steps(s, i, out);
    mended_by_hand(s, i, out);
}
