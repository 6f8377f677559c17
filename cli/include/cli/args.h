/* The command line: one table of flags, which may stand before or after the command. Pure, except that a
 * token's memory in argv is wiped. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/error.h>
#include <base/secret.h>

enum output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_WIDE };

#define ARGS_SERVERS_MAX 64
struct args {
    const char *config; /* borrowed from argv, as all strings here; NULL: not given */
    const char *data_dir;
    struct secret *token; /* owned; NULL: not given */
    enum output output;
    const char *file;    /* --output of a command that writes one (FLAG_INIT); NULL: not given */
    const char *cluster; /* NULL: not given; so root */
    const char *root;
    bool yes;
    const char *operand; /* the command's own argument, "s2" of "repair s2"; NULL: it takes none */
    const char *operand2; /* of a command with two: both are given, or none */
    bool force, skip, no_restart, no_wait, wait, help, version, quiet, check, dry_run, watch;
    const char *junit;  /* NULL: not given */
    int64_t timeout_s;  /* 0: none */
    const char *engine; /* "api", "datastore"; NULL: not given */
    bool offline;
    int64_t max_rate;                      /* -1: not given */
    const char *servers[ARGS_SERVERS_MAX]; /* each --server, in the order given */
    size_t servers_count;
    const char *reason; /* NULL: not given */
    bool now;
    int64_t ttl_s;                             /* 0: not given */
    const char *coordinator, *ca, *cert, *key; /* the API, and files; NULL: not given */
    const char *idempotency_key;               /* NULL: not given */
    char **run; /* the words behind "--", ended by NULL; NULL: none (or not FLAG_RUN) */
};

/* Flags that only some commands take; --config, --data-dir, --token, --server and --help go with all. */
#define FLAG_OUTPUT       (1u << 0)
#define FLAG_FORCE        (1u << 1)
#define FLAG_SKIP         (1u << 2)
#define FLAG_NO_RESTART   (1u << 3)
#define FLAG_FOLLOW       (1u << 4) /* --wait, --no-wait, --timeout, --junit: followed unless told otherwise */
#define FLAG_WAIT         (1u << 5) /* the same: it is followed when asked for */
#define FLAG_ENGINE       (1u << 7) /* --engine, --max-rate: it rewrites values */
#define FLAG_OFFLINE      (1u << 8)
#define FLAG_JSON         (1u << 6)  /* --output, without wide */
#define FLAG_INIT         (1u << 9)  /* --output as a file, --cluster, --yes, --force, --root */
#define FLAG_SERVERS      (1u << 10) /* --server NAME, more than once */
#define FLAG_REASON       (1u << 11)
#define FLAG_NOW          (1u << 12)
#define FLAG_TTL          (1u << 13)
#define FLAG_RUN          (1u << 14) /* -- COMMAND… */
#define FLAG_DRY_RUN      (1u << 16)
#define FLAG_CHECK        (1u << 17)
#define FLAG_TIMEOUT      (1u << 18) /* --timeout, --junit: following is all that it does */
#define FLAG_FORCE_UNLOCK (1u << 19)
#define FLAG_WATCH        (1u << 20)

struct command {
    const char *name;                    /* may be of two words: "keys restore" */
    const char *operand;                 /* what its one argument is called, "[NAME]" where it may be
                                            left out, "[ONE TWO]" for two; NULL: it takes none */
    unsigned flags;                      /* FLAG_… */
    const char *summary;                 /* its line in the list of commands */
    const char *example;                 /* command lines, one a line */
    const char *help;                    /* what it does, in full lines */
    int (*run)(const struct args *args); /* returns the exit code */
};

/* Parses argv. *ret_command is NULL when none was given. Every bad use is ERR_INVALID with one line: an
 * unknown command or flag (with the nearest one), a flag that this command does not take, a missing or bad
 * value, an argument too many or too few. A --token's value is overwritten in argv as soon as it has been
 * copied, also when parsing fails later. Free with args_free, also after a failure. */
int args_parse(int argc, char **argv, const struct command *commands, size_t count, struct args *ret,
               const struct command **ret_command, struct error *err) _must_check_;
void args_free(struct args *a);

/* True when the command follows what it asked for to its end. */
bool args_follow(const struct args *a, const struct command *c);

/* Whether JSON is asked for by a command line that may be none that args_parse takes. */
bool args_want_json(int argc, char *const *argv);

/* Objects a second, as --max-rate and throttle take them: 0 (no limit) and up. */
int args_rate(const char *value, int64_t *ret, struct error *err) _must_check_;

/* The lines of help for the flags that a command takes (flags = its FLAG_… bits). Appended to out. */
struct buf;
int args_help(unsigned flags, struct buf *out, struct error *err) _must_check_;

/* Every command and flag as lines of fields between tabs, from which deploy/pages/ makes the man page and the
 * shells' completion. Appended to out:
 *   command NAME OPERAND SUMMARY EXAMPLE HELP
 *   example COMMAND LINE                             one for each of its examples
 *   flag    COMMAND SHORT LONG TAKES CHOICES HELP    COMMAND "*": of every command; CHOICES: words, or none
 *   exit    CODE CAUSE MEANING                       cli/exits.h
 */
int args_table(const struct command *commands, size_t count, struct buf *out, struct error *err) _must_check_;

#endif
