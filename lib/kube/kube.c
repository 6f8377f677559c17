#include <kube/kube.h>

#include <string.h>

#include <base/clock.h>

#include "reply.h"
#include "request.h"
#include "session.h"
#include "sink.h"

struct kube {
    struct session session;
    CURL *easy;
    char errbuf[CURL_ERROR_SIZE];
};

struct request {
    const char *method, *path;
    const char *accept, *content_type; /* whole header lines, NULL: none */
    const void *body;
    size_t body_len;
    bool fresh; /* on a connection of its own */
};

int kube_open(const struct kube_options *options, struct kube **ret, struct error *err)
{
    struct kube *k = calloc(1, sizeof(*k));
    int rc;

    if (!k)
        return error_no_memory(err);
    rc = session_init(&k->session, options, err);
    if (rc < 0) {
        free(k);
        return rc;
    }
    k->easy = curl_easy_init();
    if (!k->easy) {
        kube_close(k);
        return error_no_memory(err);
    }
    *ret = k;
    return 0;
}

void kube_close(struct kube *k)
{
    if (!k)
        return;
    curl_easy_cleanup(k->easy);
    session_clear(&k->session);
    free(k);
}

const struct session *kube_session(const struct kube *k)
{
    return &k->session;
}

static CURLcode set_method(CURL *easy, const struct request *r)
{
    CURLcode c = CURLE_OK;

    if (strcmp(r->method, "HEAD") == 0)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (r->body) {
        c = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body);
        c = c ? c : curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
    }
    return c ? c : curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static int prepare(struct kube *k, const struct request *r, struct headers *h, int deadline_ms,
                   struct sink *body, struct error *err)
{
    _cleanup_(buf_freep) struct buf url = BUF_INIT(KUBE_URL_MAX + 4 * KUBE_CONTINUE_MAX);
    CURLcode c;
    int rc = buf_addf(&url, err, "%s%s", k->session.url, r->path);

    if (rc < 0)
        return rc;
    curl_easy_reset(k->easy); /* keeps connections */
    k->errbuf[0] = '\0';
    rc = session_apply(&k->session, k->easy, k->errbuf, deadline_ms / 2 + 1, err);
    if (rc < 0)
        return rc;
    headers_add(h, r->accept);
    headers_add(h, r->content_type);
    headers_add_bearer(h, k->session.bearer);
    c = set_method(k->easy, r);
    c = c ? c : curl_easy_setopt(k->easy, CURLOPT_URL, buf_str(&url));
    c = c ? c : curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, headers_list(h));
    c = c ? c : curl_easy_setopt(k->easy, CURLOPT_WRITEDATA, body);
    c = c ? c : curl_easy_setopt(k->easy, CURLOPT_TIMEOUT_MS, (long)deadline_ms);
    c = c ? c : curl_easy_setopt(k->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)deadline_ms);
    c = c ? c : curl_easy_setopt(k->easy, CURLOPT_FRESH_CONNECT, r->fresh ? 1L : 0L);
    if (c != CURLE_OK)
        return error_set(err, c == CURLE_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_INTERNAL, "%s: request: %s",
                         k->session.server, curl_easy_strerror(c));
    return 0;
}

/* One exchange. *ret_reused: it went over a connection from before, so that a failure may be that one's. */
static int exchange(struct kube *k, const struct request *r, int deadline_ms, long *ret_status,
                    struct sink *body, bool *ret_reused, struct error *err)
{
    struct headers h = {0};
    long connects = 0;
    CURLcode c;
    int rc;

    *ret_reused = false;
    if (deadline_ms <= 0)
        return error_set(err, ERR_TIMEOUT, "%s (%s): no time left for %s %s", k->session.server,
                         k->session.url, r->method, r->path);
    sink_reset(body);
    rc = prepare(k, r, &h, deadline_ms, body, err);
    if (rc < 0)
        return rc;
    c = curl_easy_perform(k->easy);
    (void)curl_easy_getinfo(k->easy, CURLINFO_NUM_CONNECTS, &connects);
    (void)curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, ret_status);
    (void)curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, NULL); /* the list ends with this call */
    *ret_reused = connects == 0;
    if (c != CURLE_OK)
        return session_transport_error(&k->session, c, k->errbuf, err);
    return 0;
}

static int left_ms(int64_t until_ms)
{
    int64_t left = until_ms - clock_mono_ms();

    return left > 0 ? (int)left : 0;
}

/* A server that was restarted leaves a dead connection behind: what can be asked again, and failed on an old
 * connection, is asked once more on a new one. (A connection whose peer vanished fails at half the deadline.)
 */
static int exchange_again(struct kube *k, const struct request *r, int64_t until_ms, long *ret_status,
                          struct sink *body, struct error *err)
{
    bool repeatable = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    struct request fresh = *r;
    struct error first = ERROR_INIT;
    bool reused;
    int rc = exchange(k, r, left_ms(until_ms), ret_status, body, &reused, &first);

    if (rc == 0)
        return 0;
    if (!repeatable || !reused || rc != ERR_UNAVAILABLE || left_ms(until_ms) == 0)
        return error_set(err, rc, "%s", first.text);
    fresh.fresh = true;
    return exchange(k, &fresh, left_ms(until_ms), ret_status, body, &reused, err);
}

static int perform(struct kube *k, const struct request *r, int deadline_ms, long *ret_status,
                   struct sink *body, struct error *err)
{
    int64_t until_ms = clock_mono_ms() + deadline_ms;
    bool changed = false;
    int rc;

    if (r->path[0] != '/' || strpbrk(r->path, " \t\r\n#"))
        return error_set(err, ERR_INVALID, "%s: a request's path must begin with / and hold no blanks",
                         k->session.server);
    rc = exchange_again(k, r, until_ms, ret_status, body, err);
    if (rc < 0 || *ret_status != 401)
        return rc;
    rc = session_reload_token(&k->session, &changed, err);
    if (rc < 0 || !changed)
        return rc;
    return exchange_again(k, r, until_ms, ret_status, body, err);
}

int kube_get(struct kube *k, const char *path, const char *accept, int deadline_ms, long *ret_status,
             struct sink *body, struct error *err)
{
    struct request r = {.method = "GET", .path = path, .accept = accept};

    return perform(k, &r, deadline_ms, ret_status, body, err);
}

int kube_get_ok(struct kube *k, const char *path, const char *accept, int deadline_ms, const char *doing,
                struct sink *body, struct error *err)
{
    long status = 0;
    int rc = kube_get(k, path, accept, deadline_ms, &status, body, err);

    if (rc < 0)
        return rc == ERR_NO_MEMORY ? rc : error_prefix(err, rc, "%s", doing);
    return status == 200 ? 0 : session_status_error(&k->session, status, body, doing, err);
}

static int header_line(struct buf *line, const char *name, const char *value, const char **ret,
                       struct error *err)
{
    int rc = 0;

    *ret = NULL;
    if (!value)
        return 0;
    if (strpbrk(value, "\r\n"))
        return error_set(err, ERR_INVALID, "a line break in the header %s", name);
    rc = buf_addf(line, err, "%s: %s", name, value);
    if (rc == 0)
        *ret = buf_str(line);
    return rc;
}

int kube_request(struct kube *k, const char *method, const char *path, const char *accept,
                 const char *content_type, const void *body, size_t body_len, int deadline_ms,
                 long *ret_status, struct buf *out, struct error *err)
{
    _cleanup_(buf_freep) struct buf accept_line = BUF_INIT(512), type_line = BUF_INIT(512);
    size_t room = out && out->max - out->len < KUBE_REPLY_MAX ? out->max - out->len : KUBE_REPLY_MAX;
    _cleanup_(sink_freep) struct sink reply = {.max = room};
    struct request r = {.method = method, .path = path, .body = body, .body_len = body_len};
    long status = 0;
    int rc = header_line(&accept_line, "Accept", accept, &r.accept, err);

    if (rc == 0)
        rc = header_line(&type_line, "Content-Type", content_type, &r.content_type, err);
    if (rc == 0)
        rc = perform(k, &r, deadline_ms, &status, &reply, err);
    if (rc == 0 && out && reply.len > 0)
        rc = buf_add(out, reply.data, reply.len, err);
    if (rc == 0)
        *ret_status = status;
    return rc;
}

/* Which checks failed: the plain answer says so as a rule, else the verbose one does. */
static int unready(struct kube *k, long status, struct sink *body, int deadline_ms, struct error *err)
{
    char checks[KUBE_LINE_MAX];

    kube_failed_checks(sink_text(body), checks, sizeof(checks));
    if (!checks[0]) {
        _cleanup_(sink_freep) struct sink verbose = {.max = 64 * 1024, .drop_rest = true};
        long ignored;

        if (kube_get(k, "/readyz?verbose", NULL, deadline_ms, &ignored, &verbose, NULL) == 0)
            kube_failed_checks(sink_text(&verbose), checks, sizeof(checks));
    }
    return error_set(err, ERR_UNAVAILABLE, "%s (%s): not ready (%ld)%s%s", k->session.server, k->session.url,
                     status, checks[0] ? "; failed checks: " : "", checks);
}

int kube_ready(struct kube *k, int deadline_ms, struct error *err)
{
    _cleanup_(sink_freep) struct sink body = {.max = 64 * 1024, .drop_rest = true};
    int64_t until_ms = clock_mono_ms() + deadline_ms;
    long status = 0;
    int rc = kube_get(k, "/readyz", NULL, deadline_ms, &status, &body, err);

    if (rc < 0 || status == 200)
        return rc;
    if (status >= 500)
        return unready(k, status, &body, left_ms(until_ms), err);
    return session_status_error(&k->session, status, &body, "asking whether it is ready", err);
}
