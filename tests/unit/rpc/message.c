#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <etcd_rpc.pb-c.h>

#include "internal.h"

static int setup(void **state)
{
    (void)state;
    grpc_init();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    grpc_shutdown_blocking();
    return 0;
}

static int unpack(const void *bytes, size_t len, size_t slices, ProtobufCMessage **ret, struct error *err)
{
    grpc_slice list[4];
    size_t at = 0;
    for (size_t i = 0; i < slices; i++) {
        size_t n = i + 1 == slices ? len - at : len / slices;
        list[i] = grpc_slice_from_copied_buffer((const char *)bytes + at, n);
        at += n;
    }
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(list, slices);
    int rc = message_unpack(&etcdserverpb__range_response__descriptor, buffer, ret, err);
    grpc_byte_buffer_destroy(buffer);
    for (size_t i = 0; i < slices; i++)
        grpc_slice_unref(list[i]);
    return rc;
}

static void a_request_packs_to_the_bytes_of_the_api(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
    q.key = (ProtobufCBinaryData){3, (uint8_t *)"k\0y"};
    q.value = (ProtobufCBinaryData){1, (uint8_t *)"v"};
    q.lease = 300;
    grpc_byte_buffer *buffer = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(message_pack(&q.base, 100, &buffer, &err), 0);
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, buffer);
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    static const char wanted[] = "\x0a\x03k\0y\x12\x01v\x18\xac\x02"; /* fields 1, 2 and 3 */
    assert_int_equal(GRPC_SLICE_LENGTH(all), sizeof(wanted) - 1);
    assert_memory_equal(GRPC_SLICE_START_PTR(all), wanted, sizeof(wanted) - 1);
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(buffer);
    assert_int_equal(message_pack(&q.base, 5, &buffer, &err), ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, "11 bytes"));
}

/* Field 1.3 (revision), 2 (a key-value), 4 (count), and an unknown field 99. */
static const char answer[] = "\x0a\x02\x18\x07\x12\x05\x0a\x01k\x10\x06\x20\x01\x9a\x06\x03new";

static void an_answer_with_unknown_fields_unpacks(void **state)
{
    (void)state;
    for (size_t slices = 1; slices <= 3; slices++) {
        ProtobufCMessage *m = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(unpack(answer, sizeof(answer) - 1, slices, &m, &err), 0);
        Etcdserverpb__RangeResponse *r = (Etcdserverpb__RangeResponse *)m;
        assert_int_equal(r->header->revision, 7);
        assert_int_equal(r->n_kvs, 1);
        assert_memory_equal(r->kvs[0]->key.data, "k", 1);
        assert_int_equal(r->kvs[0]->create_revision, 6);
        assert_int_equal(r->count, 1);
        assert_int_equal(r->base.n_unknown_fields, 1);
        rpc_message_free(m);
    }
}

static void an_empty_answer_is_a_message_too(void **state)
{
    (void)state;
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(unpack("", 0, 1, &m, &err), 0);
    assert_null(((Etcdserverpb__RangeResponse *)m)->header);
    rpc_message_free(m);
    assert_int_equal(message_unpack(&etcdserverpb__range_response__descriptor, NULL, &m, &err), ERR_INVALID);
}

static void every_cut_is_refused_or_a_message(void **state)
{
    (void)state;
    int refused = 0;
    for (size_t len = 0; len < sizeof(answer) - 1; len++) {
        ProtobufCMessage *m = NULL;
        struct error err = ERROR_INIT;
        int rc = unpack(answer, len, 1, &m, &err);
        if (rc == 0) {
            rpc_message_free(m);
            continue;
        }
        assert_int_equal(rc, ERR_INVALID);
        assert_non_null(strstr(err.text, "RangeResponse"));
        refused++;
    }
    assert_true(refused > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_packs_to_the_bytes_of_the_api),
        cmocka_unit_test(an_answer_with_unknown_fields_unpacks),
        cmocka_unit_test(an_empty_answer_is_a_message_too),
        cmocka_unit_test(every_cut_is_refused_or_a_message),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
