/* What OpenRC says, as one line for a person: pure. */
#ifndef AGENT_OPENRC_WORDS_H
#define AGENT_OPENRC_WORDS_H

#include <base/error.h>
#include <stddef.h>

/* The last lines of `rc-service`'s output that say something, without its stars and marks, joined by " / ".
 */
void openrc_words(const char *output, char *out, size_t size);

/* What `rc-service NAME status` means by its exit status after a restart: 0 for "started", else a line;
 * `words` are those of the restart. */
int openrc_judge(const char *service, int restart_status, int status, const char *words,
                 struct error *err) _must_check_;

#endif
