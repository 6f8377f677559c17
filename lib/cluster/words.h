/* Words of the enums on the wire: index = enum value. */
#ifndef CLUSTER_WORDS_H
#define CLUSTER_WORDS_H

#include <stddef.h>

struct words {
    const char *const *names;
    size_t count;
};

extern const struct words stage_words, order_kind_words, order_state_words, operation_kind_words,
    operation_state_words, phase_words, reencrypt_state_words, proof_state_words, key_state_words,
    check_result_words, answer_words, server_role_words, cause_words;

const char *words_name(const struct words *w, int value); /* NULL when unknown */
int words_find(const struct words *w, const char *name);  /* -1 when unknown */

#endif
