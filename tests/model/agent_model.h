/* What an agent does with its server: the views are made here as agent/step.c and agent/agent.c make them,
 * the decisions are those of the real tables. */
#ifndef MODEL_AGENT_MODEL_H
#define MODEL_AGENT_MODEL_H

#include "scenario.h"

/* Each changes the state and returns whether something did. */
bool agent_reads_order(struct model_state *s, size_t i);
bool agent_acts(struct model_state *s, size_t i, const char **ret_row, const char **ret_broken);
bool agent_forgets_previous(struct model_state *s, size_t i);
bool agent_publishes(struct model_state *s, size_t i);
bool agent_starts(struct model_state *s, size_t i);
void agent_dies(struct model_state *s, size_t i);
void agent_loses_state(struct model_state *s, size_t i);
/* The operator restarts this server's API server: `secrets-encrypt-agent sync` runs first, as its unit says.
 * False: there is no need to. */
bool agent_operator_restarts(struct model_state *s, size_t i, const char **ret_broken);
/* I2, when a file is replaced by another one. */
const char *agent_check_leaving(const struct model_state *s, struct config_file from, uint8_t to);
/* Killed within a write: the previous file was kept already, the file is not replaced yet. */
bool agent_dies_in_write(struct model_state *s, size_t i);

/* The rows of the real tables that the checker may take out. False: there is none of that name. */
bool agent_row_disable(const char *id);
void agent_rows_restore(void);

#endif
