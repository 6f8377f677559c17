/* Numbers of descriptors that are handed on. gRPC names a connection by its descriptor's number alone: a
 * number that came back at once could lend a call the name of who came after it. So every descriptor that
 * leaves the door gets a number from a range that is kept for them, and a number rests after its end. */
#ifndef DOOR_NUMBERS_H
#define DOOR_NUMBERS_H

#include <stdint.h>
#include <sys/types.h>

#include <base/error.h>

struct numbers;

/* Takes the upper part of the numbers that the process may use, whose soft limit it raises; caller frees. */
int numbers_new(int64_t rests_ms, struct numbers **ret, struct error *err) _must_check_;
void numbers_free(struct numbers *n);

/* Gives *fd a number that has rested; the old one is closed. `uid`: whom a unix socket's belongs to, or
 * (uid_t)-1. ERR_TOO_LARGE: all of them are taken, or rest (*fd stays as it was). */
int numbers_move(struct numbers *n, int *fd, uid_t uid, int64_t now_ms, struct error *err) _must_check_;

/* Looks which of the numbers ended since the last look. */
void numbers_look(struct numbers *n, int64_t now_ms);

/* How many of unix sockets are out, as of the last look: all, or one user's. */
unsigned numbers_unix(const struct numbers *n);
unsigned numbers_of_user(const struct numbers *n, uid_t uid);

#endif
