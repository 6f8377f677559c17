/* Putting a generation's file in place, so that a crash at any moment leaves either the old file or the
 * new one, and a record that tells which. Daemon and `sync` both do it through here, under the state lock. */
#ifndef AGENT_PLACE_H
#define AGENT_PLACE_H

#include <agent/process.h>
#include <agent/proof.h>
#include <agent/state.h>
#include <base/secret.h>

#define PLACE_PREVIOUS      "previous-config" /* in the state folder */
#define PLACE_REPLACED      "replaced-"       /* <UTC time>-<8 hex of its hash>, in the state folder */
#define PLACE_REPLACED_KEPT 5
/* Larger than any valid config: a broken file that is replaced is kept as well. */
#define PLACE_PRESENT_MAX (8 * 1024 * 1024)

struct place {
    const char *config_path; /* the encryption config; a symbolic link is followed, not replaced */
    const struct state_dir *dir;
    const struct process_finder *finder;
};

/* The file's hash and change time: *ret->hash is "" when there is none (not an error). */
int place_look(const char *config_path, struct file_seen *ret, struct error *err) _must_check_;

/* After a crash between the rename and its record: finds out how it ended. Returns true when the record
 * changed. */
bool place_settle(const struct place *p, struct file_record *r);

/* Writes the target's text, 0600. `present` is the file as it was when this was decided (ERR_CONFLICT when it
 * is another one by now), and whether it is worth putting back. Keeps the present file first, then records
 * the intent, writes, reads back, and records what processes ran. On failure the file may be either; look. */
int place_write(const struct place *p, struct agent_state *s, const struct version *present,
                bool present_valid, const struct version *target, const struct secret *text,
                struct error *err) _must_check_;

/* Under the lock, before a file that nobody issued is written over: keeps its bytes in the state folder,
 * 0600, where they stay (the newest PLACE_REPLACED_KEPT). A file that is kept already is not kept twice.
 * ERR_CONFLICT when the present file does not have the hash of `present`. On failure nothing may be
 * written over it. */
int place_keep_copy(const struct place *p, const struct version *present, struct error *err) _must_check_;

/* Puts <state_dir>/previous-config back, byte for byte. Same rules. */
int place_back(const struct place *p, struct agent_state *s, struct error *err) _must_check_;

/* The server runs with the new file: the previous one, with the keys that only it has, is not kept any longer
 * (every generation stays sealed in the state store). A file that was not worth putting back is left. */
void place_forget(const struct place *p, struct agent_state *s);

/* The file already has an ordered generation's hash: records that, touching nothing. Returns true when the
 * record changed. */
bool place_note(struct file_record *r, const struct version *target);

#endif
