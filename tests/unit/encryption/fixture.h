/* Configs and short forms that the tests of this room share. */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <encryption/config.h>
#include <encryption/envelope.h>
#include <stdio.h>
#include <string.h>

/* Keys of 32 bytes that begin with a, b, c, d; and of 16, 24 and 20. */
#define KA  "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
#define KB  "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="
#define KC  "Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M="
#define KD  "ZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ="
#define K16 "YWFhYWFhYWFhYWFhYWFhYQ=="
#define K24 "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
#define K20 "YWFhYWFhYWFhYWFhYWFhYWFhYWE="

#define HEAD                                                                                                 \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":["
#define TAIL        "]}"
#define ENTRY(r, p) "{\"resources\":[" r "],\"providers\":[" p "]}"
#define KEY(n, s)   "{\"name\":\"" n "\",\"secret\":\"" s "\"}"
#define CBC(keys)   "{\"aescbc\":{\"keys\":[" keys "]}}"
#define GCM(keys)   "{\"aesgcm\":{\"keys\":[" keys "]}}"
#define BOX(keys)   "{\"secretbox\":{\"keys\":[" keys "]}}"
#define IDENTITY    "{\"identity\":{}}"
#define KMS                                                                                                  \
    "{\"kms\":{\"name\":\"vault\",\"endpoint\":\"unix:///run/"                                               \
    "kms.sock\",\"cachesize\":100,\"timeout\":\"3s\"}}"
#define SECRETS   "\"secrets\""
#define ONE(p)    HEAD ENTRY(SECRETS, p) TAIL /* secrets alone */
#define TWO(p, q) HEAD ENTRY(SECRETS, p) "," ENTRY("\"configmaps\"", q) TAIL

/* As K3s writes it. */
#define K3S ONE(CBC(KEY("aescbckey", KA)) "," IDENTITY)

static const char *const secrets_only[] = {"secrets"};
static const struct resource_set secrets = {secrets_only, 1};
static const char *const secrets_and_configmaps[] = {"secrets", "configmaps"};
static const struct resource_set both = {secrets_and_configmaps, 2};

static inline struct encryption_config *must_parse(const char *text)
{
    struct encryption_config *c = NULL;
    struct error err = ERROR_INIT;
    if (encryption_config_parse(text, strlen(text), "test", &c, &err) < 0)
        fail_msg("%s\n%s", err.text, text);
    return c;
}

static inline struct secret *must_emit(const struct encryption_config *c)
{
    struct secret *s = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(encryption_config_emit(c, &s, &err), 0);
    return s;
}

static inline void assert_emits(const struct encryption_config *c, const char *due)
{
    _cleanup_(secret_freep) struct secret *s = must_emit(c);
    assert_string_equal((char *)s->data, due);
}

static inline void assert_same_id(const struct encryption_config *a, const struct encryption_config *b,
                                  bool same)
{
    char x[65], y[65];
    struct error err = ERROR_INIT;
    assert_int_equal(encryption_config_id(a, x, &err), 0);
    assert_int_equal(encryption_config_id(b, y, &err), 0);
    assert_int_equal(strcmp(x, y) == 0, same);
}

#endif
