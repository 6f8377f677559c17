#include "making.h"

uint8_t making_bundle(const struct model_state *s, unsigned gen)
{
    return gen < MODEL_GENERATIONS ? s->record.bundles[gen].config : 0;
}

unsigned making_first_key(uint8_t config)
{
    for (unsigned k = 1; k <= MODEL_KEYS; k++)
        if (reads(config) & KEY_BIT(k))
            return k;
    return 0;
}

static uint8_t make_append(struct making *m)
{
    unsigned key = m->s->record.keys + 1u;
    m->r->new_key = (uint8_t)key;
    m->r->new_keys++;
    return (uint8_t)(m->present | KEY_BIT(key));
}

static uint8_t make_promote(struct making *m)
{
    uint8_t next = CONFIG(m->r->new_key, reads(m->present));
    m->r->old_key = m->r->write_key;
    m->r->new_key = 0;
    return next;
}

static uint8_t make_drop(struct making *m)
{
    unsigned w = writes(m->present);
    m->r->old_key = 0;
    return CONFIG(w, KEY_BIT(w) | (reads(m->present) & PLAIN));
}

static uint8_t make_identity(struct making *m)
{
    return m->present | PLAIN;
}

static uint8_t make_switch(struct making *m)
{
    unsigned w = m->r->kind == OP_DISABLE ? 0 : making_first_key(m->present);
    return CONFIG(w, reads(m->present) | (w ? 0 : PLAIN));
}

static uint8_t make_restore(struct making *m)
{
    return m->present | KEY_BIT(m->r->key);
}

static uint8_t make_revert(struct making *m)
{
    uint8_t base = making_bundle(m->s, m->r->base);
    uint8_t all = reads(base) | reads(making_bundle(m->s, m->r->issued));
    if (m->r->old_key) {
        m->r->new_key = m->r->write_key;
        m->r->old_key = 0;
    }
    return base ? CONFIG(writes(base), all) : 0;
}

static uint8_t make_return(struct making *m)
{
    m->r->new_key = m->r->old_key = 0;
    return making_bundle(m->s, m->r->base);
}

static uint8_t make_bring_back(struct making *m)
{
    return making_bundle(m->s, m->r->from);
}

static const struct {
    enum phase phase;
    uint8_t (*make)(struct making *m);
} makers[] = {
    {PHASE_APPEND, make_append},     {PHASE_PROMOTE, make_promote}, {PHASE_DROP, make_drop},
    {PHASE_IDENTITY, make_identity}, {PHASE_SWITCH, make_switch},   {PHASE_RESTORE, make_restore},
    {PHASE_REVERT, make_revert},     {PHASE_RETURN, make_return},   {PHASE_BRING_BACK, make_bring_back},
};

void making_describe(uint8_t config, struct model_rotation *r)
{
    r->keys = (uint8_t)__builtin_popcount(reads(config) & ~PLAIN);
    r->reads_plain = (reads(config) & PLAIN) != 0;
    r->write_key = (uint8_t)writes(config);
}

uint8_t making_next(struct making *m)
{
    uint8_t next = 0;
    for (size_t i = 0; m->present && i < sizeof(makers) / sizeof(makers[0]); i++)
        if (makers[i].phase == (enum phase)m->r->phase)
            next = makers[i].make(m);
    if (next)
        making_describe(next, m->r);
    return next;
}
