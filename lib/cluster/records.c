#include <base/cleanup.h>
#include <cluster/codec.h>
#include <json/json.h>

#include "fields.h"

static const struct field spec_server_fields[] = {
    F_TEXT(cluster_spec_server, name),
    F_TEXT(cluster_spec_server, api),
    F_WORD(cluster_spec_server, role, server_role_words),
    F_END,
};

static const struct field spec_fields[] = {
    F_LIST(cluster_spec, servers, spec_server_fields),
    F_TEXTS(cluster_spec, resources),
    F_BOOL(cluster_spec, snapshots),
    F_BOOL(cluster_spec, canaries),
    F_BOOL(cluster_spec, auto_repair),
    F_COUNT(cluster_spec, escrow_days),
    F_BOOL(cluster_spec, owned),
    F_BOOL(cluster_spec, not_raw),
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
    F_COUNT(cluster_report, vector_generation),
    F_TEXT(cluster_report, vector_why),
    F_TEXT(cluster_report, layout),
    F_TEXT(cluster_report, layout_why),
    F_END,
};

static const struct field check_fields[] = {
    F_TEXT(cluster_check, name),
    F_WORD(cluster_check, result, check_result_words),
    F_TEXT(cluster_check, text),
    F_TEXT(cluster_check, remedy),
    F_END,
};

static const struct field checks_fields[] = {
    F_TEXT(cluster_checks, server),
    F_INT(cluster_checks, time_ms),
    F_LIST(cluster_checks, checks, check_fields),
    F_END,
};

static const struct field order_fields[] = {
    F_COUNT(cluster_order, id),
    F_WORD(cluster_order, kind, order_kind_words),
    F_TEXT(cluster_order, operation),
    F_COUNT(cluster_order, generation),
    F_COUNT(cluster_order, from),
    F_TEXT(cluster_order, call),
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
    F_BOOL(cluster_operation, now),
    F_WORD(cluster_operation, phase, phase_words),
    F_COUNT(cluster_operation, step),
    F_COUNT(cluster_operation, from),
    F_COUNT(cluster_operation, target),
    F_TEXT(cluster_operation, target_hash),
    F_COUNT(cluster_operation, before),
    F_BOOL(cluster_operation, touched),
    F_TEXT(cluster_operation, also),
    F_TEXT(cluster_operation, key),
    F_TEXT(cluster_operation, key_provider),
    F_TEXT(cluster_operation, aborts),
    F_BOOL(cluster_operation, ends),
    F_TEXTS(cluster_operation, servers),
    F_COUNT(cluster_operation, restarted),
    F_COUNT(cluster_operation, list),
    F_TEXT(cluster_operation, reason),
    F_TEXT(cluster_operation, engine),
    F_BOOL(cluster_operation, offline),
    F_INT(cluster_operation, max_rate),
    F_TEXT(cluster_operation, requested_by),
    F_TEXT(cluster_operation, role),
    F_INT(cluster_operation, started_ms),
    F_INT(cluster_operation, phase_ms),
    F_INT(cluster_operation, ended_ms),
    F_WORD(cluster_operation, stage_before, stage_words),
    F_COUNT(cluster_operation, passes),
    F_COUNT(cluster_operation, attempt),
    F_TEXT(cluster_operation, why),
    F_WORD(cluster_operation, cause, cause_words),
    F_TEXT(cluster_operation, row),
    F_INT(cluster_operation, row_ms),
    F_TEXT(cluster_operation, on),
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
    F_COUNT(cluster_rotation, base),
    F_WORD(cluster_rotation, base_stage, stage_words),
    F_BOOL(cluster_rotation, promoted),
    F_OBJECT(cluster_rotation, op, operation_fields),
    F_END,
};

static const struct field bundle_fields[] = {
    F_COUNT(cluster_bundle, generation),
    F_WORD(cluster_bundle, stage, stage_words),
    F_TEXT(cluster_bundle, hash),
    F_TEXT(cluster_bundle, config_id),
    F_INT(cluster_bundle, created_ms),
    F_TEXT(cluster_bundle, vector),
    F_END,
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
    F_COUNT(cluster_reencrypt, step),
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
    F_INT(cluster_reencrypt, limit),
    F_TEXT(cluster_reencrypt, held_by),
    F_TEXT(cluster_reencrypt, cursor_resource),
    F_TEXT(cluster_reencrypt, cursor),
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

static const struct field server_proof_fields[] = {
    F_TEXT(cluster_server_proof, server),
    F_WORD(cluster_server_proof, state, proof_state_words),
    F_INT(cluster_server_proof, time_ms),
    F_TEXT(cluster_server_proof, why),
    F_END,
};

static const struct field proof_fields[] = {
    F_WORD(cluster_proof, phase, phase_words),
    F_COUNT(cluster_proof, step),
    F_WORD(cluster_proof, state, proof_state_words),
    F_TEXT(cluster_proof, method),
    F_COUNT(cluster_proof, generation),
    F_COUNT(cluster_proof, revision),
    F_COUNT(cluster_proof, values),
    F_COUNT(cluster_proof, attempts),
    F_INT(cluster_proof, time_ms),
    F_TEXT(cluster_proof, why),
    F_LIST(cluster_proof, servers, server_proof_fields),
    F_END,
};

static const struct field proofs_fields[] = {
    F_TEXT(cluster_proofs, operation),
    F_LIST(cluster_proofs, proofs, proof_fields),
    F_END,
};

static const struct field key_info_fields[] = {
    F_TEXT(cluster_key_info, provider),
    F_TEXT(cluster_key_info, name),
    F_WORD(cluster_key_info, state, key_state_words),
    F_COUNT(cluster_key_info, generation),
    F_INT(cluster_key_info, created_ms),
    F_INT(cluster_key_info, since_ms),
    F_COUNT(cluster_key_info, since_revision),
    F_COUNT(cluster_key_info, writes),
    F_INT(cluster_key_info, until_ms),
    F_END,
};

static const struct field drifted_fields[] = {
    F_TEXT(cluster_drifted, server),
    F_TEXT(cluster_drifted, hash),
    F_INT(cluster_drifted, since_ms),
    F_INT(cluster_drifted, told_ms),
    F_TEXT(cluster_drifted, what),
    F_END,
};

static const struct field drift_fields[] = {
    F_LIST(cluster_drift, servers, drifted_fields),
    F_END,
};

static const struct field apis_fields[] = {
    F_TEXT(cluster_apis, unknown),
    F_INT(cluster_apis, time_ms),
    F_END,
};

static const struct field keys_fields[] = {
    F_LIST(cluster_keys, keys, key_info_fields),
    F_END,
};

static const struct field escrow_fields[] = {
    F_TEXT(cluster_escrow, provider),  F_TEXT(cluster_escrow, name),    F_COUNT(cluster_escrow, generation),
    F_INT(cluster_escrow, retired_ms), F_INT(cluster_escrow, until_ms), F_END,
};

static const struct field request_fields[] = {
    F_TEXT(cluster_request, id),
    F_WORD(cluster_request, kind, operation_kind_words),
    F_BOOL(cluster_request, force),
    F_BOOL(cluster_request, skip),
    F_BOOL(cluster_request, restart),
    F_BOOL(cluster_request, now),
    F_TEXT(cluster_request, server),
    F_TEXTS(cluster_request, servers),
    F_TEXT(cluster_request, reason),
    F_TEXT(cluster_request, key),
    F_TEXT(cluster_request, engine),
    F_BOOL(cluster_request, offline),
    F_INT(cluster_request, max_rate),
    F_TEXT(cluster_request, lease),
    F_COUNT(cluster_request, ttl_s),
    F_TEXT(cluster_request, lock),
    F_TEXT(cluster_request, by),
    F_TEXT(cluster_request, role),
    F_INT(cluster_request, time_ms),
    F_COUNT(cluster_request, created),
    F_WORD(cluster_request, answer, answer_words),
    F_WORD(cluster_request, cause, cause_words),
    F_TEXT(cluster_request, operation),
    F_TEXT(cluster_request, why),
    F_END,
};

static const struct field lock_fields[] = {
    F_TEXT(cluster_lock, id),
    F_TEXT(cluster_lock, holder),
    F_TEXT(cluster_lock, reason),
    F_INT(cluster_lock, since_ms),
    F_TEXT(cluster_lock, lease),
    F_COUNT(cluster_lock, ttl_s),
    F_END,
};

static const struct field schedule_fields[] = {
    F_INT(cluster_schedule, next_ms),
    F_TEXT(cluster_schedule, when),
    F_TEXT(cluster_schedule, why),
    F_INT(cluster_schedule, asked_ms),
    F_TEXT(cluster_schedule, held),
    F_COUNT(cluster_schedule, writes_since),
    F_COUNT(cluster_schedule, writes),
    F_COUNT(cluster_schedule, writes_guessed),
    F_COUNT(cluster_schedule, writes_to),
    F_COUNT(cluster_schedule, writes_base),
    F_COUNT(cluster_schedule, writes_base_ms),
    F_END,
};

static const struct field audit_fields[] = {
    F_INT(cluster_audit, time_ms), F_TEXT(cluster_audit, server),
    F_TEXT(cluster_audit, who),    F_TEXT(cluster_audit, role),
    F_TEXT(cluster_audit, from),   F_TEXT(cluster_audit, call),
    F_TEXT(cluster_audit, what),   F_TEXT(cluster_audit, result),
    F_TEXT(cluster_audit, why),    F_END,
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

/* Records whose lists have room for every server there can be: looked at first, then filled in where they are
 * wanted, so that nothing of the size of the largest cluster is zeroed or copied. */
static int decode_sparse(const struct field *table, const char *what, const char *json, size_t len,
                         void *record, struct error *err)
{
    _cleanup_(json_freep) struct json *obj = NULL;
    int rc = json_parse(json, len, what, &obj, err);
    if (rc < 0)
        return rc;
    rc = fields_decode(table, obj, NULL, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", what);
    fields_clear(table, record);
    return fields_decode(table, obj, record, err);
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

CODEC(report, report_fields)
CODEC(checks, checks_fields)
CODEC(order, order_fields)
CODEC(rotation, rotation_fields)
CODEC(reencrypt, reencrypt_fields)
CODEC(request, request_fields)
CODEC(keys, keys_fields)
CODEC(apis, apis_fields)
CODEC(lock, lock_fields)
CODEC(schedule, schedule_fields)
CODEC(drift, drift_fields)
CODEC(audit, audit_fields)

#define CODEC_SPARSE(name, table)                                                                            \
    int cluster_##name##_encode(const struct cluster_##name *v, struct buf *out, struct error *err)          \
    {                                                                                                        \
        return encode(table, #name, v, out, err);                                                            \
    }                                                                                                        \
    int cluster_##name##_decode(const char *json, size_t len, struct cluster_##name *ret, struct error *err) \
    {                                                                                                        \
        return decode_sparse(table, #name, json, len, ret, err);                                             \
    }                                                                                                        \
    void cluster_##name##_copy(const struct cluster_##name *from, struct cluster_##name *to)                 \
    {                                                                                                        \
        fields_copy(table, from, to);                                                                        \
    }

CODEC_SPARSE(spec, spec_fields)
CODEC_SPARSE(proofs, proofs_fields)

void cluster_proof_copy(const struct cluster_proof *from, struct cluster_proof *to)
{
    fields_copy(proof_fields, from, to);
}

/* A sealed box is a member of its own, so that its record stays readable JSON. */
static int encode_with_box(const struct field *table, const char *what, const void *record, const char *text,
                           size_t len, struct buf *out, struct error *err)
{
    _cleanup_(json_freep) struct json *obj = NULL;
    struct json *box = NULL;
    int rc = fields_encode(table, record, &obj, err);
    if (rc == 0)
        rc = json_parse(text ? text : "", len, "the sealed box", &box, err);
    if (rc == 0)
        rc = json_set(obj, "box", box, err);
    if (rc == 0)
        rc = json_print(obj, out, err);
    return rc < 0 ? error_prefix(err, rc, "%s", what) : 0;
}

static int decode_with_box(const struct field *table, const char *what, const char *text, size_t len,
                           void *record, struct buf *box, struct error *err)
{
    _cleanup_(json_freep) struct json *obj = NULL;
    int rc = json_parse(text, len, what, &obj, err);
    if (rc == 0)
        rc = fields_decode(table, obj, record, err);
    if (rc == 0 && json_type(json_get(obj, "box")) != JSON_OBJECT)
        rc = error_set(err, ERR_INVALID, "'box' is missing");
    if (rc == 0)
        rc = json_print(json_get(obj, "box"), box, err);
    return rc < 0 ? error_prefix(err, rc, "%s", what) : 0;
}

#define BOX_MAX (4 * 1024 * 1024)

#define CODEC_WITH_BOX(name, table)                                                                          \
    int cluster_##name##_encode(const struct cluster_##name *v, struct buf *out, struct error *err)          \
    {                                                                                                        \
        return encode_with_box(table, #name, v, v->box, v->box_len, out, err);                               \
    }                                                                                                        \
    int cluster_##name##_decode(const char *json, size_t len, struct cluster_##name *ret, struct error *err) \
    {                                                                                                        \
        struct cluster_##name v = {0};                                                                       \
        _cleanup_(buf_freep) struct buf box = BUF_INIT(BOX_MAX);                                             \
        int rc = decode_with_box(table, #name, json, len, &v, &box, err);                                    \
        if (rc < 0)                                                                                          \
            return rc;                                                                                       \
        v.box_len = box.len;                                                                                 \
        v.box = take(box.data);                                                                              \
        *ret = v;                                                                                            \
        return 0;                                                                                            \
    }                                                                                                        \
    void cluster_##name##_free(struct cluster_##name *v)                                                     \
    {                                                                                                        \
        if (!v)                                                                                              \
            return;                                                                                          \
        free(v->box);                                                                                        \
        memset(v, 0, sizeof(*v));                                                                            \
    }

CODEC_WITH_BOX(bundle, bundle_fields)
CODEC_WITH_BOX(escrow, escrow_fields)
