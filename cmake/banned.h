/* Forced into every file by the build: functions that write without a bound, or keep hidden state,
 * do not compile here. The system headers come first, so that their own declarations stand. */
#ifndef SECRETS_ENCRYPT_BANNED_H
#define SECRETS_ENCRYPT_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison strcpy strcat strncpy strncat stpcpy
#pragma GCC poison sprintf vsprintf gets
#pragma GCC poison strtok atoi atol atoll atof
#pragma GCC poison system popen
#pragma GCC poison mktemp tmpnam tempnam rand srand

#endif
