/* What `preflight` asks: the agents' records, etcd, one API server. Everything has a deadline; what does not
 * answer is a finding, not a failure. */
#ifndef CLI_GATHER_H
#define CLI_GATHER_H

#include <cli/preflight.h>

#include "session.h"

struct gathered {
    struct preflight_agent *agents; /* of the spec's servers */
    struct preflight_etcd etcds[2];
    size_t etcds_count;
    struct preflight_hooks hooks;
};

/* ERR_NO_MEMORY is the one error. Free with gathered_free, also after a failure. */
int gather(struct session *s, struct gathered *ret, struct error *err) _must_check_;
void gathered_free(struct gathered *g);

#endif
