/* What the files of this room share around OpenSSL. */
#ifndef CRYPTO_OPENSSL_H
#define CRYPTO_OPENSSL_H

#include <base/error.h>

/* ERR_INTERNAL with OpenSSL's own reason for a call that cannot fail on account of its input; empties
 * OpenSSL's error queue of this thread. */
int openssl_failed(struct error *err, const char *what);

/* Forgets what OpenSSL queued about a refusal that is reported in other words. */
void openssl_forget(void);

#endif
