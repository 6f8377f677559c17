/* libcurl handles for what lib/kube does not offer on purpose: bare hammering, and watches. */
#ifndef TESTS_BENCH_HTTP_H
#define TESTS_BENCH_HTTP_H

#include <curl/curl.h>

#include "bench.h"

struct http {
    char *bearer; /* "Authorization: Bearer …" */
    const char *ca_file;
};
int http_open(const struct bench *b, struct http *ret, struct error *err) _must_check_;
void http_close(struct http *h); /* wipes */

/* A handle over HTTP/2 with the login and these headers (NULL-terminated); *ret_headers outlives it and is
 * freed with curl_slist_free_all. Everything that comes back goes to `sink`. */
CURL *http_easy(const struct http *h, const char *const *headers, struct curl_slist **ret_headers,
                curl_write_callback sink, void *arg);

#endif
