#ifndef COORDINATOR_PROOFS_READ_BACK_H
#define COORDINATOR_PROOFS_READ_BACK_H

#include "canary.h"
#include "servers.h"

/* Reads a canary that server `maker` created through every other server (through itself, where it is the only
 * one), and sees that both write under the same key. ERR_STATE names the server that does not find it, cannot
 * read it, or writes under another key. */
int read_back(struct servers *s, const struct canary *c, size_t maker, struct error *err) _must_check_;

#endif
