/* `secrets-encrypt-agent k3s-call CALL`: asks this machine's supervisor for its next encryption config, and
 * ends when that stands in its file. What was done already is not done again: an earlier call may have got no
 * answer, or a wrong one. The last line says why it failed. */
#include <inttypes.h>
#include <poll.h>

#include <agent/k3s.h>
#include <agent/service.h>
#include <base/clock.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <kube/kube.h>

#include "commands.h"

#define ANSWER_MS     30000 /* K3s sleeps a second before it answers, and longer under load */
#define ANSWER_MAX    (256 * 1024)
#define POLL_MS       1000
#define PUTS_MAX      6
#define SILENT_MAX_MS 120000 /* it may be starting */
#define ID            "error ID "
#define LOG_LINES     SERVICE_LINES_MAX
#define STUCK_MS      60000 /* asked for, and nothing has begun: its process was restarted meanwhile */

struct call {
    const struct config *config;
    const char *what;
    struct kube *kube;
    int64_t deadline_ms;
    int64_t silent_ms;  /* since when no status could be read; 0: it could */
    int64_t waiting_ms; /* since when it is under way without a step forward */
    enum stage stage;   /* seen last */
    unsigned puts;
    bool force;
    struct error why; /* of the last put or status that failed */
};

static int open_supervisor(struct call *c, struct error *err)
{
    struct k3s_places places;
    int rc = k3s_places(c->config, &places, err);
    if (rc < 0)
        return rc;
    struct kube_options options = {.server = c->config->server,
                                   .url = places.supervisor,
                                   .ca_file = places.ca,
                                   .token_file = places.token,
                                   .user = "server"};
    return kube_open(&options, &c->kube, err);
}

static int get_status(struct call *c, struct k3s_status *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ANSWER_MAX);
    long status = 0;
    int rc = kube_request(c->kube, "GET", "/v1-k3s/encrypt/status", "application/json", NULL, NULL, 0,
                          ANSWER_MS, &status, &body, err);
    if (rc < 0)
        return rc;
    if (status != 200)
        return error_set(err, status == 401 || status == 403 ? ERR_DENIED : ERR_UNAVAILABLE,
                         "%s: the supervisor answers %ld to a question for its status: %.200s",
                         c->config->server, status, buf_str(&body));
    return k3s_status_parse(buf_str(&body), body.len, ret, err);
}

/* What it answers is not believed but looked at: a 400 may come from a race after all was done. */
static void put(struct call *c)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ANSWER_MAX);
    const char *text = k3s_body(c->what, c->force);
    long status = 0;
    c->puts++;
    c->waiting_ms = clock_mono_ms();
    c->why = (struct error)ERROR_INIT;
    if (kube_request(c->kube, "PUT", "/v1-k3s/encrypt/config", "application/json", "application/json", text,
                     strlen(text), ANSWER_MS, &status, &body, &c->why) < 0)
        return;
    if (status != 200)
        error_set(&c->why, ERR_STATE, "%s: the supervisor answers %ld: %.300s", c->config->server, status,
                  buf_str(&body));
}

static int wrong(const struct call *c, const struct k3s_status *s, struct error *err)
{
    return error_set(err, ERR_STATE,
                     "%s is at stage %s, from which %s does not follow: somebody else has gone on with its "
                     "rotation; look at `k3s secrets-encrypt status` there",
                     c->config->server, stage_name(s->stage), c->what);
}

/* What the supervisor answers is a number; the reason stands under it in the server's log. */
static void look_up_reason(struct call *c)
{
    _cleanup_(buf_freep) struct buf log = BUF_INIT(SERVICE_LOG_MAX);
    struct k3s_places places;
    enum service_init init = SERVICE_SYSTEMD;
    char id[32];
    const char *at = strstr(c->why.text, ID);
    size_t digits = at ? strspn(at + sizeof(ID) - 1, "0123456789") : 0;
    if (digits == 0 || digits > 12 || k3s_places(c->config, &places, NULL) < 0 ||
        service_init_find(&init, NULL) < 0 || service_log_tail(init, places.unit, LOG_LINES, &log, NULL) < 0)
        return;
    snprintf(id, sizeof(id), ID "%.*s: ", (int)digits, at + sizeof(ID) - 1);
    const char *reason = strstr(buf_str(&log), id);
    if (!reason)
        return;
    reason += strlen(id);
    error_set(&c->why, c->why.code, "%.*s", (int)strcspn(reason, "\"\n"), reason);
}

static int ask(struct call *c, const struct k3s_status *s, struct error *err)
{
    if (c->puts >= PUTS_MAX)
        look_up_reason(c);
    if (c->puts >= PUTS_MAX)
        return error_set(err, ERR_STATE, "%s: %s was refused %u times: %.300s%s%.100s", c->config->server,
                         c->what, c->puts, c->why.text, s->hashes_match ? "" : "; ",
                         s->hashes_match ? "" : s->why);
    put(c);
    return 0;
}

/* Its process was restarted in the middle: K3s remembers that it was asked, and does not always begin again.
 * Every value was counted under the new key before, so nothing can be lost by asking once more. */
static int wait_on(struct call *c, const struct k3s_status *s, struct error *err)
{
    int64_t now = clock_mono_ms();
    if (s->stage != c->stage)
        c->waiting_ms = now;
    c->stage = s->stage;
    if (s->stage != STAGE_REENCRYPT_REQUEST || now - c->waiting_ms < STUCK_MS)
        return 0;
    c->force = true;
    return ask(c, s, err);
}

/* Returns 1 when it is done, 0 to look again in a moment. */
static int look(struct call *c, struct error *err)
{
    struct k3s_status s = {0};
    int64_t now = clock_mono_ms();
    struct error why = ERROR_INIT;
    int rc = get_status(c, &s, &why);
    if (rc < 0) {
        c->silent_ms = c->silent_ms ? c->silent_ms : now;
        if (rc != ERR_DENIED && now - c->silent_ms < SILENT_MAX_MS)
            return 0;
        return error_set(err, rc, "%s", why.text);
    }
    c->silent_ms = 0;
    switch (k3s_next(c->what, &s)) {
    case K3S_DONE:
        return 1;
    case K3S_PUT:
        return ask(c, &s, err);
    case K3S_WAIT:
        return wait_on(c, &s, err);
    case K3S_WRONG:
        break;
    }
    return wrong(c, &s, err);
}

static int late(const struct call *c, struct error *err)
{
    return error_set(err, ERR_TIMEOUT,
                     "%s: %s is not done after %" PRId64
                     " s (stage %s)%s%.200s: no other server has changed and no "
                     "key is lost; look at the server's log, restart it, and run `secrets-encrypt resume`",
                     c->config->server, c->what, c->config->k3s_reencrypt_timeout_s, stage_name(c->stage),
                     c->why.text[0] ? ": " : "", c->why.text);
}

int k3s_call_main(const struct config *config, const char *word)
{
    struct error err = ERROR_INIT;
    struct call c = {.config = config, .what = word ? word : ""};
    if (!k3s_body(c.what, false)) {
        error_set(&err, ERR_INVALID, "k3s-call: '%s' is no call", c.what);
        return complain(&err);
    }
    c.deadline_ms = clock_mono_ms() + config->k3s_reencrypt_timeout_s * 1000;
    int rc = open_supervisor(&c, &err);
    for (unsigned turn = 0; rc == 0; turn++) {
        rc = look(&c, &err);
        if (rc == 0 && clock_mono_ms() > c.deadline_ms)
            rc = late(&c, &err);
        if (rc == 0)
            (void)poll(NULL, 0, (int)backoff_ms(turn, POLL_MS, POLL_MS));
    }
    kube_close(c.kube);
    return rc < 0 ? complain(&err) : 0;
}
