/* Memory that runs out: the n-th allocation of our own code fails, for n = 1, 2, … until a call gets by
 * without it. Ours are those of everything that is linked in (lib/, agent/, cli/), by the linker's --wrap;
 * what cJSON, libyaml and OpenSSL allocate goes through functions of ours or is asked for here. */
#ifndef TEST_ALLOC_FAIL_H
#define TEST_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>

#include <base/error.h>

/* One call, with all that it gives freed again. When it fails, it has left everything as it was: the case
 * looks. */
struct alloc_case {
    const char *name;
    int (*run)(struct error *err);
    /* Asks OpenSSL, which does without some allocations, does not always tell that it was memory that failed,
     * and keeps things for the next call: the case itself looks whether what it got is right. */
    bool openssl;
};

/* Runs the case without a failure (twice: what is made once and kept is made then), and with each of its
 * allocations failing: each time ERR_NO_MEMORY with a text, and as much memory in use as before. Ends the
 * program with a line that says which allocation of which case did not go so; with ALLOC_TRACE set, with the
 * stacks of the allocation that failed and of what was not freed. */
void alloc_case_run(const struct alloc_case *c);

/* First of all in main(), before OpenSSL has allocated anything. */
void alloc_install(void);

/* All of them as cmocka's tests; for main(). */
int alloc_cases_main(const struct alloc_case *cases, size_t count);

#endif
