#include "helpers.h"

#include <string.h>

const char *config_with_keys(const char *order)
{
    static char text[1024];
    static const char *const keys[] = {
        "{\"name\":\"key1\",\"secret\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\"}",
        "{\"name\":\"key2\",\"secret\":\"YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=\"}",
        "{\"name\":\"key3\",\"secret\":\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUY=\"}",
    };
    char list[512] = "";

    for (const char *c = order; *c; c++)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", *list ? "," : "", keys[*c - '1']);
    snprintf(
        text, sizeof(text),
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":["
        "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[%s]}},{\"identity\":{}}]}]}",
        list);
    return text;
}

struct kube *open_server(struct apifix *f, size_t i)
{
    struct kube_options o = apifix_options(f, i);
    struct error e = ERROR_INIT;
    struct kube *k = NULL;

    assert_ok(kube_open(&o, &k, &e), e);
    return k;
}

void must_request(struct kube *k, const char *method, const char *path, const char *body, long want)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(KUBE_REPLY_MAX);
    struct error e = ERROR_INIT;
    long status = 0;

    assert_ok(kube_request(k, method, path, "application/json", body ? "application/json" : NULL, body,
                           body ? strlen(body) : 0, DEADLINE_MS, &status, &out, &e),
              e);
    if (status != want)
        fail_msg("%s %s: %ld instead of %ld: %.300s", method, path, status, want, buf_str(&out));
}

void make_namespace(struct kube *k, const char *namespace)
{
    char body[256];

    snprintf(body, sizeof(body),
             "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", namespace);
    must_request(k, "POST", "/api/v1/namespaces", body, 201);
}

void make_secrets(struct kube *k, const char *namespace, size_t count)
{
    char path[256], body[2048], value[1024];

    memset(value, 'A', sizeof(value) - 1);
    value[1000] = '\0';
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/secrets", namespace);
    for (size_t i = 0; i < count; i++) {
        snprintf(body, sizeof(body),
                 "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s%zu\"},"
                 "\"data\":{\"value\":\"%s\"}}",
                 i, value);
        must_request(k, "POST", path, body, 201);
    }
}
