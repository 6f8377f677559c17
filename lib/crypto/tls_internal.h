/* Between the server's and the connections' part of TLS. */
#ifndef CRYPTO_TLS_INTERNAL_H
#define CRYPTO_TLS_INTERNAL_H

#include <crypto/tls.h>

/* What new connections are made with. */
SSL_CTX *tls_server_context(const struct tls_server *s);

/* OpenSSL calls it for each certificate of a client's chain: notes whose certificate it is and what is wrong
 * with it, and leaves the verdict as it is. */
int tls_conn_verify(int ok, X509_STORE_CTX *store);

#endif
