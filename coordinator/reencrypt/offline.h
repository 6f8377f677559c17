/* That every API server is stopped, as far as can be seen from here. */
#ifndef COORDINATOR_REENCRYPT_OFFLINE_H
#define COORDINATOR_REENCRYPT_OFFLINE_H

#include "../job.h"

/* 0 when none has a live record in the datastore (<prefix>/masterleases/) and nothing accepts connections at
 * the addresses of the spec. ERR_STATE names the one that is alive; other codes: it could not be looked. */
int offline_check(struct job *j, struct error *err) _must_check_;

#endif
