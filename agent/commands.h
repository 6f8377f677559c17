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

/* See await_reload.c. */
command_main await_reload_main;

/* K3s, RKE2: see k3s_call.c and k3s_restart.c. */
command_main k3s_call_main;
command_main k3s_restart_main;
/* Internal: restarts the service of the drivers systemd and openrc; the last line of its output says why not.
 */
command_main service_restart_main;

/* Restarts the API server by a change of its static pod's manifest (driver static-pod), and waits until
 * kubelet has started another one. Run by the agent itself. */
command_main pod_restart_main;

/* "secrets-encrypt-agent: …" on stderr; returns 1. */
int complain(const struct error *err);

#endif
