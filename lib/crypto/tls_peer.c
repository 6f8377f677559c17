/* Names of a client's certificate. Roles hang on them, so whatever is not plain is refused, never cut. */
#include <arpa/inet.h>

#include <base/text.h>

#include "openssl.h"
#include "x509.h"

DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free);

/* A certificate's text as a C string; its author may be anybody with a signature of the clients' CA. */
static int plain(const void *data, int len, const char *prefix, char *out, size_t size, struct error *err)
{
    const unsigned char *p = data;
    size_t before = strlen(prefix);
    if (len <= 0 || (size_t)len + before >= size)
        return error_set(err, ERR_DENIED, "a name in its certificate has %d bytes; 1 to %zu are allowed", len,
                         size - before - 1);
    for (int i = 0; i < len; i++)
        if (p[i] < 0x20 || p[i] == 0x7f)
            return error_set(err, ERR_DENIED, "a name in its certificate has a control character (0x%02x)",
                             p[i]);
    if (!text_is_utf8(data, (size_t)len))
        return error_set(err, ERR_DENIED, "a name in its certificate is not UTF-8");
    memcpy(out, prefix, before);
    memcpy(out + before, data, (size_t)len);
    out[before + (size_t)len] = 0;
    return 0;
}

static int read_part(const X509_NAME_ENTRY *entry, char out[TLS_GROUP_MAX], struct error *err)
{
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    if (len < 0)
        return error_set(err, ERR_DENIED, "a name in its certificate cannot be read as text");
    int rc = plain(utf8, len, "", out, TLS_GROUP_MAX, err);
    OPENSSL_free(utf8);
    return rc;
}

static int add_part(const X509_NAME_ENTRY *entry, struct tls_peer *ret, struct error *err)
{
    char text[TLS_GROUP_MAX];
    int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    int rc = read_part(entry, text, err);
    if (rc < 0)
        return rc;
    if (kind == NID_commonName) {
        if (ret->common_name[0])
            return error_set(err, ERR_DENIED, "its certificate has two common names");
        return text_copy(ret->common_name, sizeof(ret->common_name), text) ? 0 : ERR_DENIED;
    }
    if (kind != NID_organizationName && kind != NID_organizationalUnitName)
        return 0;
    if (ret->groups_count == TLS_GROUPS_MAX)
        return error_set(err, ERR_DENIED, "its certificate has more than %d groups (O and OU)",
                         TLS_GROUPS_MAX);
    return text_copy(ret->groups[ret->groups_count++], TLS_GROUP_MAX, text) ? 0 : ERR_DENIED;
}

static int read_subject(const X509 *x, struct tls_peer *ret, struct error *err)
{
    const X509_NAME *name = X509_get_subject_name(x);
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        int rc = add_part(X509_NAME_get_entry(name, i), ret, err);
        if (rc < 0)
            return rc;
    }
    if (!x509_subject(x, ret->subject))
        return error_set(err, ERR_DENIED, "its certificate's subject is longer than %d bytes",
                         CERTIFICATE_NAME_MAX - 1);
    return 0;
}

static int add_address(const ASN1_OCTET_STRING *ip, char out[TLS_SAN_MAX], struct error *err)
{
    char text[INET6_ADDRSTRLEN];
    int len = ASN1_STRING_length(ip);
    if ((len != 4 && len != 16) ||
        !inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text, sizeof(text)))
        return error_set(err, ERR_DENIED, "its certificate names an IP address of %d bytes", len);
    snprintf(out, TLS_SAN_MAX, "ip:%s", text);
    return 0;
}

static const struct {
    int type;
    const char *prefix;
} san_kinds[] = {{GEN_DNS, "dns:"}, {GEN_URI, "uri:"}, {GEN_EMAIL, "email:"}};

static const char *san_prefix(int type)
{
    for (size_t i = 0; i < array_len(san_kinds); i++)
        if (san_kinds[i].type == type)
            return san_kinds[i].prefix;
    return NULL;
}

static int add_san(const GENERAL_NAME *name, struct tls_peer *ret, struct error *err)
{
    int type = 0;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const char *prefix = san_prefix(type);
    if (!prefix && type != GEN_IPADD)
        return 0; /* directory names and the like: nobody maps a role to them */
    if (ret->sans_count == TLS_SANS_MAX)
        return error_set(err, ERR_DENIED, "its certificate has more than %d alternative names", TLS_SANS_MAX);
    char *out = ret->sans[ret->sans_count++];
    return prefix
               ? plain(ASN1_STRING_get0_data(value), ASN1_STRING_length(value), prefix, out, TLS_SAN_MAX, err)
               : add_address(value, out, err);
}

static int read_sans(const X509 *x, struct tls_peer *ret, struct error *err)
{
    int found = 0; /* -1: there are none; -2: more than one list; anything else: damaged */
    _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names =
        X509_get_ext_d2i(x, NID_subject_alt_name, &found, NULL);
    if (!names)
        return found == -1 ? 0
                           : error_set(err, ERR_DENIED, "its certificate's alternative names cannot be read");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int rc = add_san(sk_GENERAL_NAME_value(names, i), ret, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int x509_peer(X509 *x, struct tls_peer *ret, struct error *err)
{
    memset(ret, 0, sizeof(*ret));
    ret->until_ms = x509_time_ms(X509_get0_notAfter(x));
    int rc = read_subject(x, ret, err);
    if (rc == 0)
        rc = read_sans(x, ret, err);
    openssl_forget();
    return rc;
}
