/* The JSON of agent.json. */
#ifndef AGENT_STATE_JSON_H
#define AGENT_STATE_JSON_H

#include <agent/state.h>
#include <base/buf.h>

int state_encode(const struct agent_state *s, const char *cluster, const char *server, struct buf *out,
                 struct error *err) _must_check_;
/* ERR_INVALID, naming `what` and the member, when anything is missing, of the wrong type or too long, or when
 * it belongs to another cluster or server (a copied machine). */
int state_decode(const char *text, size_t len, const char *what, const char *cluster, const char *server,
                 struct agent_state *ret, struct error *err) _must_check_;

#endif
