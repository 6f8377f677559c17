/* Any bytes as a message of the coordinator's API (the first byte says which). A request to change something
 * is refused with one line, or becomes a record that is read back as the same request, under an id that is
 * the caller's, cluster's and key's own. An answer's records are taken as a whole or not at all. */
#include "api/ask.h"

#include <api/records.h>
#include <base/text.h>
#include <cluster/codec.h>

#include "message.h"

#define REQUEST_MAX (64 * 1024)

/* ---------- requests ---------- */

static void must_be_line(const char *s)
{
    for (; *s; s++)
        MUST((unsigned char)*s >= ' ' && *s != 0x7f);
}

static void must_have_an_id(const char *key)
{
    char id[CLUSTER_ID_MAX], same[CLUSTER_ID_MAX], others[3][CLUSTER_ID_MAX], longer[API_KEY_MAX + 8];
    if (!api_key_valid(key)) {
        MUST(!*key || strlen(key) > API_KEY_MAX || strspn(key, " ") < strlen(key));
        return;
    }
    MUST(strlen(key) <= API_KEY_MAX);
    must_be_line(key);
    snprintf(longer, sizeof(longer), "me%s", key);
    MUST(api_request_id("demo", "me", key, id, NULL) == 0 &&
         api_request_id("demo", "me", key, same, NULL) == 0);
    MUST(api_request_id("demo2", "me", key, others[0], NULL) == 0);
    MUST(api_request_id("demo", "you", key, others[1], NULL) == 0);
    MUST(api_request_id("demo", "", longer, others[2], NULL) == 0);
    MUST(api_id_is_keyed(id) && strcmp(id, same) == 0);
    for (size_t i = 0; i < array_len(others); i++)
        MUST(strcmp(id, others[i]) != 0);
}

/* Who has a higher role may all that a lower one may. */
static void must_have_a_role(enum api_call call, const struct cluster_request *r)
{
    const struct api_deed deed = {
        .call = call, .kind = (int)r->kind, .force = r->force, .skip = r->skip, .now = r->now};
    bool before = false;
    for (int role = API_ROLE_NONE; role <= API_ROLE_ADMIN; role++) {
        struct error err = ERROR_INIT;
        int rc = api_role_check((enum api_role)role, &deed, &err);
        MUST(rc == 0 || (rc == ERR_DENIED && err.code == rc && !before));
        MUST(rc < 0 || role >= API_ROLE_OPERATOR);
        MUST(rc < 0 || role == API_ROLE_ADMIN || (!r->force && call != API_ABORT && call != API_REPAIR));
        before = rc == 0;
    }
    MUST(before);
}

static void must_be_recorded(const struct cluster_request *r)
{
    struct cluster_request *read = calloc(1, sizeof(*read));
    struct buf out = BUF_INIT(REQUEST_MAX);
    struct error err = ERROR_INIT;
    MUST(read);
    MUST(cluster_request_encode(r, &out, &err) == 0);
    MUST(cluster_request_decode(buf_str(&out), out.len, read, &err) == 0);
    MUST(ask_same(r, read) && ask_same(read, read));
    read->time_ms = 7;
    read->answer = ANSWER_REFUSED;
    MUST(ask_same(r, read));
    read->force = !read->force;
    MUST(!ask_same(r, read));
    buf_free(&out);
    free(read);
}

static void as_write(enum api_call call, const Secretsencrypt__V1__WriteRequest *m)
{
    struct cluster_request *r = calloc(1, sizeof(*r));
    struct error err = ERROR_INIT;
    char text[CLUSTER_TEXT_MAX];
    MUST(r);
    must_have_an_id(m->idempotency_key);
    int rc = ask_request(call, m, r, &err);
    MUST(rc == 0 || (rc == ERR_INVALID && err.code == rc && *err.text));
    if (rc == 0) {
        MUST(operation_kind_name(r->kind) && r->kind != OP_ADOPT);
        MUST(r->servers_count <= CLUSTER_SUBSET_MAX && r->max_rate >= -1 && r->ttl_s >= 0);
        MUST(!r->id[0] && !r->by[0] && !r->role[0] && !r->operation[0] && r->answer == ANSWER_NONE);
        ask_text(call, r, text, sizeof(text));
        MUST(*text);
        must_be_line(text);
        must_have_a_role(call, r);
        must_be_recorded(r);
    }
    free(r);
}

/* ---------- answers ---------- */

static void must_be_a_set(const struct records *r)
{
    MUST(r->count <= API_RECORDS_MAX);
    for (size_t i = 0; i < r->count; i++) {
        MUST(i == 0 || strcmp(r->items[i - 1]->key, r->items[i]->key) < 0);
        MUST(records_find(r, r->items[i]->key) == r->items[i]);
        MUST((r->items[i]->value == NULL) == (r->items[i]->why != NULL));
        MUST(strncmp(r->items[i]->key, "/secrets-encrypt/demo/", 22) == 0);
    }
}

static void must_travel(const struct records *r)
{
    Secretsencrypt__V1__Record **list = NULL;
    struct records again = {0};
    struct error err = ERROR_INIT;
    MUST(records_to_messages(r->items, r->count, "demo", &list, &err) == 0);
    int rc = records_apply(&again, "demo", true, list, r->count, NULL, 0, &err);
    MUST(rc == 0 && again.count == r->count && again.bytes == r->bytes);
    for (size_t i = 0; i < r->count; i++)
        MUST(strcmp(again.items[i]->key, r->items[i]->key) == 0 && again.items[i]->len == r->items[i]->len);
    must_be_a_set(&again);
    records_free(&again);
    free(list);
}

static void as_records(bool whole, Secretsencrypt__V1__Record *const *items, size_t count,
                       char *const *deleted, size_t deleted_count)
{
    static char key[] = "spec", value[] = "{}";
    static struct fuzz_room room;
    Secretsencrypt__V1__Record before = SECRETSENCRYPT__V1__RECORD__INIT, *list = &before;
    struct cluster_snapshot *s = fuzz_zeroes(&room, sizeof(*s));
    struct records r = {0};
    struct error err = ERROR_INIT;
    before.key = key;
    before.value = (ProtobufCBinaryData){2, (uint8_t *)value};
    MUST(records_apply(&r, "demo", true, &list, 1, NULL, 0, &err) == 0);
    int rc = records_apply(&r, "demo", whole, items, count, deleted, deleted_count, &err);
    MUST(rc == 0 || (err.code == rc && *err.text && r.count == 1));
    must_be_a_set(&r);
    if (rc == 0) {
        for (size_t i = 0; i < deleted_count && count == 0; i++)
            MUST(r.count == 0 || strcmp(deleted[i], key) != 0);
        must_travel(&r);
        rc = records_snapshot(&r, "demo", 1, 1, s, &err);
        MUST(rc == 0 || (err.code == rc && *err.text));
    }
    records_free(&r);
}

static void as_audit(const Secretsencrypt__V1__AuditReply *m)
{
    for (size_t i = 0; i < m->n_entries; i++) {
        struct cluster_audit entry = {0};
        struct error err = ERROR_INIT;
        const ProtobufCBinaryData *json = &m->entries[i]->json;
        int rc = cluster_audit_decode(json->data ? (const char *)json->data : "", json->len, &entry, &err);
        MUST(rc == 0 || (err.code == rc && *err.text));
    }
}

/* ---------- */

static void as_request(enum api_call call, const uint8_t *data, size_t size)
{
    ProtobufCMessage *m = message_of(api_call_request(call), data, size);
    MUST(api_call_parse(api_call_path(call)) == (int)call);
    if (m)
        must_pack_again(m);
    if (m && call >= API_START && call != API_WITHDRAW)
        as_write(call, (const void *)m);
    rpc_message_free(m);
}

static void as_reply(enum api_call call, const uint8_t *data, size_t size)
{
    ProtobufCMessage *m = message_of(api_call_reply(call), data, size);
    const Secretsencrypt__V1__StatusReply *status = (const void *)m;
    const Secretsencrypt__V1__WatchReply *watch = (const void *)m;
    if (!m)
        return;
    must_pack_again(m);
    if (call == API_STATUS)
        as_records(true, status->records, status->n_records, NULL, 0);
    if (call == API_WATCH)
        as_records(watch->whole, watch->records, watch->n_records, watch->deleted, watch->n_deleted);
    if (call == API_AUDIT)
        as_audit((const void *)m);
    rpc_message_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] >= 'a' && data[0] < 'a' + API_CALLS)
        as_request((enum api_call)(data[0] - 'a'), data + 1, size - 1);
    if (data[0] >= 'A' && data[0] < 'A' + API_CALLS)
        as_reply((enum api_call)(data[0] - 'A'), data + 1, size - 1);
    return 0;
}
