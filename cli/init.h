/* The parts of `init` that touch the world. */
#ifndef CLI_INIT_H
#define CLI_INIT_H

#include <discover/discover.h>

/* Adds this machine's addresses (where there is no root), and what etcd says of its members and of the API
 * servers that are alive. What does not answer within some seconds becomes a note. */
void init_ask(struct discover_facts *f, const char *root);

/* Where everything is written: under the root, while the texts name it without. */
struct init_target {
    const char *config; /* path of the file, as it is opened */
    const char *root;
    char token[PATH_MAX]; /* as the configuration names it */
    bool force;
};

/* Writes the kubeconfig's parts, the token (unless there is one), and last the configuration, over an older
 * one with `force` alone, a copy of which is kept. Tells each on stderr. */
int init_write(const struct init_target *t, const struct discover_facts *f, const struct buf *text,
               struct error *err) _must_check_;

#endif
