#include "check.h"

#include <fcntl.h>
#include <unistd.h>

#define DEADLINE_MS 5000
#define FAST_MS     2500 /* a wrong certificate is told at once, not at the deadline */

static struct etcd_fixture *secure, *plain;

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 1, .tls = true};
    if (etcd_fixture_start(&o, &secure) < 0)
        return -1;
    o.tls = false;
    return etcd_fixture_start(&o, &plain);
}

static int teardown(void **state)
{
    (void)state;
    etcd_fixture_free(secure);
    etcd_fixture_free(plain);
    return 0;
}

/* gRPC writes to stderr by itself unless it is kept from doing so: the error text is all that may come. */
struct silence {
    int saved;
    int file;
};

static struct silence silence_begin(void)
{
    char path[] = "/tmp/etcd-test-stderr-XXXXXX";
    struct silence s = {.saved = dup(STDERR_FILENO), .file = mkstemp(path)};
    assert_true(s.saved >= 0 && s.file >= 0);
    unlink(path);
    fflush(stderr);
    dup2(s.file, STDERR_FILENO);
    return s;
}

static void silence_end(struct silence *s)
{
    fflush(stderr);
    off_t written = lseek(s->file, 0, SEEK_END);
    dup2(s->saved, STDERR_FILENO);
    close(s->saved);
    close(s->file);
    assert_int_equal(written, 0);
}

/* What a read and a write answer through a client with these options; both fail with `code` and `part`. */
static void refused(struct etcd_options o, int code, const char *part)
{
    struct etcd *e = NULL;
    struct silence s = silence_begin();
    struct error opened = ERROR_INIT, wrote = ERROR_INIT, read = ERROR_INIT;
    int rc = etcd_open(&o, &e, &opened), put = 0, get = 0;
    int64_t before = clock_mono_ms();
    if (rc == 0) {
        struct etcd_range r;
        put = etcd_put(e, "/tls/k", "v", 1, 0, DEADLINE_MS, NULL, &wrote);
        get = etcd_get(e, "/tls/k", DEADLINE_MS, &r, &read);
    }
    int64_t took = clock_mono_ms() - before;
    etcd_close(e);
    silence_end(&s);
    if (rc < 0)
        fail_msg("open: %s", opened.text);
    if (put != code || get != code || !strstr(wrote.text, part) || !strstr(read.text, part))
        fail_msg("wanted %s \"%s\"; put: %s; get: %s", error_code_name(code), part, wrote.text, read.text);
    assert_non_null(strstr(read.text, o.endpoints[0]));
    assert_null(strchr(read.text, '\n'));
    if (took > FAST_MS)
        fail_msg("took %lld ms: %s", (long long)took, read.text);
}

static void accepted(struct etcd_options o)
{
    struct etcd *e = NULL;
    must(etcd_open(&o, &e, &err));
    must(etcd_put(e, "/tls/k", "1", 1, 0, DEADLINE_MS, NULL, &err));
    assert_int_equal(value_of(e, "/tls/k"), 1);
    struct etcd_status st;
    must(etcd_member_status(e, o.endpoints_count - 1, DEADLINE_MS, &st, &err));
    etcd_close(e);
}

static void client_certificate(void **state)
{
    (void)state;
    accepted(etcd_fixture_options(secure));
}

/* Behind several addresses the name to check has to be chosen; a name among them has to be resolved. */
static void several_endpoints_and_names(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof(name), "https://localhost:%s", strrchr(etcd_fixture_endpoint(secure, 0), ':') + 1);
    const char *endpoints[] = {name, etcd_fixture_endpoint(secure, 0)};
    struct etcd_options o = etcd_fixture_options(secure);
    o.endpoints = endpoints;
    o.endpoints_count = 1;
    accepted(o);
    o.endpoints_count = 2;
    accepted(o);
    o.server_name = "etcd.test";
    accepted(o);
    o.server_name = "127.0.0.1";
    accepted(o);
}

static void wrong_ca(void **state)
{
    (void)state;
    char ca[512];
    snprintf(ca, sizeof(ca), "%s", etcd_fixture_path(secure, "other-ca.crt"));
    struct etcd_options o = etcd_fixture_options(secure);
    o.ca_file = ca;
    refused(o, ERR_DENIED, "certificate verify failed");
}

static void wrong_name(void **state)
{
    (void)state;
    struct etcd_options o = etcd_fixture_options(secure);
    o.server_name = "somebody.else";
    refused(o, ERR_DENIED, "somebody.else is not in peer certificate");
}

static void no_client_certificate(void **state)
{
    (void)state;
    struct etcd_options o = etcd_fixture_options(secure);
    o.cert_file = o.key_file = NULL;
    refused(o, ERR_UNAVAILABLE, "it may want a client certificate");
}

static void client_certificate_of_another_ca(void **state)
{
    (void)state;
    char cert[512], key[512];
    snprintf(cert, sizeof(cert), "%s", etcd_fixture_path(secure, "stranger.crt"));
    snprintf(key, sizeof(key), "%s", etcd_fixture_path(secure, "stranger.key"));
    struct etcd_options o = etcd_fixture_options(secure);
    o.cert_file = cert;
    o.key_file = key;
    refused(o, ERR_UNAVAILABLE, "it may not accept our client certificate");
}

static void key_of_another_certificate(void **state)
{
    (void)state;
    char key[512];
    snprintf(key, sizeof(key), "%s", etcd_fixture_path(secure, "stranger.key"));
    struct etcd_options o = etcd_fixture_options(secure);
    o.key_file = key;
    refused(o, ERR_INVALID, "does not belong to it");
}

static void plain_client_on_a_tls_port(void **state)
{
    (void)state;
    char endpoint[64];
    snprintf(endpoint, sizeof(endpoint), "http://%s", etcd_fixture_endpoint(secure, 0) + strlen("https://"));
    const char *endpoints[] = {endpoint};
    struct etcd_options o = {.endpoints = endpoints, .endpoints_count = 1};
    refused(o, ERR_UNAVAILABLE, "is this a TLS endpoint (https://)?");
}

static void tls_client_on_a_plain_port(void **state)
{
    (void)state;
    char endpoint[64];
    snprintf(endpoint, sizeof(endpoint), "https://%s", etcd_fixture_endpoint(plain, 0) + strlen("http://"));
    const char *endpoints[] = {endpoint};
    struct etcd_options o = etcd_fixture_options(secure);
    o.endpoints = endpoints;
    refused(o, ERR_UNAVAILABLE, "speak plain http://");
}

static void bad_files_are_named(void **state)
{
    (void)state;
    struct etcd_options o = etcd_fixture_options(secure);
    struct etcd *e = NULL;
    o.ca_file = "/nonexistent/ca.crt";
    must_fail(ERR_INVALID, "/nonexistent/ca.crt", etcd_open(&o, &e, &err));
    o = etcd_fixture_options(secure);
    o.key_file = o.ca_file;
    must_fail(ERR_INVALID, " holds no PEM block \"BEGIN PRIVATE KEY\"", etcd_open(&o, &e, &err));
    o.key_file = NULL;
    must_fail(ERR_INVALID, "go together", etcd_open(&o, &e, &err));
    assert_null(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_certificate),
        cmocka_unit_test(several_endpoints_and_names),
        cmocka_unit_test(wrong_ca),
        cmocka_unit_test(wrong_name),
        cmocka_unit_test(no_client_certificate),
        cmocka_unit_test(client_certificate_of_another_ca),
        cmocka_unit_test(key_of_another_certificate),
        cmocka_unit_test(plain_client_on_a_tls_port),
        cmocka_unit_test(tls_client_on_a_plain_port),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
