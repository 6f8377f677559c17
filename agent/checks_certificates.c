#include "checks_certificates.h"

#include <inttypes.h>
#include <sys/stat.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <crypto/certificate.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static const char renew[] =
    "renew it (kubeadm: `kubeadm certs renew all`; K3s and RKE2 renew theirs at a restart "
    "in the last 90 days), then restart agent and coordinator";
static const char give[] = "correct the file's path in the configuration, or let the agent's user read it";

/* What was found about one login, the worst of it first. */
struct finding {
    enum check_result result;
    const char *remedy;
    char text[CLUSTER_TEXT_MAX];
};

static void note(struct finding *f, enum check_result result, const char *remedy, const char *text)
{
    if (result < f->result || (result == f->result && result != CHECK_OK))
        return; /* something as bad was said already */
    if (result > f->result || !*f->text) {
        f->result = result;
        f->remedy = remedy;
        (void)text_copy(f->text, sizeof(f->text), text);
        return;
    }
    size_t len = strlen(f->text);
    snprintf(f->text + len, sizeof(f->text) - len, "; %s", text);
}

static void note_dates(struct finding *f, const char *path, const struct certificate *c, int64_t now_ms)
{
    char text[CLUSTER_TEXT_MAX], from[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX];
    clock_format(c->until_ms, until);
    clock_format(c->from_ms, from);
    int64_t left = (c->until_ms - now_ms) / DAY_MS;
    enum check_result result = CHECK_OK;
    if (now_ms >= c->until_ms) {
        result = CHECK_FAIL;
        snprintf(text, sizeof(text), "%s (%.100s) expired at %s", path, c->subject, until);
    } else if (now_ms < c->from_ms) {
        result = CHECK_FAIL;
        snprintf(text, sizeof(text), "%s (%.100s) is valid from %s on only: is this server's clock right?",
                 path, c->subject, from);
    } else {
        result = left < CHECKS_CERTIFICATE_D ? CHECK_WARN : CHECK_OK;
        snprintf(text, sizeof(text), "%s ends in %" PRId64 " day%s, at %s", path, left, left == 1 ? "" : "s",
                 until);
    }
    note(f, result, renew, text);
}

static void note_ca(struct finding *f, const char *path, int64_t now_ms)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(CERTIFICATE_FILE_MAX);
    struct certificate c;
    struct error err = ERROR_INIT;
    int rc = file_read(path, CERTIFICATE_FILE_MAX, &text, &err);
    if (rc == 0)
        rc = certificate_read_first_to_end(buf_str(&text), text.len, path, &c, &err);
    if (rc < 0)
        note(f, CHECK_FAIL, give, err.text);
    else
        note_dates(f, path, &c, now_ms);
}

static void note_pair(struct finding *f, const char *cert, const char *key, int64_t now_ms)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(CERTIFICATE_FILE_MAX);
    _cleanup_(secret_freep) struct secret *secret = NULL;
    struct certificate c;
    struct error err = ERROR_INIT;
    int rc = file_read(cert, CERTIFICATE_FILE_MAX, &text, &err);
    if (rc == 0)
        rc = certificate_read(buf_str(&text), text.len, cert, &c, &err);
    if (rc == 0)
        rc = file_read_secret(key, CERTIFICATE_FILE_MAX, &secret, &err);
    if (rc == 0)
        rc = certificate_check_key(buf_str(&text), text.len, secret, cert, &err);
    if (rc < 0)
        note(f, CHECK_FAIL, give, err.text);
    else
        note_dates(f, cert, &c, now_ms);
}

static void note_token(struct finding *f, const char *path)
{
    _cleanup_(secret_freep) struct secret *token = NULL;
    struct error err = ERROR_INIT;
    struct stat st;
    char text[CLUSTER_TEXT_MAX];
    snprintf(text, sizeof(text), "%s is there", path);
    if (file_read_secret(path, 64 * 1024, &token, &err) < 0)
        note(f, CHECK_FAIL, give, err.text);
    else if (stat(path, &st) == 0 && (st.st_mode & 07)) {
        snprintf(text, sizeof(text), "%s: mode %04o: everybody can read it", path,
                 (unsigned)(st.st_mode & 07777));
        note(f, CHECK_WARN, "chmod 600 that file", text);
    } else
        note(f, CHECK_OK, NULL, text);
}

static void add(const char *name, const struct finding *f, struct cluster_checks *out)
{
    checks_add(out, name, f->result, f->remedy, "%s", f->text);
}

static bool same_files(const struct config_etcd *a, const struct config_etcd *b)
{
    return strcmp(a->ca_file, b->ca_file) == 0 && strcmp(a->cert_file, b->cert_file) == 0 &&
           strcmp(a->key_file, b->key_file) == 0;
}

static void check_etcd(const char *name, const struct config_etcd *e, int64_t now_ms,
                       struct cluster_checks *out)
{
    struct finding f = {0};
    if (!*e->ca_file && !*e->cert_file) {
        checks_add(out, name, CHECK_WARN, "use TLS with client certificates: Secrets pass this connection",
                   "%s: without TLS", e->endpoints_count ? e->endpoints[0] : "");
        return;
    }
    if (*e->cert_file)
        note_pair(&f, e->cert_file, e->key_file, now_ms);
    if (*e->ca_file)
        note_ca(&f, e->ca_file, now_ms);
    add(name, &f, out);
}

static void check_kubernetes(const struct config *c, int64_t now_ms, struct cluster_checks *out)
{
    struct finding f = {0};
    if (*c->kube_cert_file)
        note_pair(&f, c->kube_cert_file, c->kube_key_file, now_ms);
    if (*c->kube_token_file)
        note_token(&f, c->kube_token_file);
    if (!*c->kube_cert_file && !*c->kube_token_file)
        note(&f, CHECK_FAIL, "give `kubernetes` a cert_file and key_file, or a token_file",
             "no login for the API servers in the configuration");
    if (*c->kube_ca_file)
        note_ca(&f, c->kube_ca_file, now_ms);
    add("kubernetes-login", &f, out);
}

/* What the coordinators' callers see of them. */
static void check_api(const struct config_api *a, int64_t now_ms, struct cluster_checks *out)
{
    struct finding f = {0};
    if (a->listen_count == 0)
        return;
    note_pair(&f, a->cert_file, a->key_file, now_ms);
    note_ca(&f, a->client_ca_file, now_ms);
    add("api-certificates", &f, out);
}

void checks_certificates(const struct config *c, int64_t now_ms, struct cluster_checks *out)
{
    check_etcd("state-store-certificates", &c->state_store, now_ms, out);
    const struct config_etcd *datastore = config_own_datastore(c, NULL);
    if (datastore && !same_files(datastore, &c->state_store))
        check_etcd("datastore-certificates", datastore, now_ms, out);
    check_kubernetes(c, now_ms, out);
    check_api(&c->api, now_ms, out);
}
