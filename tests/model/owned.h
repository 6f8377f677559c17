/* Servers that make their encryption configs themselves (K3s, RKE2): what such a server does when it is asked
 * for its next config, and when it starts. Its stages are agent/k3s.c's. */
#ifndef MODEL_OWNED_H
#define MODEL_OWNED_H

#include "world.h"

/* What K3s makes of a config when it is asked for `call`. 0: nothing. */
uint8_t owned_next(uint8_t config, unsigned call, unsigned new_key);
/* As encryption_check_made(): is `after` exactly that, whatever key is new? */
bool owned_is_made(uint8_t before, uint8_t after, unsigned call);
/* The key that leaves with `reencrypt`: the one that stands last. 0: the only one stays. */
unsigned owned_last_key(uint8_t config);

/* A process starts: it takes over the datastore's copy, unless its own file is newer, when it does not start.
 * `yields`: as k3s_restart.c, which lets the datastore's replace a newer one. `stale`: the fault, it comes
 * back with the file from before. */
const char *owned_starts(struct model_state *s, size_t i, bool yields, bool stale);
/* Its process ends, whatever it was at. */
void owned_stops(struct model_server *m);

/* Its file stands there, and its own record of it does not follow. */
bool owned_differs(const struct model_server *m);

void owned_steps(const struct model_state *s, size_t i, struct steps *out);

/* By its word, as in an order; 0: none. */
unsigned owned_call(const char *word);

#endif
