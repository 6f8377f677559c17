#include "explore.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "expand.h"
#include "intern.h"
#include "world.h"

#define PARTS     (MODEL_SERVERS + 3)
#define FAULT_BIT (1u << 31)
#define IDS       64 /* more than ids of orders in one state and the step from it */

struct search {
    struct intern servers, records, busies, pendings, states;
    uint32_t *parents;
    uint32_t *edges; /* successors of state 0, then of state 1 …; FAULT_BIT marks what need not happen */
    size_t *edge_ends;
    size_t edges_count, edges_capacity, parents_capacity;
    uint32_t worst; /* the state whose step broke something */
    uint32_t worst_next;
    struct explored *result;
};

static void *need(void *p)
{
    if (!p) {
        fputs("model: no memory\n", stderr);
        exit(3);
    }
    return p;
}

/* ---------- a state in few numbers ---------- */

/* Ids of orders matter by rank alone. */
static void visit_ids(struct model_state *s, void (*visit)(uint8_t *id, void *arg), void *arg)
{
    visit(&s->record.rotation.next_order, arg);
    for (size_t i = 0; i < model.scenario->servers; i++) {
        struct model_server *m = &s->servers[i];
        visit(&m->order.id, arg);
        visit(&m->given.id, arg);
        visit(&m->refused, arg);
        visit(&m->forgotten, arg);
        visit(&m->report.order_id, arg);
    }
    for (size_t c = 0; c < 2; c++) {
        visit(&s->pending[c].order.id, arg);
        visit(&s->pending[c].rotation.next_order, arg);
    }
}

static void mark(uint8_t *id, void *arg)
{
    ((uint8_t *)arg)[*id % IDS] = 1;
}

static void rename_id(uint8_t *id, void *arg)
{
    *id = ((uint8_t *)arg)[*id % IDS];
}

static void canonical(struct model_state *s)
{
    uint8_t map[IDS] = {0};
    visit_ids(s, mark, map);
    uint8_t rank = 0;
    map[0] = 0;
    for (size_t i = 1; i < sizeof(map); i++)
        map[i] = map[i] ? ++rank : 0;
    visit_ids(s, rename_id, map);
    if (s->busy.leader == 0)
        return;
    const struct model_job job = s->busy.job[0];
    const struct model_pending pending = s->pending[0];
    s->busy.job[0] = s->busy.job[1];
    s->busy.job[1] = job;
    s->pending[0] = s->pending[1];
    s->pending[1] = pending;
    s->busy.leader = 0;
}

static uint32_t put_state(struct search *t, const struct model_state *s, bool *ret_new)
{
    uint32_t parts[PARTS];
    size_t n = model.scenario->servers;
    bool ignored;
    for (size_t i = 0; i < n; i++)
        parts[i] = intern_put(&t->servers, &s->servers[i], &ignored);
    parts[n] = intern_put(&t->records, &s->record, &ignored);
    parts[n + 1] = intern_put(&t->busies, &s->busy, &ignored);
    parts[n + 2] = intern_put(&t->pendings, s->pending, &ignored);
    return intern_put(&t->states, parts, ret_new);
}

static void get_state(const struct search *t, uint32_t index, struct model_state *ret)
{
    uint32_t parts[PARTS];
    size_t n = model.scenario->servers;
    memcpy(parts, intern_get(&t->states, index), t->states.item_size);
    for (size_t i = 0; i < n; i++)
        memcpy(&ret->servers[i], intern_get(&t->servers, parts[i]), sizeof(ret->servers[i]));
    memcpy(&ret->record, intern_get(&t->records, parts[n]), sizeof(ret->record));
    memcpy(&ret->busy, intern_get(&t->busies, parts[n + 1]), sizeof(ret->busy));
    memcpy(ret->pending, intern_get(&t->pendings, parts[n + 2]), sizeof(ret->pending));
}

static void search_init(struct search *t, struct explored *result)
{
    memset(t, 0, sizeof(*t));
    intern_init(&t->servers, sizeof(struct model_server));
    intern_init(&t->records, sizeof(struct model_record));
    intern_init(&t->busies, sizeof(struct model_busy));
    intern_init(&t->pendings, 2 * sizeof(struct model_pending));
    intern_init(&t->states, (model.scenario->servers + 3u) * sizeof(uint32_t));
    t->result = result;
}

static void search_free(struct search *t)
{
    struct intern *const all[] = {&t->servers, &t->records, &t->busies, &t->pendings, &t->states};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        intern_free(all[i]);
    free(t->parents);
    free(t->edges);
    free(t->edge_ends);
}

/* ---------- the trace ---------- */

static void print_step(FILE *out, size_t number, const struct step *s)
{
    fprintf(out, "%3zu. ", number);
    if (s->server >= 0)
        fprintf(out, "s%d: ", s->server + 1);
    fprintf(out, "%s%s%s%s\n", s->what, s->row ? ": " : "", s->row ? s->row : "",
            s->fault ? "   [fault]" : "");
}

/* The step that led from one state to the next is found again. */
static void print_from(struct search *t, FILE *out, size_t number, uint32_t from, uint32_t to)
{
    static struct steps steps;
    struct model_state s;
    memset(&s, 0, sizeof(s));
    get_state(t, from, &s);
    world_successors(&s, &steps);
    for (size_t i = 0; i < steps.count; i++) {
        bool ignored;
        canonical(&steps.v[i].next);
        if (put_state(t, &steps.v[i].next, &ignored) != to)
            continue;
        print_step(out, number, &steps.v[i]);
        return;
    }
}

static void print_trace(struct search *t, FILE *out)
{
    size_t length = t->result->trace_length, n = length;
    uint32_t *path = need(malloc((length + 1) * sizeof(path[0])));
    path[n] = t->worst_next;
    for (uint32_t at = t->worst; n-- > 0; at = t->parents[at])
        path[n] = at;
    fprintf(out, "%s\n", t->result->broken);
    for (size_t i = 0; i < length; i++)
        print_from(t, out, i + 1, path[i], path[i + 1]);
    struct model_state s;
    char text[1200];
    memset(&s, 0, sizeof(s));
    get_state(t, t->worst_next, &s);
    world_describe(&s, text, sizeof(text));
    fputs(text, out);
    free(path);
}

static size_t depth_of(const struct search *t, uint32_t index)
{
    size_t depth = 0;
    for (; index != t->parents[index]; index = t->parents[index])
        depth++;
    return depth;
}

/* ---------- the search ---------- */

static void note_parent(struct search *t, uint32_t child, uint32_t parent)
{
    if (child >= t->parents_capacity) {
        t->parents_capacity = t->parents_capacity ? t->parents_capacity * 2 : 4096;
        t->parents = need(realloc(t->parents, t->parents_capacity * sizeof(t->parents[0])));
        t->edge_ends = need(realloc(t->edge_ends, t->parents_capacity * sizeof(t->edge_ends[0])));
    }
    t->parents[child] = parent;
}

static void note_edge(struct search *t, uint32_t to, bool fault)
{
    if (t->edges_count == t->edges_capacity) {
        t->edges_capacity = t->edges_capacity ? t->edges_capacity * 2 : 16384;
        t->edges = need(realloc(t->edges, t->edges_capacity * sizeof(t->edges[0])));
    }
    t->edges[t->edges_count++] = to | (fault ? FAULT_BIT : 0);
}

static void found_broken(struct search *t, uint32_t from, uint32_t to, const char *broken)
{
    if (t->result->broken)
        return;
    t->result->broken = broken;
    t->worst = from;
    t->worst_next = to;
    t->result->trace_length = depth_of(t, from) + 1;
}

static void expand_state(struct search *t, uint32_t index, struct steps *steps)
{
    struct model_state s;
    memset(&s, 0, sizeof(s));
    get_state(t, index, &s);
    world_successors(&s, steps);
    for (size_t i = 0; i < steps->count && !t->result->broken; i++) {
        struct step *step = &steps->v[i];
        bool is_new;
        canonical(&step->next);
        uint32_t to = put_state(t, &step->next, &is_new);
        if (is_new)
            note_parent(t, to, index);
        if (to != index)
            note_edge(t, to, step->fault);
        const char *broken = step->broken ? step->broken : is_new ? world_check(&step->next) : NULL;
        if (broken)
            found_broken(t, index, to, broken);
    }
    t->edge_ends[index] = t->edges_count;
}

/* From every state, without another fault, an operation's end or a stop can be reached. States of a cut-off
 * rim count as leading on. */
static void check_liveness(struct search *t, size_t expanded)
{
    uint8_t *good = need(calloc(t->states.count, 1));
    struct model_state s;
    memset(&s, 0, sizeof(s));
    for (size_t i = 0; i < t->states.count; i++) {
        get_state(t, (uint32_t)i, &s);
        bool person = world_needs_person(&s), rest = world_at_rest(&s);
        good[i] = i >= expanded || person || rest;
        t->result->resting += rest;
        t->result->waiting += person && !rest;
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = expanded; i-- > 0;)
            for (size_t e = i ? t->edge_ends[i - 1] : 0; !good[i] && e < t->edge_ends[i]; e++)
                if (!(t->edges[e] & FAULT_BIT) && good[t->edges[e]])
                    good[i] = moved = true;
    }
    for (size_t i = 0; i < expanded; i++)
        if (!good[i]) {
            found_broken(t, t->parents[i], (uint32_t)i,
                         "liveness: neither an end nor a stop can be reached any more");
            break;
        }
    free(good);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void explore(FILE *out, struct explored *ret)
{
    static struct steps steps;
    struct search t;
    struct model_state first;
    double began = now();
    bool ignored;
    memset(ret, 0, sizeof(*ret));
    expand_init();
    search_init(&t, ret);
    world_init(&first);
    canonical(&first);
    note_parent(&t, put_state(&t, &first, &ignored), 0);
    size_t max = model.scenario->states_max ? model.scenario->states_max : SIZE_MAX;
    size_t i = 0;
    for (; i < t.states.count && i < max && !ret->broken; i++)
        expand_state(&t, (uint32_t)i, &steps);
    ret->complete = i == t.states.count;
    ret->states = t.states.count;
    ret->steps = t.edges_count;
    if (!ret->broken) {
        ret->depth = depth_of(&t, (uint32_t)t.states.count - 1);
        check_liveness(&t, i);
    }
    ret->seconds = now() - began;
    if (ret->broken && out)
        print_trace(&t, out);
    search_free(&t);
}
