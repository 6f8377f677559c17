/* The one-shot subcommands. Each prints one line and returns the exit code. */
#ifndef AGENT_COMMANDS_H
#define AGENT_COMMANDS_H

#include <config/config.h>

/* Writes the file of a pending order just before the API server starts (ExecStartPre=-). Ends within 10 s. */
int sync_main(const struct config *config);

/* Config, token, API credentials, driver and encryption config file: "ok", or the first thing that is wrong.
 */
int check_main(const struct config *config);

/* "secrets-encrypt-agent: …" on stderr; returns 1. */
int complain(const struct error *err);

#endif
