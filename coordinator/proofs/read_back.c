/* Proof 2 where the datastore cannot be looked into: what one server writes, every other one reads. It does
 * not tell which key that was; it does tell that they share a datastore, and a key for what is written now.
 */
#include "read_back.h"

#include <base/text.h>

#define GET_MS        3000
#define MISSING_TRIES 4
#define MISSING_WAIT  200

static int judge(struct servers *s, const struct canary *c, size_t maker, size_t reader, enum verdict verdict,
                 const char *answer, const struct buf *reply, struct error *err)
{
    const char *made = servers_name(s, maker), *read = servers_name(s, reader);
    char doing[2 * KUBE_NAME_MAX];
    if (verdict == VERDICT_YES)
        return canary_is(c, reply) ? 0
                                   : error_set(err, ERR_STATE,
                                               "%s answers with another object than the one that %s made at "
                                               "%s: they use different datastores",
                                               read, made, c->path);
    if (verdict == VERDICT_MISSING)
        return error_set(err, ERR_STATE,
                         "%s does not find %s, which %s made: they use different datastores, or somebody "
                         "deletes it",
                         read, c->path, made);
    if (verdict == VERDICT_EVIDENCE)
        return error_set(err, ERR_STATE,
                         "%s cannot read what %s writes (%s): see that both were restarted with the present "
                         "encryption config",
                         read, made, answer);
    snprintf(doing, sizeof(doing), "getting %s in %s", c->kind->resource, c->namespace);
    return servers_refused(s, reader, verdict, doing, answer, err);
}

static int read_through(struct servers *s, const struct canary *c, size_t maker, size_t reader,
                        struct error *err)
{
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
    char answer[ANSWER_TEXT_MAX] = "";
    enum verdict verdict = VERDICT_LATER;
    for (unsigned attempt = 0;; attempt++) {
        if (job_canceled(s->job))
            return error_set(err, ERR_CANCELED, "the proof was stopped");
        int rc = servers_ask(s, reader, "GET", c->path, NULL, GET_MS, &reply, &verdict, answer, err);
        if (rc < 0)
            return rc;
        if (verdict != VERDICT_MISSING || attempt == MISSING_TRIES)
            return judge(s, c, maker, reader, verdict, answer, &reply, err);
        job_wait(s->job, MISSING_WAIT);
    }
}

int read_back(struct servers *s, const struct canary *c, size_t maker, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->count; i++)
        if (i != maker || s->count == 1)
            rc = read_through(s, c, maker, i, err);
    return rc;
}
