/* The commands, one file each; main.c has the table of them. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <cli/args.h>

extern const struct command command_status;
extern const struct command command_prepare;
extern const struct command command_rotate;
extern const struct command command_reencrypt;
extern const struct command command_rotate_keys;
extern const struct command command_enable;
extern const struct command command_disable;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_abort;
extern const struct command command_throttle;
extern const struct command command_repair;
extern const struct command command_restart;
extern const struct command command_lock;
extern const struct command command_unlock;
extern const struct command command_explain;
extern const struct command command_wait;
extern const struct command command_init;
extern const struct command command_preflight;
extern const struct command command_audit;
extern const struct command command_diff;
extern const struct command command_keys;
extern const struct command command_keys_restore;

#endif
