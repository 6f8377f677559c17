/* Any bytes as the body of an entry of the audit trail ('a'), or of the drift record ('d'): refused, or shown
 * on the page's document, which is one line of JSON with as many entries as there are, and with nothing that
 * could end a line of its own. */
#include <string.h>

#include <cluster/codec.h>
#include <json/json.h>

#include "fuzz.h"
#include "http/document.h"

#define DOCUMENT_MAX (16 * 1024 * 1024)
#define SPEC         "{\"servers\":[{\"name\":\"s1\",\"api\":\"https://a\"}],\"resources\":[\"secrets\"]}"

static void must_be_a_document(const struct document_input *in)
{
    struct buf out = BUF_INIT(DOCUMENT_MAX);
    struct json *root = NULL;
    struct error err = ERROR_INIT;
    MUST(document_render(in, &out, &err) == 0);
    const char *end = strchr(buf_str(&out), '\n');
    MUST(end && (size_t)(end - buf_str(&out)) + 1 == out.len && strlen(buf_str(&out)) == out.len);
    for (const char *s = buf_str(&out); s < end; s++)
        MUST((unsigned char)*s >= ' ');
    MUST(json_parse(buf_str(&out), out.len, "the document", &root, &err) == 0);
    const struct json *audit = json_get(root, "audit");
    MUST(json_count(audit) == in->audit_count);
    const char *who = json_string(json_get(json_first(audit), "who"), "");
    MUST(in->audit_count == 0 || strcmp(who, in->audit[0].entry.who) == 0);
    json_free(root);
    buf_free(&out);
}

static void as_document(const struct store_audit_entry *e, const struct cluster_snapshot *s)
{
    const struct document_input in = {.snapshot = s,
                                      .cluster = "demo",
                                      .server = "s1",
                                      .stale_why = "",
                                      .audit = e,
                                      .audit_count = e ? 1 : 0,
                                      .audit_why = ""};
    must_be_a_document(&in);
}

/* A large thing: made once where it is the same each time. */
static const struct cluster_snapshot *snapshot_of_spec(void)
{
    static const struct snapshot_input spec = {
        .key = "/secrets-encrypt/demo/spec", .body = SPEC, .len = sizeof(SPEC) - 1};
    static struct cluster_snapshot *s;
    if (!s) {
        s = calloc(1, sizeof(*s));
        MUST(s && snapshot_build("demo", 1, 1, &spec, 1, s, NULL) == 0);
    }
    return s;
}

static void as_entry(const char *json, size_t len)
{
    struct store_audit_entry e = {.name = "1795860000000-0a1b2c3d", .authentic = true};
    struct cluster_audit again = {0};
    struct buf out = BUF_INIT(1024 * 1024);
    struct error err = ERROR_INIT;
    int rc = cluster_audit_decode(json, len, &e.entry, &err);
    MUST(rc == 0 || (err.code == rc && *err.text));
    if (rc == 0) {
        MUST(cluster_audit_encode(&e.entry, &out, &err) == 0);
        MUST(cluster_audit_decode(buf_str(&out), out.len, &again, &err) == 0);
        MUST(memcmp(&e.entry, &again, sizeof(again)) == 0);
        as_document(&e, snapshot_of_spec());
    }
    buf_free(&out);
}

static void as_drift(const char *json, size_t len)
{
    static struct fuzz_room room;
    const struct snapshot_input inputs[] = {
        {.key = "/secrets-encrypt/demo/drift", .body = json, .len = len},
        {.key = "/secrets-encrypt/demo/spec", .body = SPEC, .len = sizeof(SPEC) - 1},
    };
    struct cluster_drift *drift = calloc(1, sizeof(*drift));
    struct cluster_snapshot *s = fuzz_zeroes(&room, sizeof(*s));
    struct error err = ERROR_INIT;
    MUST(drift);
    int rc = cluster_drift_decode(json, len, drift, &err);
    MUST(rc == 0 || (err.code == rc && *err.text));
    MUST(rc < 0 || drift->servers_count <= CLUSTER_DRIFTS_MAX);
    if (rc == 0) {
        MUST(snapshot_build("demo", 1, 1, inputs, 2, s, &err) == 0);
        as_document(NULL, s);
    }
    free(drift);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *json = calloc(size, 1); /* all but the first byte, and a NUL */
    MUST(json);
    memcpy(json, data + 1, size - 1);
    if (data[0] == 'd')
        as_drift(json, size - 1);
    else
        as_entry(json, size - 1);
    free(json);
    return 0;
}
