#include <base/cleanup.h>
#include <cluster/codec.h>
#include <json/json.h>

#include "fields.h"

static const struct field spec_server_fields[] = {
    F_TEXT(cluster_spec_server, name),
    F_TEXT(cluster_spec_server, api),
    F_END,
};

static const struct field spec_fields[] = {
    F_LIST(cluster_spec, servers, spec_server_fields),
    F_TEXTS(cluster_spec, resources),
    F_END,
};

static const struct field report_fields[] = {
    F_TEXT(cluster_report, server),
    F_INT(cluster_report, time_ms),
    F_TEXT(cluster_report, version),
    F_TEXT(cluster_report, driver),
    F_TEXT(cluster_report, instance),
    F_WORD(cluster_report, stage, stage_words),
    F_TEXT(cluster_report, hash),
    F_TEXT(cluster_report, config_id),
    F_TEXT(cluster_report, file_why),
    F_COUNT(cluster_report, generation),
    F_BOOL(cluster_report, loaded_known),
    F_COUNT(cluster_report, loaded_generation),
    F_TEXT(cluster_report, loaded_hash),
    F_TEXT(cluster_report, process),
    F_TEXT(cluster_report, process_why),
    F_BOOL(cluster_report, ready),
    F_TEXT(cluster_report, ready_why),
    F_COUNT(cluster_report, order_id),
    F_WORD(cluster_report, order_state, order_state_words),
    F_TEXT(cluster_report, order_why),
    F_COUNT(cluster_report, restarts),
    F_END,
};

static const struct field order_fields[] = {
    F_COUNT(cluster_order, id),
    F_WORD(cluster_order, kind, order_kind_words),
    F_TEXT(cluster_order, operation),
    F_COUNT(cluster_order, generation),
    F_TEXT(cluster_order, hash),
    F_WORD(cluster_order, stage, stage_words),
    F_COUNT(cluster_order, fence),
    F_INT(cluster_order, given_ms),
    F_END,
};

static const struct field operation_fields[] = {
    F_TEXT(cluster_operation, id),
    F_WORD(cluster_operation, kind, operation_kind_words),
    F_WORD(cluster_operation, state, operation_state_words),
    F_BOOL(cluster_operation, force),
    F_BOOL(cluster_operation, skip),
    F_BOOL(cluster_operation, restart),
    F_WORD(cluster_operation, phase, phase_words),
    F_COUNT(cluster_operation, from),
    F_COUNT(cluster_operation, target),
    F_TEXT(cluster_operation, target_hash),
    F_TEXT(cluster_operation, requested_by),
    F_INT(cluster_operation, started_ms),
    F_INT(cluster_operation, phase_ms),
    F_INT(cluster_operation, ended_ms),
    F_WORD(cluster_operation, stage_before, stage_words),
    F_COUNT(cluster_operation, passes),
    F_COUNT(cluster_operation, attempt),
    F_TEXT(cluster_operation, why),
    F_TEXT(cluster_operation, row),
    F_END,
};

static const struct field rotation_fields[] = {
    F_WORD(cluster_rotation, stage, stage_words),
    F_COUNT(cluster_rotation, generation),
    F_TEXT(cluster_rotation, hash),
    F_COUNT(cluster_rotation, issued),
    F_COUNT(cluster_rotation, next_order),
    F_TEXT(cluster_rotation, write_key),
    F_TEXT(cluster_rotation, write_provider),
    F_TEXT(cluster_rotation, new_key),
    F_TEXT(cluster_rotation, new_provider),
    F_TEXT(cluster_rotation, old_key),
    F_TEXT(cluster_rotation, old_provider),
    F_BOOL(cluster_rotation, reads_plain),
    F_COUNT(cluster_rotation, keys),
    F_OBJECT(cluster_rotation, op, operation_fields),
    F_END,
};

static const struct field bundle_fields[] = {
    F_COUNT(cluster_bundle, generation), F_WORD(cluster_bundle, stage, stage_words),
    F_TEXT(cluster_bundle, hash),        F_TEXT(cluster_bundle, config_id),
    F_INT(cluster_bundle, created_ms),   F_END,
};

static const struct field failure_fields[] = {
    F_TEXT(cluster_failure, object),
    F_TEXT(cluster_failure, why),
    F_END,
};

static const struct field key_count_fields[] = {
    F_TEXT(cluster_key_count, provider),
    F_TEXT(cluster_key_count, name),
    F_COUNT(cluster_key_count, values),
    F_END,
};

static const struct field reencrypt_fields[] = {
    F_TEXT(cluster_reencrypt, operation),
    F_TEXT(cluster_reencrypt, engine),
    F_WORD(cluster_reencrypt, state, reencrypt_state_words),
    F_INT(cluster_reencrypt, started_ms),
    F_INT(cluster_reencrypt, updated_ms),
    F_INT(cluster_reencrypt, ended_ms),
    F_COUNT(cluster_reencrypt, done),
    F_COUNT(cluster_reencrypt, total),
    F_COUNT(cluster_reencrypt, gone),
    F_COUNT(cluster_reencrypt, failed),
    F_COUNT(cluster_reencrypt, rate),
    F_LIST(cluster_reencrypt, failures, failure_fields),
    F_TEXT(cluster_reencrypt, why),
    F_COUNT(cluster_reencrypt, scan_revision),
    F_COUNT(cluster_reencrypt, scan_values),
    F_COUNT(cluster_reencrypt, scan_stale),
    F_COUNT(cluster_reencrypt, scan_plain),
    F_INT(cluster_reencrypt, scan_ms),
    F_LIST(cluster_reencrypt, keys, key_count_fields),
    F_END,
};

static const struct field request_fields[] = {
    F_TEXT(cluster_request, id),
    F_WORD(cluster_request, kind, operation_kind_words),
    F_BOOL(cluster_request, force),
    F_BOOL(cluster_request, skip),
    F_BOOL(cluster_request, restart),
    F_TEXT(cluster_request, by),
    F_INT(cluster_request, time_ms),
    F_WORD(cluster_request, answer, answer_words),
    F_TEXT(cluster_request, operation),
    F_TEXT(cluster_request, why),
    F_END,
};

static int encode(const struct field *table, const char *what, const void *record, struct buf *out,
                  struct error *err)
{
    _cleanup_(json_freep) struct json *obj = NULL;
    int rc = fields_encode(table, record, &obj, err);
    if (rc == 0)
        rc = json_print(obj, out, err);
    return rc < 0 ? error_prefix(err, rc, "%s", what) : 0;
}

static int decode(const struct field *table, const char *what, const char *json, size_t len, void *record,
                  struct error *err)
{
    _cleanup_(json_freep) struct json *obj = NULL;
    int rc = json_parse(json, len, what, &obj, err);
    if (rc < 0)
        return rc;
    rc = fields_decode(table, obj, record, err);
    return rc < 0 ? error_prefix(err, rc, "%s", what) : 0;
}

/* The public pairs. A decoder fills a zeroed value on the heap first: *ret is untouched on failure. */
#define CODEC(name, table)                                                                                   \
    int cluster_##name##_encode(const struct cluster_##name *v, struct buf *out, struct error *err)          \
    {                                                                                                        \
        return encode(table, #name, v, out, err);                                                            \
    }                                                                                                        \
    int cluster_##name##_decode(const char *json, size_t len, struct cluster_##name *ret, struct error *err) \
    {                                                                                                        \
        _cleanup_free_ struct cluster_##name *v = calloc(1, sizeof(*v));                                     \
        if (!v)                                                                                              \
            return error_no_memory(err);                                                                     \
        int rc = decode(table, #name, json, len, v, err);                                                    \
        if (rc == 0)                                                                                         \
            *ret = *v;                                                                                       \
        return rc;                                                                                           \
    }

CODEC(spec, spec_fields)
CODEC(report, report_fields)
CODEC(order, order_fields)
CODEC(rotation, rotation_fields)
CODEC(reencrypt, reencrypt_fields)
CODEC(request, request_fields)

/* The bundle carries its sealed box as a member of its own, so that the record stays readable JSON. */
int cluster_bundle_encode(const struct cluster_bundle *v, struct buf *out, struct error *err)
{
    _cleanup_(json_freep) struct json *obj = NULL;
    struct json *box = NULL;
    int rc = fields_encode(bundle_fields, v, &obj, err);
    if (rc == 0)
        rc = json_parse(v->box ? v->box : "", v->box_len, "bundle's box", &box, err);
    if (rc == 0)
        rc = json_set(obj, "box", box, err);
    if (rc == 0)
        rc = json_print(obj, out, err);
    return rc;
}

void cluster_bundle_free(struct cluster_bundle *b)
{
    if (!b)
        return;
    free(b->box);
    memset(b, 0, sizeof(*b));
}

int cluster_bundle_decode(const char *json, size_t len, struct cluster_bundle *ret, struct error *err)
{
    struct cluster_bundle v = {0};
    _cleanup_(json_freep) struct json *obj = NULL;
    _cleanup_(buf_freep) struct buf box = BUF_INIT(4 * 1024 * 1024);
    int rc = json_parse(json, len, "bundle", &obj, err);
    if (rc == 0)
        rc = fields_decode(bundle_fields, obj, &v, err);
    if (rc == 0 && json_type(json_get(obj, "box")) != JSON_OBJECT)
        rc = error_set(err, ERR_INVALID, "'box' is missing");
    if (rc == 0)
        rc = json_print(json_get(obj, "box"), &box, err);
    if (rc < 0)
        return error_prefix(err, rc, "bundle");
    v.box_len = box.len;
    v.box = take(box.data);
    *ret = v;
    return 0;
}
