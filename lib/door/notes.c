#include "notes.h"

#include <base/text.h>

static const char *const names[DOOR_NOTE_KINDS] = {
    [DOOR_NOTE_HANDSHAKE] = "handshake", [DOOR_NOTE_CERTIFICATE] = "certificate",
    [DOOR_NOTE_SLOW] = "slow",           [DOOR_NOTE_IDLE] = "idle",
    [DOOR_NOTE_EXPIRED] = "expired",     [DOOR_NOTE_FULL] = "full",
    [DOOR_NOTE_MANY] = "many",           [DOOR_NOTE_BROKEN] = "broken",
    [DOOR_NOTE_REFUSED] = "refused",     [DOOR_NOTE_RESOURCES] = "resources",
    [DOOR_NOTE_RELOADED] = "reloaded",   [DOOR_NOTE_RELOAD] = "reload",
};

const char *door_note_name(enum door_note_kind kind)
{
    return (unsigned)kind < DOOR_NOTE_KINDS ? names[kind] : "?";
}

/* A daemon's clock starts at the machine's: 0 is no time at which a note could have been told. */
static void tell(struct notes *n, int64_t now_ms, enum door_note_kind kind, uint64_t left_out)
{
    struct door_note note = {.kind = kind,
                             .from = n->kinds[kind].from,
                             .subject = n->kinds[kind].subject,
                             .why = n->kinds[kind].why,
                             .left_out = left_out};
    n->kinds[kind].held = 0;
    n->kinds[kind].next_ms = now_ms + NOTE_EVERY_MS;
    if (n->tell)
        n->tell(n->arg, &note);
}

void notes_add(struct notes *n, int64_t now_ms, enum door_note_kind kind, const char *from,
               const char *subject, const char *why)
{
    /* Each may be longer than what is kept of it. */
    (void)text_copy(n->kinds[kind].from, DOOR_FROM_MAX, from);
    (void)text_copy(n->kinds[kind].subject, CERTIFICATE_NAME_MAX, subject);
    (void)text_copy(n->kinds[kind].why, NOTE_WHY_MAX, why);
    if (now_ms >= n->kinds[kind].next_ms)
        tell(n, now_ms, kind, n->kinds[kind].held);
    else
        n->kinds[kind].held++;
}

void notes_flush(struct notes *n, int64_t now_ms)
{
    for (int kind = 0; kind < DOOR_NOTE_KINDS; kind++)
        if (n->kinds[kind].held > 0 && now_ms >= n->kinds[kind].next_ms)
            tell(n, now_ms, (enum door_note_kind)kind, n->kinds[kind].held - 1);
}

int64_t notes_next_ms(const struct notes *n)
{
    int64_t next = -1;
    for (int kind = 0; kind < DOOR_NOTE_KINDS; kind++)
        if (n->kinds[kind].held > 0 && (next < 0 || n->kinds[kind].next_ms < next))
            next = n->kinds[kind].next_ms;
    return next;
}
