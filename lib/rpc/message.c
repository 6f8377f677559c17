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

/* Everything that is unpacked has a NUL behind it: texts and keys can be used where they stand. */
static void *alloc_padded(void *data, size_t size)
{
    (void)data;
    char *p = malloc(size + 1);
    if (p)
        p[size] = 0;
    return p;
}

static void free_padded(void *data, void *p)
{
    (void)data;
    free(p);
}

int message_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *bytes, ProtobufCMessage **ret,
                   struct error *err)
{
    grpc_byte_buffer_reader reader;
    if (!bytes || !grpc_byte_buffer_reader_init(&reader, bytes))
        return error_set(err, ERR_INVALID, "the server's answer to us is empty or badly compressed");
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    ProtobufCAllocator padded = {alloc_padded, free_padded, NULL};
    ProtobufCMessage *m =
        protobuf_c_message_unpack(type, &padded, GRPC_SLICE_LENGTH(slice), GRPC_SLICE_START_PTR(slice));
    grpc_slice_unref(slice);
    grpc_byte_buffer_reader_destroy(&reader);
    if (!m)
        return error_set(err, ERR_INVALID, "the server's answer is not a %s message", type->short_name);
    *ret = m;
    return 0;
}
