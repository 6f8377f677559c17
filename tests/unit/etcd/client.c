#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

static char dir[] = "/tmp/etcd-client-test-XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/file.pem", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_file(const void *data, size_t len)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void refused(const struct etcd_options *o, const char *why)
{
    struct etcd *e = NULL;
    struct error err = ERROR_INIT;
    int rc = etcd_open(o, &e, &err);
    if (rc != ERR_INVALID || err.code != rc || !strstr(err.text, why))
        fail_msg("wanted \"%s\", got %s: %s", why, error_code_name(rc), err.text);
    assert_null(e);
}

static void the_name_shows_every_endpoint(void **state)
{
    (void)state;
    const char *endpoints[] = {"127.0.0.1:1", "http://127.0.0.1:2"};
    struct etcd_options o = {.endpoints = endpoints, .endpoints_count = 2};
    struct etcd *e = NULL;
    assert_int_equal(etcd_open(&o, &e, NULL), 0);
    assert_string_equal(etcd_name(e), "http://127.0.0.1:1,http://127.0.0.1:2");
    etcd_close(e);
    etcd_close(NULL);
}

static void endpoints_must_agree(void **state)
{
    (void)state;
    const char *mixed[] = {"http://127.0.0.1:1", "https://127.0.0.1:2"}, *bad[] = {"http://127.0.0.1"};
    struct etcd_options o = {.endpoints = mixed, .endpoints_count = 2};
    refused(&o, "either all are https:// or none");
    o = (struct etcd_options){.endpoints = bad, .endpoints_count = 1};
    refused(&o, "http://127.0.0.1");
    o.endpoints_count = 0;
    refused(&o, "0 etcd endpoints");
    const char *many[ETCD_ENDPOINT_MAX + 1];
    for (size_t i = 0; i <= ETCD_ENDPOINT_MAX; i++)
        many[i] = "127.0.0.1:1";
    o = (struct etcd_options){.endpoints = many, .endpoints_count = ETCD_ENDPOINT_MAX + 1};
    refused(&o, "17 etcd endpoints");
}

static void files_are_checked_and_named(void **state)
{
    (void)state;
    const char *tls[] = {"https://127.0.0.1:1"}, *plain[] = {"http://127.0.0.1:1"};
    struct etcd_options o = {.endpoints = tls, .endpoints_count = 1, .ca_file = "/nonexistent.pem"};
    refused(&o, "/nonexistent.pem");
    o.ca_file = dir; /* not a file */
    refused(&o, dir);
    o.ca_file = path;
    write_file("", 0);
    refused(&o, path);
    write_file("a\0b", 3);
    refused(&o, path);
    write_file("rubbish", 7);
    refused(&o, "/file.pem holds no PEM block");
    char *big = calloc(1, PEM_MAX + 1);
    memset(big, 'x', PEM_MAX + 1);
    write_file(big, PEM_MAX + 1);
    free(big);
    refused(&o, path);
    o = (struct etcd_options){.endpoints = tls, .endpoints_count = 1, .cert_file = path};
    refused(&o, "go together");
    write_file("SECRETKEY", 9);
    o.key_file = path;
    struct etcd *e = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(etcd_open(&o, &e, &err), ERR_INVALID);
    assert_null(strstr(err.text, "SECRETKEY"));
    o.endpoints = plain;
    refused(&o, "is not https://");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_shows_every_endpoint),
        cmocka_unit_test(endpoints_must_agree),
        cmocka_unit_test(files_are_checked_and_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
