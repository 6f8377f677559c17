/* Proof 2 where the datastore cannot be looked into: what one server writes, every other one reads, and
 * leaves as it is when it is asked to write it again. A server that writes under another key does write it
 * again. It does not tell which key that is; it does tell that all write under the same one. */
#include "read_back.h"

#include <string.h>

#include <base/text.h>
#include <json/json.h>

#define GET_MS        3000
#define MISSING_TRIES 4
#define MISSING_WAIT  200
#define PATCH_MS      5000
#define KEY_TRIES     3
#define VERSION_MAX   64

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

/* An empty patch through a server; the object's version afterwards. */
static int touch(struct servers *s, const struct canary *c, size_t i, char version[VERSION_MAX],
                 struct error *err)
{
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
    _cleanup_(json_freep) struct json *root = NULL;
    char answer[ANSWER_TEXT_MAX], doing[2 * KUBE_NAME_MAX];
    long status = 0;
    int rc = kube_request(s->kube[i], "PATCH", c->path, "application/json", "application/merge-patch+json",
                          "{}", 2, PATCH_MS, &status, &reply, err);
    if (rc < 0)
        return rc;
    answer_text(status, &reply, answer);
    enum verdict verdict = answer_verdict(status, answer);
    snprintf(doing, sizeof(doing), "patching %s in %s", c->kind->resource, c->namespace);
    if (verdict != VERDICT_YES)
        return servers_refused(s, i, verdict, doing, answer, err);
    rc = json_parse(buf_str(&reply), reply.len, doing, &root, err);
    if (rc == 0)
        text_copy(version, VERSION_MAX,
                  json_string(json_get(json_get(root, "metadata"), "resourceVersion"), ""));
    return rc;
}

/* Two servers that write under different keys write it again each time; somebody else who changes it (a
 * webhook, a controller) comes to an end. */
static int same_key(struct servers *s, const struct canary *c, size_t maker, size_t reader, struct error *err)
{
    for (unsigned attempt = 0; attempt < KEY_TRIES; attempt++) {
        char there[VERSION_MAX] = "", here[VERSION_MAX] = "";
        int rc = touch(s, c, reader, there, err);
        if (rc == 0)
            rc = touch(s, c, maker, here, err);
        if (rc < 0)
            return rc;
        if (*here && strcmp(here, there) == 0)
            return 0;
        if (job_canceled(s->job))
            return error_set(err, ERR_CANCELED, "the proof was stopped");
    }
    return error_set(err, ERR_STATE,
                     "%s and %s write under different keys (each writes again what the other one wrote): see "
                     "that both were restarted with the present encryption config",
                     servers_name(s, maker), servers_name(s, reader));
}

int read_back(struct servers *s, const struct canary *c, size_t maker, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->count; i++)
        if (i != maker || s->count == 1) {
            rc = read_through(s, c, maker, i, err);
            if (rc == 0)
                rc = same_key(s, c, maker, i, err);
        }
    return rc;
}
