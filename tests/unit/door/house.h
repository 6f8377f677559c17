/* A door in a folder of its own, with certificates: "ca" signed "server", "ci" (O=team, CN=ci) and whatever a
 * test adds. Keeps what was taken and noted. */
#ifndef TEST_DOOR_HOUSE_H
#define TEST_DOOR_HOUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include <door/door.h>

#include "tls_fixture.h"

#define HOUSE_TAKEN 1024
#define HOUSE_NOTES 512

struct house_note {
    enum door_note_kind kind;
    char from[DOOR_FROM_MAX], subject[256], why[512];
    uint64_t left_out;
};

struct house {
    char dir[64], cert[128], key[128], ca[128], unix_path[128];
    struct door *door;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct {
        int fd;
        struct door_peer peer;
    } taken[HOUSE_TAKEN];
    size_t taken_count;
    struct house_note notes[HOUSE_NOTES];
    size_t notes_count;
    atomic_bool refuses; /* take() returns an error */
};

/* The folder and its certificates; no door yet. */
struct house *house_new(void);
/* Ends the door, closes what was taken, removes the folder. */
void house_free(struct house *h);

/* A door on a free TCP port of loopback. */
void house_open(struct house *h, struct door_limits limits);
/* A door with the unix socket alone; returns door_new's. */
int house_open_unix(struct house *h, const char *group, struct door_limits limits, struct error *err);
uint16_t house_port(const struct house *h);

/* The n-th (from 0) that is or will be taken; its descriptor. Fails the test after 10 s. */
int house_taken(struct house *h, size_t n, struct door_peer *ret);
size_t house_taken_count(struct house *h);
/* The first note of that kind, and how many it stands for. Fails the test after 10 s. */
struct house_note house_note(struct house *h, enum door_note_kind kind);
/* Waits until the notes of a kind stand for `count` events; fails the test after 10 s, or when it is more. */
void house_noted(struct house *h, enum door_note_kind kind, uint64_t count);
bool house_has_note(struct house *h, enum door_note_kind kind);

/* A client that shook hands with the certificate of that name; fails the test when that is refused. */
struct tls_client *house_client(const struct house *h, const char *cert);
/* Sends `text` to the far end and back again over both descriptors. */
void house_check_both_ways(struct tls_client *c, int fd);

#endif
