#include "servers.h"

#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "../api_login.h"

#define READY_DEADLINE_MS 3000

static void add_rows(struct cluster_proof *p, void *arg)
{
    const struct servers *s = arg;
    p->servers_count = s->count;
    for (size_t i = 0; i < s->count; i++) {
        p->servers[i] = (struct cluster_server_proof){.state = PROOF_NONE};
        text_copy(p->servers[i].server, sizeof(p->servers[i].server), servers_name(s, i));
    }
}

int servers_denied(const struct servers *s)
{
    return s->o->spec.not_raw && s->o->proof.phase == PHASE_FINAL ? ERR_DENIED : ERR_STATE;
}

static int open_one(struct servers *s, size_t i, struct error *err)
{
    struct kube_options options = api_login(s->o, i);
    if (!job_usable(s->job, i))
        return error_set(err, ERR_UNAVAILABLE, "%s is not ready: the proof waits for it", options.server);
    struct error why = ERROR_INIT;
    int rc = kube_open(&options, &s->kube[i], &why);
    if (rc < 0) /* before the server was asked: a file of ours, which the text names */
        return error_set(err, rc == ERR_DENIED ? servers_denied(s) : rc, "%s", why.text);
    rc = kube_ready(s->kube[i], READY_DEADLINE_MS, err); /* which also makes the connection */
    return rc == ERR_DENIED ? error_set(err, servers_denied(s), "%s does not accept the coordinator's login",
                                        options.server)
                            : rc;
}

int servers_open(struct job *j, struct servers *ret, struct error *err)
{
    *ret = (struct servers){.job = j, .o = job_opts(j), .count = job_opts(j)->spec.servers_count};
    int rc = 0;
    job_update_proof(j, add_rows, ret);
    for (size_t i = 0; i < ret->count; i++) {
        struct error why = ERROR_INIT;
        int one =
            job_canceled(j) ? error_set(&why, ERR_CANCELED, "the proof was stopped") : open_one(ret, i, &why);
        if (one < 0)
            servers_found(ret, i, one, &why);
        servers_worse(&rc, err, one, &why);
    }
    return rc;
}

void servers_close(struct servers *s)
{
    for (size_t i = 0; i < s->count; i++)
        kube_close(s->kube[i]);
    s->count = 0;
}

const char *servers_name(const struct servers *s, size_t i)
{
    return s->o->spec.servers[i].name;
}

int servers_ask(struct servers *s, size_t i, const char *method, const char *path, const struct buf *body,
                int deadline_ms, struct buf *out, enum verdict *ret, char answer[ANSWER_TEXT_MAX],
                struct error *err)
{
    long status = 0;
    buf_reset(out);
    int rc = kube_request(s->kube[i], method, path, "application/json", body ? "application/json" : NULL,
                          body ? body->data : NULL, body ? body->len : 0, deadline_ms, &status, out, err);
    if (rc < 0)
        return rc;
    answer_text(status, out, answer);
    *ret = answer_verdict(status, answer);
    return 0;
}

int servers_refused(const struct servers *s, size_t i, enum verdict verdict, const char *doing,
                    const char *answer, struct error *err)
{
    if (verdict == VERDICT_DENIED)
        return error_set(err, servers_denied(s),
                         "%s: the coordinator's login lacks the permission for %s (RBAC): %s",
                         servers_name(s, i), doing, answer);
    return error_set(err, verdict == VERDICT_EVIDENCE ? ERR_STATE : ERR_UNAVAILABLE, "%s: %s: %s",
                     servers_name(s, i), doing, answer);
}

/* ---------- rows ---------- */

struct row {
    size_t i;
    struct cluster_server_proof value;
};

static void set_row(struct cluster_proof *p, void *arg)
{
    const struct row *r = arg;
    if (r->i >= p->servers_count)
        return;
    p->servers[r->i].state = r->value.state;
    p->servers[r->i].time_ms = r->value.time_ms;
    text_copy(p->servers[r->i].why, sizeof(p->servers[r->i].why), r->value.why);
}

void servers_found(struct servers *s, size_t i, int rc, const struct error *why)
{
    struct row r = {.i = i, .value.time_ms = clock_wall_ms()};
    r.value.state = rc == 0 ? PROOF_MADE : rc == ERR_STATE ? PROOF_FAILED : PROOF_UNMADE;
    if (rc < 0)
        text_copy(r.value.why, sizeof(r.value.why), why->text);
    job_update_proof(s->job, set_row, &r);
}

void servers_worse(int *rc, struct error *err, int other, const struct error *why)
{
    if (other == 0 || *rc == ERR_STATE || (*rc < 0 && other != ERR_STATE))
        return;
    *rc = error_set(err, other, "%s", why->text);
}
