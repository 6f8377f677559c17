#include "http.h"

#include <base/file.h>
#include <base/secret.h>

#define TOKEN_MAX 4096

int http_open(const struct bench *b, struct http *ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *token = NULL;
    int rc = file_read_secret(b->config->kube_token_file, TOKEN_MAX, &token, err);
    if (rc < 0)
        return rc;
    size_t len = token->len;
    while (len > 0 && (token->data[len - 1] == '\n' || token->data[len - 1] == ' '))
        len--;
    if (asprintf(&ret->bearer, "Authorization: Bearer %.*s", (int)len, (const char *)token->data) < 0)
        return error_no_memory(err);
    ret->ca_file = b->config->kube_ca_file;
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : error_no_memory(err);
}

void http_close(struct http *h)
{
    if (h->bearer)
        explicit_bzero(h->bearer, strlen(h->bearer));
    free(h->bearer);
    h->bearer = NULL;
}

CURL *http_easy(const struct http *h, const char *const *headers, struct curl_slist **ret_headers,
                curl_write_callback sink, void *arg)
{
    CURL *easy = curl_easy_init();
    struct curl_slist *list = curl_slist_append(NULL, h->bearer);
    if (!easy || !list)
        abort();
    for (; *headers; headers++)
        list = curl_slist_append(list, *headers);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_CAINFO, h->ca_file);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, sink);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, arg);
    *ret_headers = list;
    return easy;
}
