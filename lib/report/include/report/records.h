/* Records that several commands show as JSON. */
#ifndef REPORT_RECORDS_H
#define REPORT_RECORDS_H

#include <cluster/snapshot.h>

#include <report/builder.h>

/* "proofs": those of the operation that runs or ran last. */
void build_proofs(struct builder *b, struct json *root, const struct cluster_snapshot *s);

/* What an operation has where it has it: "reason", and "cause" of a halt. */
void build_reasons(struct builder *b, struct json *o, const struct cluster_operation *op);

/* "keys": active, readable and retired ones. datastore_revision: 0 where it is not known. */
void build_keys(struct builder *b, struct json *root, const struct cluster_snapshot *s,
                int64_t datastore_revision);

#endif
