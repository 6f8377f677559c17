/* Notes for the caller's log, rate-limited: one of a kind a second. Of those that are held back the last is
 * kept, and is told when its second is over, with the number of the others. */
#ifndef DOOR_NOTES_H
#define DOOR_NOTES_H

#include <door/door.h>

#define NOTE_EVERY_MS 1000
#define NOTE_WHY_MAX  512

struct notes {
    void (*tell)(void *arg, const struct door_note *note);
    void *arg;
    struct {
        int64_t next_ms; /* not before then */
        uint64_t held;   /* since the last that was told */
        char from[DOOR_FROM_MAX], subject[CERTIFICATE_NAME_MAX], why[NOTE_WHY_MAX];
    } kinds[DOOR_NOTE_KINDS];
};

void notes_add(struct notes *n, int64_t now_ms, enum door_note_kind kind, const char *from,
               const char *subject, const char *why);

/* Tells those that were held back long enough. */
void notes_flush(struct notes *n, int64_t now_ms);

/* When notes_flush has something to do; -1: never. */
int64_t notes_next_ms(const struct notes *n);

#endif
