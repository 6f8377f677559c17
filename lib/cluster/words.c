#include "words.h"

#include <inttypes.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <cluster/codec.h>

#define WORDS(id, ...)                                                                                       \
    static const char *const id##_list[] = {__VA_ARGS__};                                                    \
    const struct words id = {id##_list, array_len(id##_list)}

WORDS(stage_words, "start", "prepare", "rotate", "reencrypt_request", "reencrypt_active",
      "reencrypt_finished");
WORDS(order_kind_words, "adopt", "apply", "write", "sync", "restart", "repair", "call", "follow");
WORDS(order_state_words, "none", "taken", "restarting", "done", "failed", "refused");
WORDS(operation_kind_words, "prepare", "rotate", "reencrypt", "rotate-keys", "enable", "disable", "adopt",
      "abort", "restore-key", "restart", "pause", "resume", "repair", "throttle", "lock", "unlock");
WORDS(operation_state_words, "running", "finished", "halted", "paused");
WORDS(phase_words, "adopt", "opens", "backup", "append", "readable", "promote", "written", "rewrite",
      "verify", "backup_drop", "drop", "final", "identity", "switch", "restore", "revert", "return",
      "bring_back", "restart", "done");
WORDS(reencrypt_state_words, "idle", "running", "ended", "failed");
WORDS(proof_state_words, "none", "running", "made", "failed", "unmade");
WORDS(key_state_words, "readable", "active", "retired");
WORDS(check_result_words, "ok", "warn", "fail");
WORDS(server_role_words, "", "etcd", "control-plane");
WORDS(answer_words, "none", "accepted", "resumed", "refused");
WORDS(cause_words, "", "mismatch", "server", "gate", "denied");

_Static_assert(array_len(stage_words_list) == STAGE_REENCRYPT_FINISHED + 1, "a word for each stage");
_Static_assert(array_len(order_kind_words_list) == ORDER_FOLLOW + 1, "a word for each order kind");
_Static_assert(array_len(order_state_words_list) == ORDER_REFUSED + 1, "a word for each order state");
_Static_assert(array_len(operation_kind_words_list) == OP_UNLOCK + 1, "a word for each operation");
_Static_assert(array_len(phase_words_list) == PHASE_DONE + 1, "a word for each phase");
_Static_assert(array_len(operation_state_words_list) == OP_STATE_PAUSED + 1, "a word for each state");
_Static_assert(array_len(proof_state_words_list) == PROOF_UNMADE + 1, "a word for each proof state");
_Static_assert(array_len(key_state_words_list) == KEY_RETIRED + 1, "a word for each key state");
_Static_assert(array_len(check_result_words_list) == CHECK_FAIL + 1, "a word for each result");
_Static_assert(array_len(server_role_words_list) == ROLE_CONTROL_PLANE + 1, "a word for each role");
_Static_assert(array_len(answer_words_list) == ANSWER_REFUSED + 1, "a word for each answer");
_Static_assert(array_len(cause_words_list) == CAUSE_DENIED + 1, "a word for each cause");

const char *words_name(const struct words *w, int value)
{
    return value >= 0 && (size_t)value < w->count ? w->names[value] : NULL;
}

int words_find(const struct words *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->names[i], name) == 0)
            return (int)i;
    return -1;
}

int server_role_parse(const char *word)
{
    return words_find(&server_role_words, word);
}

const char *stage_name(enum stage s)
{
    return words_name(&stage_words, (int)s);
}

int stage_parse(const char *word)
{
    return words_find(&stage_words, word);
}

const char *order_kind_name(enum order_kind k)
{
    return words_name(&order_kind_words, (int)k);
}

const char *order_state_name(enum order_state s)
{
    return words_name(&order_state_words, (int)s);
}

const char *operation_kind_name(enum operation_kind k)
{
    return words_name(&operation_kind_words, (int)k);
}

int operation_kind_parse(const char *word)
{
    return words_find(&operation_kind_words, word);
}

const char *operation_state_name(enum operation_state s)
{
    return words_name(&operation_state_words, (int)s);
}

const char *phase_name(enum phase p)
{
    return words_name(&phase_words, (int)p);
}

const char *proof_state_name(enum proof_state s)
{
    return words_name(&proof_state_words, (int)s);
}

const char *key_state_name(enum key_state s)
{
    return words_name(&key_state_words, (int)s);
}

const char *check_result_name(enum check_result r)
{
    return words_name(&check_result_words, (int)r);
}

const char *cluster_cause_name(enum cluster_cause c)
{
    return words_name(&cause_words, (int)c);
}

void cluster_lease_format(int64_t lease, char out[CLUSTER_LEASE_MAX])
{
    snprintf(out, CLUSTER_LEASE_MAX, "%" PRIx64, (uint64_t)lease);
}

int64_t cluster_lease_parse(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len >= CLUSTER_LEASE_MAX || strspn(text, "0123456789abcdef") != len)
        return 0;
    return (int64_t)strtoull(text, NULL, 16);
}
