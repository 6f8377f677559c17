#include <base/secret_heap.h>
#include <crypto/crypto.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "openssl.h"

static void *get(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    void *kept = secret_heap_entered() ? secret_heap_alloc(size) : NULL;
    return kept ? kept : malloc(size);
}

static void put(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    if (secret_heap_owns(p))
        secret_heap_free(p);
    else
        free(p);
}

/* What stands in the one kind of memory stays in it. */
static void *resize(void *p, size_t size, const char *file, int line)
{
    if (!p)
        return get(size, file, line);
    if (!secret_heap_owns(p))
        return realloc(p, size);
    void *grown = size ? secret_heap_alloc(size) : NULL;
    if (!grown && size)
        grown = malloc(size);
    if (grown) {
        size_t old = secret_heap_size(p);
        memcpy(grown, p, old < size ? old : size);
    }
    if (grown || size == 0)
        secret_heap_free(p);
    return grown;
}

bool crypto_guard_memory(void)
{
    return CRYPTO_set_mem_functions(get, resize, put) == 1;
}

int openssl_failed(struct error *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return error_set(err, ERR_INTERNAL, "OpenSSL refused to %s: %s", what,
                     reason ? reason : "no reason given");
}

void openssl_forget(void)
{
    ERR_clear_error();
}
