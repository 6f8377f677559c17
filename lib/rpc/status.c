#include "internal.h"

#define ANY (-1)

enum kind {
    PLAIN,
    SILENT,  /* says nothing of the reason: on a fresh connection probably a handshake refused */
    INSTEAD, /* the advice says it all: the text would mislead */
    LIMIT,   /* the server's limit, not our deadline: its text tells it */
};

/* The first row that fits wins: by status number (or ANY) and by a part of its text (or NULL). `advice` is
 * put after the text. Statuses are gRPC's; the texts are those of gRPC 1.51, OpenSSL 3 and etcd 3.4 and 3.5.
 */
struct rule {
    int status;
    const char *part;
    int code;
    const char *advice;
    enum kind kind;
};

static const struct rule rules[] = {
    /* our side of the TLS handshake */
    {ANY, "certificate verify failed", ERR_DENIED, "the CA file does not vouch for this server's certificate",
     PLAIN},
    {ANY, "CERTIFICATE_VERIFY_FAILED", ERR_DENIED, "the CA file does not vouch for this server's certificate",
     PLAIN},
    {ANY, "is not in peer certificate", ERR_DENIED, "set the server name to one that the certificate carries",
     PLAIN},
    {ANY, "wrong version number", ERR_DENIED,
     "the server does not speak TLS here; is this an http:// endpoint?", PLAIN},
    {ANY, "WRONG_VERSION_NUMBER", ERR_DENIED,
     "the server does not speak TLS here; is this an http:// endpoint?", PLAIN},
    {ANY, "Cannot check peer", ERR_DENIED, "the server showed no usable certificate", PLAIN},
    {ANY, "security connector", ERR_DENIED,
     "the certificate and key are not usable, or do not belong together", PLAIN},
    {ANY, "secure subchannel", ERR_DENIED,
     "the certificate and key are not usable, or do not belong together", PLAIN},
    {ANY, " alert ", ERR_DENIED, "the server refused our certificate, or wants one", PLAIN},
    /* etcd */
    {ANY, "request is too large", ERR_TOO_LARGE, NULL, PLAIN},
    {ANY, "too many operations", ERR_TOO_LARGE, NULL, PLAIN},
    {ANY, "larger than max", ERR_TOO_LARGE, NULL, PLAIN},
    {ANY, "has been compacted", ERR_COMPACTED, NULL, PLAIN},
    {ANY, "is a future revision", ERR_UNAVAILABLE, "this member lags behind, or the store was restored",
     PLAIN},
    {ANY, "database space exceeded", ERR_STATE,
     "etcd is out of space and refuses writes: compact, defragment, then disarm the NOSPACE alarm", PLAIN},
    {ANY, "lease not found", ERR_NOT_FOUND, NULL, PLAIN},
    {ANY, "lease already exists", ERR_CONFLICT, NULL, PLAIN},
    {ANY, "permission denied", ERR_DENIED, "this etcd user may not do that", PLAIN},
    {ANY, "user name is empty", ERR_DENIED, "etcd authentication is on and our certificate names no user",
     PLAIN},
    {ANY, "invalid auth token", ERR_DENIED, NULL, PLAIN},
    {ANY, "authentication", ERR_DENIED, NULL, PLAIN},
    {ANY, "corrupt cluster", ERR_STATE, "an etcd member's data differs: repair the cluster first", PLAIN},
    {ANY, "no leader", ERR_UNAVAILABLE, "etcd has no quorum at the moment", PLAIN},
    {ANY, "leader changed", ERR_UNAVAILABLE, NULL, PLAIN},
    {ANY, "request timed out", ERR_UNAVAILABLE, NULL, PLAIN},
    {ANY, "too many requests", ERR_UNAVAILABLE, NULL, PLAIN},
    {ANY, "not capable", ERR_UNAVAILABLE, NULL, PLAIN},
    {ANY, "rpc not supported for learner", ERR_UNAVAILABLE, "this member is a learner", PLAIN},
    {ANY, "server stopped", ERR_UNAVAILABLE, NULL, PLAIN},
    {ANY, "context deadline exceeded", ERR_TIMEOUT, NULL, PLAIN},
    /* a server of ours; its own errors come with their name */
    {GRPC_STATUS_DEADLINE_EXCEEDED, "the most that this server gives", ERR_TIMEOUT, NULL, LIMIT},
    {GRPC_STATUS_RESOURCE_EXHAUSTED, "RST_STREAM with error code 11", ERR_TOO_LARGE,
     "the server did not take the request: it is too large, or many came at once", INSTEAD},
    /* gRPC */
    {GRPC_STATUS_UNAVAILABLE, "empty address list", ERR_INVALID,
     "gRPC cannot use the TLS files: a damaged certificate, or a key that does not belong to it", INSTEAD},
    {GRPC_STATUS_UNAVAILABLE, "Endpoint read failed", ERR_UNAVAILABLE, NULL, SILENT},
    {GRPC_STATUS_UNAVAILABLE, "Socket closed", ERR_UNAVAILABLE, NULL, SILENT},
    {GRPC_STATUS_UNAVAILABLE, "Connection reset by peer", ERR_UNAVAILABLE, NULL, SILENT},
    {GRPC_STATUS_UNAVAILABLE, "Handshake failed", ERR_UNAVAILABLE, NULL, SILENT},
    {GRPC_STATUS_UNAVAILABLE, "handshaker shutdown", ERR_UNAVAILABLE, NULL, SILENT},
    {GRPC_STATUS_CANCELLED, NULL, ERR_CANCELED, NULL, PLAIN},
    {GRPC_STATUS_INVALID_ARGUMENT, NULL, ERR_INVALID, NULL, PLAIN},
    {GRPC_STATUS_DEADLINE_EXCEEDED, NULL, ERR_TIMEOUT, NULL, PLAIN},
    {GRPC_STATUS_NOT_FOUND, NULL, ERR_NOT_FOUND, NULL, PLAIN},
    {GRPC_STATUS_ALREADY_EXISTS, NULL, ERR_CONFLICT, NULL, PLAIN},
    {GRPC_STATUS_PERMISSION_DENIED, NULL, ERR_DENIED, NULL, PLAIN},
    {GRPC_STATUS_UNAUTHENTICATED, NULL, ERR_DENIED, NULL, PLAIN},
    {GRPC_STATUS_RESOURCE_EXHAUSTED, NULL, ERR_UNAVAILABLE, NULL, PLAIN},
    {GRPC_STATUS_FAILED_PRECONDITION, NULL, ERR_STATE, NULL, PLAIN},
    {GRPC_STATUS_ABORTED, NULL, ERR_UNAVAILABLE, NULL, PLAIN},
    {GRPC_STATUS_OUT_OF_RANGE, NULL, ERR_INVALID, NULL, PLAIN},
    {GRPC_STATUS_UNIMPLEMENTED, NULL, ERR_UNSUPPORTED, "is this an etcd v3 server?", PLAIN},
    {GRPC_STATUS_UNAVAILABLE, NULL, ERR_UNAVAILABLE, NULL, PLAIN},
    {ANY, NULL, ERR_UNAVAILABLE, NULL, PLAIN},
};

/* The other way, for a server of ours; several codes share a status. It also sends the code's name as a
 * trailer, so that a client of ours gets back the very code, and the text as it was. */
static const struct {
    int code;
    grpc_status_code status;
} codes[] = {
    {ERR_INVALID, GRPC_STATUS_INVALID_ARGUMENT},  {ERR_NOT_FOUND, GRPC_STATUS_NOT_FOUND},
    {ERR_CONFLICT, GRPC_STATUS_ALREADY_EXISTS},   {ERR_UNAVAILABLE, GRPC_STATUS_UNAVAILABLE},
    {ERR_TIMEOUT, GRPC_STATUS_DEADLINE_EXCEEDED}, {ERR_DENIED, GRPC_STATUS_PERMISSION_DENIED},
    {ERR_TOO_LARGE, GRPC_STATUS_OUT_OF_RANGE},    {ERR_IO, GRPC_STATUS_INTERNAL},
    {ERR_NO_MEMORY, GRPC_STATUS_INTERNAL},        {ERR_COMPACTED, GRPC_STATUS_OUT_OF_RANGE},
    {ERR_UNSUPPORTED, GRPC_STATUS_UNIMPLEMENTED}, {ERR_CANCELED, GRPC_STATUS_CANCELLED},
    {ERR_STATE, GRPC_STATUS_FAILED_PRECONDITION}, {ERR_INTERNAL, GRPC_STATUS_INTERNAL},
    {ERR_NO_SPACE, GRPC_STATUS_INTERNAL},
};

grpc_status_code status_of_error(int code)
{
    for (size_t i = 0; i < array_len(codes); i++)
        if (codes[i].code == code)
            return codes[i].status;
    return GRPC_STATUS_UNKNOWN;
}

int status_named(const grpc_metadata_array *trailing)
{
    for (size_t i = 0; i < trailing->count; i++) {
        if (grpc_slice_str_cmp(trailing->metadata[i].key, STATUS_TRAILER) != 0)
            continue;
        for (size_t k = 0; k < array_len(codes); k++)
            if (grpc_slice_str_cmp(trailing->metadata[i].value, error_code_name(codes[k].code)) == 0)
                return codes[k].code;
    }
    return 0;
}

static const struct rule *find_rule(int status, const char *text)
{
    const struct rule *r = rules;
    while ((r->status != ANY && r->status != status) || (r->part && !strstr(text, r->part)))
        r++;
    return r;
}

/* gRPC nests its reasons ("… ; last error: UNKNOWN: ipv4:…: reason"): the innermost is the one to show. */
static const char *innermost(const char *text)
{
    static const char *const wrappers[] = {
        "last error: ", "UNKNOWN: ", "UNAVAILABLE: ", "INTERNAL: ", "ipv4:", "ipv6:"};
    for (size_t i = 0; i < array_len(wrappers); i++)
        for (const char *p; (p = strstr(text, wrappers[i]));)
            text = p + strlen(wrappers[i]);
    return text;
}

/* Cuts what OpenSSL puts between the address and its reason: "a:p: Ssl handshake … SSL routines::reason". */
static const char *without_openssl(const char *text, int *ret_address_len)
{
    static const char noise[] = "SSL routines::";
    const char *p = strstr(text, noise), *address_end = strstr(text, ": ");
    *ret_address_len = 0;
    if (!p)
        return text;
    if (address_end && address_end < p)
        *ret_address_len = (int)(address_end + 2 - text);
    return p + sizeof(noise) - 1;
}

int status_explain(const struct status *s, int deadline_ms, bool *ret_silent, struct error *err)
{
    *ret_silent = false;
    if (s->code == GRPC_STATUS_OK)
        return 0;
    const char *text = s->text ? s->text : "";
    if (s->named < 0)
        return error_set(err, s->named, "%s", text);
    const struct rule *r = find_rule((int)s->code, text);
    *ret_silent = r->kind == SILENT;
    if (s->code == GRPC_STATUS_DEADLINE_EXCEEDED && r->code == ERR_TIMEOUT && r->kind != LIMIT)
        return error_set(err, ERR_TIMEOUT, "no answer within %d ms", deadline_ms);
    const char *reason = innermost(text);
    if (!*reason)
        return error_set(err, r->code, "the server answered with gRPC status %d and no text", (int)s->code);
    if (r->kind == INSTEAD)
        return error_set(err, r->code, "%s", r->advice);
    int address_len;
    const char *shown = without_openssl(reason, &address_len);
    return error_set(err, r->code, "%.*s%.600s%s%s", address_len, reason, shown, r->advice ? "; " : "",
                     r->advice ? r->advice : "");
}

static const char *silent_hint(const struct rpc_channel *c)
{
    if (!c->tls)
        return "the server closed the connection at once; is this a TLS endpoint (https://)?";
    if (!c->has_certificate)
        return "the server ended the TLS handshake without a reason: it may want a client certificate, or "
               "speak "
               "plain http://";
    return "the server ended the TLS handshake without a reason: it may not accept our client certificate, "
           "or speak "
           "plain http://";
}

int status_convert(struct rpc_channel *c, const struct status *s, int deadline_ms, struct error *err)
{
    bool silent;
    int rc = status_explain(s, deadline_ms, &silent, err);
    /* Whatever is not gRPC's own word for "no connection" came from a server that speaks with us. */
    if (s->named < 0 || (s->code != GRPC_STATUS_UNAVAILABLE && s->code != GRPC_STATUS_DEADLINE_EXCEEDED &&
                         s->code != GRPC_STATUS_CANCELLED))
        atomic_store(&c->answered, true);
    if (!silent || atomic_load(&c->answered))
        return rc;
    atomic_fetch_add(&c->silent_handshakes, 1);
    return error_prefix(err, rc, "%s; gRPC says", silent_hint(c));
}
