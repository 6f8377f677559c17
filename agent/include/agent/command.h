/* Runs one command without a shell and without waiting for it. */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include <agent/process.h>
#include <base/cleanup.h>
#include <base/error.h>

struct command;

enum command_state { COMMAND_RUNNING, COMMAND_OK, COMMAND_FAILED };

/* Starts argv (NULL-terminated, argv[0] searched in PATH) in a process group of its own, with a minimal
 * environment, /dev/null as input, and stdout and stderr appended to output_path (emptied first).
 *
 * A file and not a pipe: the command may leave the API server behind with our output descriptor, and a
 * server whose pipe has lost its reader is killed by its next line; so would be the command itself when
 * this agent is. command_trim keeps the file small. After timeout_s the group gets SIGTERM, 5 s later
 * SIGKILL. */
int command_start(const char *const *argv, int64_t timeout_s, const char *output_path, struct command **ret,
                  struct error *err) _must_check_;

/* A command that an earlier run of this program started: waited for by its identity. Its exit status is
 * unknown, so it counts as good: what it did is seen by its effect. */
int command_attach(const struct process_id *id, int64_t timeout_s, struct command **ret,
                   struct error *err) _must_check_;

/* Does not wait. FAILED: *why says how it ended, with the last line that it wrote. Call it until it is not
 * RUNNING. */
enum command_state command_poll(struct command *c, struct error *why);

/* Of the running command. */
struct process_id command_id(const struct command *c);

/* Forgets it; a command that still runs goes on. NULL is safe. */
void command_free(struct command *c);
DEFINE_CLEANUP(struct command *, command_free);

/* Empties the output file when it has grown past 256 KiB. */
void command_trim(const char *output_path);

/* The umask that commands get (the agent's own is 077). */
void command_set_umask(mode_t mask);

#endif
