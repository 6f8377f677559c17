/* The one-shot subcommands. Each prints one line and returns the exit code. */
#ifndef AGENT_COMMANDS_H
#define AGENT_COMMANDS_H

#include <config/config.h>

/* `word`: the command's argument; NULL when it has none. */
typedef int command_main(const struct config *config, const char *word);

/* Writes the file of a pending order just before the API server starts (ExecStartPre=-). Ends within 10 s. */
command_main sync_main;

/* Config, token, API credentials, driver and encryption config file: "ok", or the first thing that is wrong.
 */
command_main check_main;

/* Restarts the API server by a change of its static pod's manifest (driver static-pod), and waits until
 * kubelet has started another one. Run by the agent itself. */
command_main pod_restart_main;

/* "secrets-encrypt-agent: …" on stderr; returns 1. */
int complain(const struct error *err);

#endif
