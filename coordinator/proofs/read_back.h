#ifndef COORDINATOR_PROOFS_READ_BACK_H
#define COORDINATOR_PROOFS_READ_BACK_H

#include "canary.h"
#include "servers.h"

/* Reads a canary that server `maker` created through every other server (through itself, where it is the only
 * one). ERR_STATE names the server that does not find it, or cannot read it. */
int read_back(struct servers *s, const struct canary *c, size_t maker, struct error *err) _must_check_;

#endif
