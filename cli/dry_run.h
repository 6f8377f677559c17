/* --dry-run: what the command would do, and what would refuse it now. Nothing is written anywhere. */
#ifndef CLI_DRY_RUN_H
#define CLI_DRY_RUN_H

#include <cli/args.h>
#include <cluster/types.h>

/* Runs the whole command; returns the exit code: EXIT_DONE, or that of the refusal. */
int dry_run(enum operation_kind kind, const struct args *args);

#endif
