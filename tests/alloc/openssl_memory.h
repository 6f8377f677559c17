/* OpenSSL's memory from this program's malloc. In a file of its own: its names and base/error.h's are the
 * same. */
#ifndef TEST_ALLOC_OPENSSL_MEMORY_H
#define TEST_ALLOC_OPENSSL_MEMORY_H

#include <stdbool.h>

/* False: too late, OpenSSL has allocated already. */
bool openssl_memory_install(void);

/* It keeps texts with its errors until they are fetched. */
void openssl_memory_forget_errors(void);

#endif
