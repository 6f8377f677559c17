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

#endif
