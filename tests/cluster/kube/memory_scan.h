/* Looking for a text in this process's own memory. The text is kept masked, so that the test does not find
 * itself; its base64 form is looked for as well. */
#ifndef TESTS_CLUSTER_KUBE_MEMORY_SCAN_H
#define TESTS_CLUSTER_KUBE_MEMORY_SCAN_H

#include <stddef.h>

#define NEEDLE_LEN 48

struct needle {
    unsigned char masked[NEEDLE_LEN];
};

/* A random one, of letters and digits. */
void needle_make(struct needle *n);
/* Writes the text itself; out needs NEEDLE_LEN + 1. */
void needle_text(const struct needle *n, char *out);

/* How often it occurs in the readable memory; -1 when that cannot be read. */
int memory_count(const struct needle *n);

#endif
