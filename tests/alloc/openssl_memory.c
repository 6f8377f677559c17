#include "openssl_memory.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>

static void *take_memory(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return malloc(size);
}

static void *resize(void *p, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return realloc(p, size);
}

static void give_back(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

bool openssl_memory_install(void)
{
    return CRYPTO_set_mem_functions(take_memory, resize, give_back) == 1;
}

void openssl_memory_forget_errors(void)
{
    ERR_clear_error();
}
