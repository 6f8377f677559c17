/* The agent's own tables, compiled once more with rows that may be taken out. */
#include "../../agent/decide.c"

#include "agent_model.h"

#define NEVER (1u << 31)

static unsigned verdict_kinds[array_len(verdicts)];
static unsigned job_kinds[array_len(jobs)];
static bool saved;

static void save(void)
{
    for (size_t i = 0; !saved && i < array_len(verdicts); i++)
        verdict_kinds[i] = verdicts[i].kind;
    for (size_t i = 0; !saved && i < array_len(jobs); i++)
        job_kinds[i] = jobs[i].kind;
    saved = true;
}

bool agent_row_disable(const char *id)
{
    bool found = false;
    save();
    for (size_t i = 0; i < array_len(verdicts); i++)
        if (strcmp(verdicts[i].row.id, id) == 0) {
            verdicts[i].kind = NEVER;
            found = true;
        }
    for (size_t i = 0; i < array_len(jobs); i++)
        if (strcmp(jobs[i].row.id, id) == 0) {
            jobs[i].kind = NEVER;
            found = true;
        }
    return found;
}

void agent_rows_restore(void)
{
    save();
    for (size_t i = 0; i < array_len(verdicts); i++)
        verdicts[i].kind = verdict_kinds[i];
    for (size_t i = 0; i < array_len(jobs); i++)
        jobs[i].kind = job_kinds[i];
}
