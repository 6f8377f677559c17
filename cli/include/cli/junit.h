/* How an operation went, as JUnit XML: a test case a phase. Pure. */
#ifndef CLI_JUNIT_H
#define CLI_JUNIT_H

#include <base/buf.h>
#include <cluster/snapshot.h>

#define JUNIT_CASES_MAX 64 /* phases entered; of more the last ones are left out */
#define JUNIT_REST_MAX  16 /* phases still to come */

struct junit {
    enum operation_kind kind; /* as asked for, then of the operation */
    char operation[CLUSTER_ID_MAX];
    int64_t begun_ms, accepted_ms; /* 0: it was not (yet) accepted */
    bool asks;                     /* false: it only follows what runs */
    struct {
        enum phase phase;
        int64_t step, begun_ms, ended_ms; /* 0: it is under way */
    } cases[JUNIT_CASES_MAX];
    size_t cases_count;
    enum phase rest[JUNIT_REST_MAX];
    size_t rest_count;
};

void junit_begin(struct junit *j, enum operation_kind kind, bool asks, int64_t now_ms);
void junit_accepted(struct junit *j, const char *operation, enum operation_kind kind, int64_t now_ms);

/* A snapshot that holds the operation. Phases that came and went between two looks count as well. */
void junit_look(struct junit *j, const struct cluster_snapshot *s, int64_t now_ms);

/* The whole file. `code` and `message`: how the command ended; the phase under way is the one that failed,
 * those to come were skipped. */
int junit_render(const struct junit *j, int code, const char *message, int64_t now_ms, struct buf *out,
                 struct error *err) _must_check_;

#endif
