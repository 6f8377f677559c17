#include "scenarios.h"

#include <string.h>

#define ASK(kind) (1u << (kind))
#define LIVES     (ASK(OP_PAUSE) | ASK(OP_RESUME) | ASK(OP_ABORT) | ASK(OP_ROTATE_KEYS))
#define MACHINES                                                                                             \
    (FAULT_AGENT | FAULT_START | FAULT_API | FAULT_LEASE | FAULT_LEADER | FAULT_STALL | FAULT_JOB |          \
     FAULT_SLOW)
#define COORDINATORS (FAULT_LEADER | FAULT_STALL | FAULT_JOB)

/* An operation on n servers with at most k faults of these kinds. */
#define RUN(kind, n, k, kinds)                                                                               \
    .servers = (n), .first = (kind), .passes = 2, .attempts = 2, .faults = (k),                              \
    .faults_allowed = FAULT_LAG | (kinds)
#define ROTATE(n, k, kinds) RUN(OP_ROTATE_KEYS, n, k, kinds)

const struct scenario scenarios[] = {
    /* every fault alone: the mutations are looked for here */
    {.name = "quiet", ROTATE(3, 0, 0), .snapshots = true},
    {.name = "agent", ROTATE(3, 1, FAULT_AGENT)},
    {.name = "start", ROTATE(3, 1, FAULT_START)},
    {.name = "api", ROTATE(3, 1, FAULT_API)},
    {.name = "lease", ROTATE(3, 1, FAULT_LEASE)},
    {.name = "stall", ROTATE(3, 2, FAULT_STALL | FAULT_LEADER)},
    {.name = "job", ROTATE(3, 1, FAULT_JOB), .snapshots = true},
    {.name = "edit", ROTATE(3, 1, FAULT_EDIT)},
    {.name = "forget", ROTATE(3, 1, FAULT_FORGET)},
    {.name = "unknown", ROTATE(3, 1, FAULT_UNKNOWN)},
    {.name = "rogue", ROTATE(3, 0, FAULT_ROGUE)},
    {.name = "pause", ROTATE(3, 0, 0), .requests = 2, .asks = ASK(OP_PAUSE) | ASK(OP_RESUME)},
    {.name = "abort", ROTATE(3, 0, 0), .requests = 1, .asks = ASK(OP_ABORT)},
    {.name = "job-rogue", ROTATE(3, 1, FAULT_JOB | FAULT_ROGUE)},
    {.name = "start-agent", ROTATE(3, 2, FAULT_START | FAULT_AGENT)},
    {.name = "one-repair", ROTATE(1, 2, FAULT_API | FAULT_START), .requests = 2, .asks = ASK(OP_REPAIR)},
    {.name = "edit-twice", ROTATE(2, 2, FAULT_EDIT | FAULT_API)},

    /* all of them together */
    {.name = "machines", ROTATE(3, 2, MACHINES)},
    {.name = "people", ROTATE(3, 0, 0), .requests = 2, .asks = LIVES},
    {.name = "abort-fault", ROTATE(3, 1, MACHINES), .requests = 1, .asks = ASK(OP_ABORT)},
    {.name = "repair", ROTATE(3, 1, FAULT_EDIT | FAULT_START), .requests = 1, .asks = ASK(OP_REPAIR)},
    {.name = "auto-repair", ROTATE(3, 1, FAULT_EDIT | FAULT_START), .auto_repair = true},
    {.name = "rogue-fault", ROTATE(3, 1, FAULT_ROGUE | FAULT_START | COORDINATORS)},
    {.name = "manual",
     ROTATE(3, 0, 0),
     .manual = true,
     .states_max = 300000,
     .requests = 1,
     .asks = ASK(OP_ABORT)},
    {.name = "adopt", ROTATE(3, 1, MACHINES), .unadopted = true},
    {.name = "not-raw", ROTATE(3, 1, MACHINES), .not_raw = true, .requests = 1, .asks = LIVES},
    {.name = "plain-values", ROTATE(3, 1, FAULT_JOB), .plain_values = true},
    {.name = "no-drop",
     RUN(OP_PREPARE, 3, 0, 0),
     .skip = true,
     .requests = 3,
     .asks = ASK(OP_ROTATE) | ASK(OP_REENCRYPT) | ASK(OP_ABORT)},
    {.name = "steps",
     RUN(OP_PREPARE, 3, 0, 0),
     .requests = 3,
     .asks = ASK(OP_ROTATE) | ASK(OP_REENCRYPT) | ASK(OP_ABORT) | ASK(OP_RESTORE_KEY)},
    {.name = "disable",
     RUN(OP_DISABLE, 3, 0, 0),
     .requests = 2,
     .asks = ASK(OP_REENCRYPT) | ASK(OP_ABORT) | ASK(OP_ENABLE)},
    {.name = "enable",
     RUN(OP_ENABLE, 3, 0, 0),
     .plain = true,
     .requests = 2,
     .asks = ASK(OP_REENCRYPT) | ASK(OP_ABORT) | ASK(OP_DISABLE)},
    {.name = "throttle",
     ROTATE(3, 0, 0),
     .requests = 2,
     .asks = ASK(OP_THROTTLE) | ASK(OP_PAUSE) | ASK(OP_RESUME)},
    {.name = "throttle-held", ROTATE(3, 2, COORDINATORS), .requests = 1, .asks = ASK(OP_THROTTLE)},
    {.name = "datastore", ROTATE(3, 1, MACHINES), .engine = MODEL_DATASTORE},
    {.name = "datastore-abort",
     ROTATE(3, 1, COORDINATORS),
     .engine = MODEL_DATASTORE,
     .requests = 1,
     .asks = ASK(OP_ABORT)},
    {.name = "offline", ROTATE(3, 1, MACHINES), .engine = MODEL_OFFLINE},
    {.name = "offline-ask",
     ROTATE(3, 0, 0),
     .engine = MODEL_OFFLINE,
     .requests = 2,
     .asks = LIVES | ASK(OP_THROTTLE)},
    {.name = "offline-step",
     RUN(OP_PREPARE, 3, 0, 0),
     .engine = MODEL_OFFLINE,
     .requests = 3,
     .asks = ASK(OP_ROTATE) | ASK(OP_REENCRYPT) | ASK(OP_ABORT)},
    {.name = "one",
     ROTATE(1, 2, MACHINES),
     .requests = 1,
     .asks = LIVES | ASK(OP_REPAIR),
     .states_max = 400000},
    {.name = "five", ROTATE(5, 1, MACHINES), .states_max = 400000},

    /* --deep */
    {.name = "machines-3", ROTATE(3, 3, MACHINES), .deep = true, .states_max = 30000000},
    {.name = "people-1",
     ROTATE(3, 1, MACHINES),
     .requests = 2,
     .asks = LIVES | ASK(OP_REPAIR),
     .deep = true,
     .states_max = 30000000},
    {.name = "abort-2",
     ROTATE(3, 2, MACHINES),
     .requests = 1,
     .asks = ASK(OP_ABORT),
     .deep = true,
     .states_max = 30000000},
    {.name = "rogue-2", ROTATE(3, 2, FAULT_ROGUE | MACHINES), .deep = true, .states_max = 30000000},
    {.name = "edit-2",
     ROTATE(3, 2, FAULT_EDIT | FAULT_START | FAULT_LEADER),
     .requests = 1,
     .asks = ASK(OP_REPAIR) | ASK(OP_ABORT),
     .deep = true,
     .states_max = 30000000},
    {.name = "edit-api",
     ROTATE(3, 2, FAULT_EDIT | FAULT_API | FAULT_FORGET),
     .deep = true,
     .states_max = 30000000},
    {.name = "manual-all", ROTATE(3, 0, 0), .manual = true, .deep = true, .states_max = 30000000},
    {.name = "one-3",
     ROTATE(1, 3, MACHINES | FAULT_EDIT),
     .requests = 2,
     .asks = LIVES | ASK(OP_REPAIR),
     .deep = true,
     .states_max = 30000000},
    {.name = "five-2", ROTATE(5, 2, MACHINES), .deep = true, .states_max = 30000000},
};
const size_t scenarios_count = sizeof(scenarios) / sizeof(scenarios[0]);

const struct scenario *scenario_find(const char *name)
{
    for (size_t i = 0; i < scenarios_count; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}
