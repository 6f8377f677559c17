/* What a caller asks for, as a request of the state store. Pure. */
#ifndef COORDINATOR_API_ASK_H
#define COORDINATOR_API_ASK_H

#include <api/call.h>

#include "roles.h"

/* The kind that a call is about; ERR_INVALID: Start of something that is none that anybody may start. */
int ask_kind(enum api_call call, const Secretsencrypt__V1__WriteRequest *m, enum operation_kind *ret,
             struct error *err) _must_check_;

/* Fills in all that the message says, but neither id, time, lease nor who asks. ERR_INVALID, naming the
 * member: it has no meaning for the call, is too long, or is not what it has to be. */
int ask_request(enum api_call call, const Secretsencrypt__V1__WriteRequest *m, struct cluster_request *ret,
                struct error *err) _must_check_;

/* Do two requests ask for the same, whenever and from wherever they were made, and whatever was answered? */
bool ask_same(const struct cluster_request *a, const struct cluster_request *b);

/* The text of what is asked for, for the audit: "rotate-keys --skip". */
void ask_text(enum api_call call, const struct cluster_request *r, char *out, size_t size);

#endif
