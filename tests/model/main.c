/* tests/model: every reachable state, and whether the checker itself can fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator.h"
#include "explore.h"
#include "mutations.h"
#include "scenarios.h"
#include "table.h"

struct model model;

struct options {
    bool deep, markdown, traces, rows, no_mutations, no_scenarios;
    const char *only; /* a scenario or a mutation */
    uint32_t max;     /* states of a scenario; 0: as the scenario says */
};

static bool run_scenario(const struct scenario *sc, const struct options *o)
{
    struct explored e;
    struct scenario bounded = *sc;
    if (o->max && (!sc->states_max || o->max < sc->states_max))
        bounded.states_max = o->max;
    model.scenario = &bounded;
    explore(stdout, &e);
    printf("%-12s %u servers %9zu states %10zu transitions  depth %3zu  %6.1f s  %s%s\n", sc->name,
           sc->servers, e.states, e.steps, e.depth, e.seconds, e.broken ? "BROKEN: " : "holds",
           e.broken ? e.broken : "");
    if (!e.complete && !e.broken)
        printf("%-12s   not all: cut off at %u states\n", "", bounded.states_max);
    fflush(stdout);
    return !e.broken;
}

static bool run_mutation(const struct mutation *m, const struct options *o)
{
    struct explored e;
    model.scenario = scenario_find(m->scenario);
    if (!model.scenario || !mutation_apply(m)) {
        printf("%s: names something that does not exist any more\n", m->name);
        mutation_undo();
        return false;
    }
    explore(o->traces ? stdout : NULL, &e);
    mutation_undo();
    bool caught = e.broken && strncmp(e.broken, m->caught, strlen(m->caught)) == 0;
    if (o->markdown)
        printf("| %s | %s | %s | %zu steps |\n", m->name, m->breaks, e.broken ? e.broken : "NOT CAUGHT",
               e.trace_length);
    else
        printf("%-9s %-52s %-10s %8zu states %6.2f s  %s (%zu steps)\n", caught ? "caught" : "NOT CAUGHT",
               m->name, m->scenario, e.states, e.seconds, e.broken ? e.broken : "nothing broke",
               e.trace_length);
    fflush(stdout);
    return caught;
}

static int usage(void)
{
    fputs("usage: model [--deep] [--markdown] [--traces] [--rows] [--no-scenarios] [--no-mutations] [--max "
          "STATES] [NAME]\n",
          stderr);
    return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
    const struct {
        const char *flag;
        bool *set;
    } flags[] = {
        {"--deep", &o->deep}, {"--markdown", &o->markdown},         {"--traces", &o->traces},
        {"--rows", &o->rows}, {"--no-mutations", &o->no_mutations}, {"--no-scenarios", &o->no_scenarios}};
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t f = 0; f < sizeof(flags) / sizeof(flags[0]); f++)
            if (strcmp(argv[i], flags[f].flag) == 0)
                known = *flags[f].set = true;
        if (!known && strcmp(argv[i], "--max") == 0 && i + 1 < argc) {
            o->max = (uint32_t)strtoul(argv[++i], NULL, 10);
            known = o->max > 0;
        }
        if (!known && argv[i][0] != '-' && !o->only) {
            o->only = argv[i];
            known = true;
        }
        if (!known)
            return false;
    }
    return true;
}

static size_t all_scenarios(const struct options *o)
{
    size_t bad = 0;
    for (size_t i = 0; i < scenarios_count; i++) {
        bool wanted = o->only ? strcmp(o->only, scenarios[i].name) == 0 : scenarios[i].deep == o->deep;
        bad += wanted && !run_scenario(&scenarios[i], o);
    }
    return bad;
}

static size_t all_mutations(const struct options *o)
{
    size_t bad = 0;
    if (o->markdown)
        puts("| Mutation | What it changes | Caught by | Shortest trace |\n|---|---|---|---|");
    for (size_t i = 0; i < mutations_count; i++)
        if (!o->only || strcmp(o->only, mutations[i].name) == 0)
            bad += !run_mutation(&mutations[i], o);
    return bad;
}

static void list_rows(void)
{
    for (size_t i = 0; i < rotation_rows_count; i++)
        printf("%-18s %s\n", rotation_rows[i].id, coordinator_row_used(i) ? "decided" : "never");
}

int main(int argc, char **argv)
{
    struct options o = {0};
    if (!parse(argc, argv, &o))
        return usage();
    size_t bad = o.no_scenarios ? 0 : all_scenarios(&o);
    if (o.rows)
        list_rows();
    bad += o.no_mutations || o.deep ? 0 : all_mutations(&o);
    return bad != 0;
}
