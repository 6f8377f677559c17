#include "internal.h"

int message_pack(const ProtobufCMessage *message, size_t max, grpc_byte_buffer **ret, struct error *err)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > max)
        return error_set(err, ERR_TOO_LARGE, "a request of %zu bytes is over the limit of %zu", size, max);
    /* Packed straight into gRPC's own memory: one copy. */
    grpc_slice slice = grpc_slice_malloc(size);
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    *ret = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return 0;
}

int message_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *bytes, ProtobufCMessage **ret,
                   struct error *err)
{
    grpc_byte_buffer_reader reader;
    if (!bytes || !grpc_byte_buffer_reader_init(&reader, bytes))
        return error_set(err, ERR_INVALID, "the server's answer to us is empty or badly compressed");
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    ProtobufCMessage *m =
        protobuf_c_message_unpack(type, NULL, GRPC_SLICE_LENGTH(slice), GRPC_SLICE_START_PTR(slice));
    grpc_slice_unref(slice);
    grpc_byte_buffer_reader_destroy(&reader);
    if (!m)
        return error_set(err, ERR_INVALID, "the server's answer is not a %s message", type->short_name);
    *ret = m;
    return 0;
}
