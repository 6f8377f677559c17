/* The honest client of fuzz_door.c, apart from it as OpenSSL's headers and ours share names. What goes wrong
 * in here ends the program. */
#ifndef FUZZ_DOOR_CLIENT_H
#define FUZZ_DOOR_CLIENT_H

#include <stddef.h>

/* Certificates in that folder: ca, server and ci; the client's are kept. */
void door_client_make(const char *dir);
/* Removes the folder. */
void door_client_forget(const char *dir);

/* Over a descriptor that does not block, and stays the caller's. */
struct door_client;
struct door_client *door_client_new(int fd);
void door_client_free(struct door_client *c); /* says goodbye */

/* 1: done, 0: not yet, -1: refused. */
int door_client_handshake(struct door_client *c);
/* Bytes; 0: nothing now; -1: the end. */
int door_client_read(struct door_client *c, void *data, size_t size);
int door_client_write(struct door_client *c, const void *data, size_t len);

#endif
