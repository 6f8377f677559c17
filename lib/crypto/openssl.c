#include "openssl.h"

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
