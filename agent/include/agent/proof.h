/* Which file did the running API server load? Pure: the caller brings the observations. */
#ifndef AGENT_PROOF_H
#define AGENT_PROOF_H

#include <agent/process.h>
#include <agent/state.h>

/* What was seen of the file. */
struct file_seen {
    char hash[CLUSTER_HASH_MAX]; /* "" when there is none, or it cannot be read */
    int64_t ctime_us;            /* wall clock */
    bool shared;                 /* others than its owner may read or write it */
    bool plain;                  /* it encrypts nothing and holds no key: as good as none */
};

/* A program that writes the file itself while it starts, before the API server inside of it reads it: the
 * file as it stood there when that API server was not ready yet for the first time. */
struct early {
    struct process_id process; /* that it is about */
    bool open;                 /* it has not been ready so far */
    char hash[CLUSTER_HASH_MAX];
    int64_t ctime_us;
};

/* After a look at the process, at the file and at readiness, in this order. `young_ms`: a process that is
 * older when it is first seen may have been ready before. */
void early_look(struct early *e, const struct process_found *p, const struct file_seen *file, bool ready,
                int64_t young_ms, int64_t boot_ms);
/* True when the present file stood there unchanged since before that process's API server was ready. */
bool early_proves(const struct early *e, const struct process_found *p, const struct file_seen *file);

/* Records which processes run at boot_ms (now). */
void mark_take(struct mark *m, const struct process_found *p, const char *boot, int64_t boot_ms);

/* True when the process was certainly executed after the mark was taken. */
bool mark_is_newer(const struct mark *m, const struct process_found *p);

/* Brings s->loaded up to date with the process found: the same process keeps what it was started with; a new
 * one loaded the file as it is now if it was certainly executed after the file's last change, and an unknown
 * one otherwise. `early` (NULL: the API server's program does not write the file): nothing is known before
 * it was ready, and then also what early_proves says. One that runs without an encryption config reads and
 * writes as with a plain file, so it counts as having loaded that, and never any other. Returns true when it
 * changed. Nothing changes unless exactly one process was found. */
bool proof_update(struct agent_state *s, const struct process_found *p, const struct file_seen *file,
                  const struct early *early);

#endif
