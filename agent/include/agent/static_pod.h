/* The driver static-pod: an API server that kubelet runs from a manifest in a folder. */
#ifndef AGENT_STATIC_POD_RESTART_H
#define AGENT_STATIC_POD_RESTART_H

#include <base/error.h>
#include <config/config.h>

/* Changes the manifest so that kubelet restarts the API server, with the encryption config's flag and mount
 * where they are missing, and waits at most service.timeout until the API server's process is another one and
 * the one from before has ended. *ret_pid: the new one.
 *
 * The manifest from before the flag was added is kept in the state folder. When the very next restart comes
 * with a file that encrypts nothing (an order that is undone), and nobody else has changed the manifest
 * since, that one comes back: if the flag or the mount was the trouble, it is gone with them. */
int static_pod_restart(const struct config *c, int64_t *ret_pid, struct error *err) _must_check_;

#endif
