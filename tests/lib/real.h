/* What every fixture of real servers needs: ports that are not taken from under it, children that stand
 * still. */
#ifndef TEST_REAL_H
#define TEST_REAL_H

#include <sys/types.h>

/* A port of loopback that is given to nobody else while *ret_fd is open: bound with SO_REUSEADDR and never
 * listened on. A server that sets SO_REUSEADDR, as Go's do, may listen on it; until one does, a connection to
 * it is refused. Caller closes *ret_fd. -1: no port. */
int port_hold(int *ret_fd);

/* Stops a child of ours and waits until all its threads stand: SIGSTOP alone only asks for it, and on a busy
 * machine a child goes on answering for some milliseconds. Returns at once when the child has ended (and
 * leaves it to waitpid). */
void child_stop(pid_t pid);

#endif
