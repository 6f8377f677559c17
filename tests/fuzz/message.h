/* Bytes as a message, in the way that gRPC's come in. */
#ifndef FUZZ_MESSAGE_H
#define FUZZ_MESSAGE_H

#include <string.h>

#include "fuzz.h"
#include "../../lib/rpc/internal.h"

/* NULL: they are none. What is one is packed and read again as the same one. */
static inline ProtobufCMessage *message_of(const ProtobufCMessageDescriptor *type, const void *data,
                                           size_t len)
{
    struct error err = ERROR_INIT;
    ProtobufCMessage *m = NULL;
    grpc_slice slice = grpc_slice_from_copied_buffer(data, len);
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);
    int rc = message_unpack(type, bytes, &m, &err);
    MUST(rc == 0 ? m != NULL : m == NULL && err.code == rc && *err.text);
    grpc_byte_buffer_destroy(bytes);
    grpc_slice_unref(slice);
    return m;
}

static inline void must_pack_again(ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *first = malloc(size + 1), *second = malloc(size + 1);
    MUST(first && second && protobuf_c_message_pack(m, first) == size);
    ProtobufCMessage *again = message_of(m->descriptor, first, size);
    MUST(again && protobuf_c_message_get_packed_size(again) == size);
    MUST(protobuf_c_message_pack(again, second) == size && memcmp(first, second, size) == 0);
    rpc_message_free(again);
    free(first);
    free(second);
}

#endif
