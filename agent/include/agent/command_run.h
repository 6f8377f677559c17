/* Runs one command to its end and keeps what it wrote: for the subcommands that restart a service, which may
 * wait (the agent itself uses command.h). */
#ifndef AGENT_COMMAND_RUN_H
#define AGENT_COMMAND_RUN_H

#include <stdint.h>
#include <sys/types.h>

#include <base/buf.h>
#include <base/error.h>

struct command_result {
    int code;   /* its exit status; -1: ended by a signal */
    int signal; /* that signal, else 0 */
};

/* Runs argv (NULL-terminated, no shell, argv[0] searched in PATH) in a process group of its own with
 * /dev/null as input, and appends what it wrote to *out: the last out->max bytes less what is in it.
 *
 * Its output is a file in memory that grows no more once the command has ended: a daemon that the command
 * left behind with our descriptor gets an error for what it writes there, and not the SIGPIPE that would end
 * it.
 *
 * ERR_TIMEOUT: it did not end by deadline_ms (of clock_mono_ms) and its group was ended; *out has what it
 * wrote until then. ERR_NOT_FOUND: there is no such program. */
int command_run(const char *const *argv, int64_t deadline_ms, struct buf *out, struct command_result *ret,
                struct error *err) _must_check_;

/* Starts argv as above with `output` as stdout and stderr, and returns 0 or an errno. */
int command_spawn(const char *const *argv, int output, pid_t *ret);

/* Waits until the process has ended: ERR_TIMEOUT at deadline_ms, ERR_NOT_FOUND when there is none of that
 * pid. For processes that are not our children too. */
int process_wait_end(int64_t pid, int64_t deadline_ms, struct error *err) _must_check_;

#endif
