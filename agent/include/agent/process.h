/* Finding the API server's process, and telling one process from another for certain. */
#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <cluster/types.h>

struct config;

#define PROCESS_BOOT_MAX 40

/* A pid alone is used again; with its start time and the boot it is unique. pid 0: none. */
struct process_id {
    int64_t pid;
    int64_t start_ticks; /* field 22 of /proc/<pid>/stat: clock ticks since boot */
    char boot[PROCESS_BOOT_MAX];
};

enum process_count { PROCESS_NONE, PROCESS_ONE, PROCESS_MANY };

struct process_found {
    enum process_count count;
    bool by_pid_file;
    bool plain;                 /* ONE: it runs without an encryption config */
    struct process_id id;       /* ONE */
    int64_t started_boot_ms;    /* ONE: by the clock of clock_mono_ms, rounded down to a clock tick */
    int64_t started_wall_ms;    /* ONE */
    char why[CLUSTER_TEXT_MAX]; /* NONE, MANY: what was looked for, and what to do */
};

struct process_finder {
    const char *proc;        /* "/proc" */
    const char *config_path; /* the encryption config that its argument list must name */
    const char *pid_file;    /* "" or NULL: search all argument lists */
    /* Not NULL: the API server runs inside of this program ("k3s"), which is called as "k3s server …". */
    const char *program;
    /* Where no process names the file, may be NULL: the argument list (a NUL after each) of an API server
     * that runs without an encryption config, for one that has exactly these. A driver's (agent/driver.h). */
    int (*arguments)(const struct config *c, struct buf *out, struct error *err);
    const struct config *config;
};

/* Looks once. By the pid file where one is given; else for the one process that has the argument
 * --encryption-provider-config=PATH (or PATH as the next argument), where PATH is config_path or, seen
 * through that process's own root folder, the same file. */
void process_find(const struct process_finder *f, struct process_found *ret);

/* The identity of a live process: ERR_NOT_FOUND when there is none of that pid, or only its zombie. */
int process_identify(const char *proc, int64_t pid, struct process_id *ret, struct error *err) _must_check_;

bool process_same(const struct process_id *a, const struct process_id *b); /* false for pid 0 */
bool process_alive(const char *proc, const struct process_id *id);

/* This boot's id, as the kernel names it ("unknown" when it does not). */
void process_boot(const char *proc, char out[PROCESS_BOOT_MAX]);

#endif
