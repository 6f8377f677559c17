/* What stands in for proofs that need the datastore itself, where it cannot be read raw: every object is
 * listed through every server, which has to open each for that. */
#include <inttypes.h>
#include <string.h>

#include <base/text.h>

#include "servers.h"

static void set_method(struct cluster_proof *p, void *arg)
{
    (void)arg;
    text_copy(p->method, sizeof(p->method), "list");
}

static void set_why(struct cluster_proof *p, void *arg)
{
    text_copy(p->why, sizeof(p->why), arg);
}

static int list_all(struct job *j, const char *why, struct error *err)
{
    struct servers s;
    int64_t objects = 0;
    job_update_proof(j, set_method, NULL);
    int rc = servers_open(j, &s, err);
    if (rc == 0)
        rc = servers_list(&s, &objects, err);
    servers_close(&s);
    if (rc == 0)
        job_update_proof(j, set_why, (char *)why);
    return rc;
}

int listed_run(struct job *j, struct error *err)
{
    bool opens = job_opts(j)->kind == JOB_OPENS;
    return list_all(j,
                    opens ? "the datastore cannot be read raw: every object was listed through every server"
                          : "values cannot be counted by key: every object is listed by every server",
                    err);
}

/* ---------- every object was rewritten twice ---------- */

/* The first ones by name; the record has more of them. */
#define NAMED_MAX 3

static int judge_pass(const struct cluster_reencrypt *r, const char *which, struct error *err)
{
    char named[CLUSTER_TEXT_MAX - 160] = "";
    size_t len = 0;
    if (r->failed == 0)
        return 0;
    for (size_t i = 0; i < r->failures_count && i < NAMED_MAX && len < sizeof(named); i++)
        len += (size_t)snprintf(named + len, sizeof(named) - len, "%s%.120s: %.120s", i ? "; " : "",
                                r->failures[i].object, r->failures[i].why);
    return error_set(err, ERR_STATE,
                     "%" PRId64 " of %" PRId64 " objects could not be rewritten in the %s pass: %s",
                     r->failed, r->done, which, named);
}

static void set_ended(struct cluster_reencrypt *r, void *arg)
{
    const char *why = arg; /* "" : it went well */
    r->state = *why ? REENCRYPT_FAILED : REENCRYPT_ENDED;
    text_copy(r->why, sizeof(r->why), why);
}

static int one_pass(struct job *j, const char *which, struct error *err)
{
    struct cluster_reencrypt r;
    struct error why = ERROR_INIT;
    int rc = reencrypt_api_run(j, &why);
    job_update(j, set_ended, rc < 0 ? why.text : "");
    job_progress(j, &r);
    return rc < 0 ? error_set(err, rc, "%s", why.text) : judge_pass(&r, which, err);
}

/* The rewriting before this phase was the first pass, if it stands in the record as it ended. Where it does
 * not (a pass of ours was broken off and wrote over it), both are made here. */
int twice_run(struct job *j, struct error *err)
{
    const struct job_options *o = job_opts(j);
    job_update_proof(j, set_method, NULL);
    int rc = o->rewritten_before ? judge_pass(&o->so_far, "first", err) : one_pass(j, "first", err);
    if (rc == 0)
        rc = one_pass(j, "second", err);
    return rc < 0 ? rc
                  : list_all(j,
                             "values cannot be counted by key: every object was rewritten twice without a "
                             "failure and is listed by every server",
                             err);
}
