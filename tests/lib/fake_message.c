#include "fake_message.h"

#include "../../lib/rpc/internal.h"

int fake_rpc_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
                    ProtobufCMessage **ret, struct error *err)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(data, len);
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);
    int rc = message_unpack(type, bytes, ret, err);
    grpc_byte_buffer_destroy(bytes);
    grpc_slice_unref(slice);
    return rc;
}

int fake_rpc_copy(const ProtobufCMessage *m, ProtobufCMessage **ret, struct error *err)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    _cleanup_free_ uint8_t *bytes = malloc(len + 1);
    if (!bytes)
        return error_no_memory(err);
    protobuf_c_message_pack(m, bytes);
    return fake_rpc_unpack(m->descriptor, bytes, len, ret, err);
}
