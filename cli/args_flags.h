/* The table of flags: args.c parses by it, args_pages.c prints it. */
#ifndef CLI_ARGS_FLAGS_H
#define CLI_ARGS_FLAGS_H

#include <cli/args.h>

#define EVERYWHERE (1u << 30) /* a flag of every command */

enum {
    OPT_NO_RESTART = 256,
    OPT_NO_WAIT,
    OPT_WAIT,
    OPT_TIMEOUT,
    OPT_CONFIG,
    OPT_SKIP,
    OPT_VERSION,
    OPT_ENGINE,
    OPT_OFFLINE,
    OPT_MAX_RATE,
    OPT_CLUSTER,
    OPT_YES,
    OPT_ROOT,
    OPT_DRY_RUN,
    OPT_JUNIT,
    OPT_CHECK,
    OPT_REASON,
    OPT_NOW,
    OPT_TTL,
    OPT_COORDINATOR,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_IDEMPOTENCY_KEY,
    OPT_WATCH
};

/* A name may stand twice, with another meaning for other commands: both have one value. */
struct flag {
    const char *name;
    int value;         /* the short flag's letter, or above 255 */
    const char *takes; /* name of its value in the help; NULL: none */
    unsigned of;
    const char *help;
};

#define FLAGS 39 /* a bit for each, in what was seen */
extern const struct flag args_flags[FLAGS];

#endif
