/* The commands that change something: ask the coordinator, then follow what it does until that is done. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <cli/args.h>
#include <cluster/types.h>

struct operation_command {
    enum operation_kind kind;
    const char *taken;        /* printed once the request is accepted; NULL: nothing */
    bool taken_ends;          /* with --no-restart: that is all (K3s's reencrypt) */
    bool waits_if_asked;      /* followed with --wait, not unless --no-wait */
    const char *without_wait; /* printed where it is not followed; NULL: `taken` was enough */
    const char *finished;     /* NULL: as `wait` says it of such an operation */
};

/* Runs the whole command; returns the exit code. Everything is told on the way. */
int operation_run(const struct operation_command *c, const struct args *args);

/* Follows the operation that runs, or tells how the last one ended (args->operand: the one of that id). */
int operation_wait(const struct args *args);

#endif
