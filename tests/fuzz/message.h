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

/* The library takes field number 0, which there is not, when it is written in more bytes than it needs; it
 * writes it in one, and refuses that. */
static inline bool has_field_zero(const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        if (m->unknown_fields[i].tag == 0)
            return true;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *at = (const char *)m + f->offset;
        bool many = f->label == PROTOBUF_C_LABEL_REPEATED;
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        MUST(!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)); /* no message of ours has one */
        size_t count = many ? *(const size_t *)(const void *)((const char *)m + f->quantifier_offset) : 1;
        ProtobufCMessage *const *list =
            many ? *(ProtobufCMessage *const *const *)(const void *)at : (const void *)at;
        for (size_t k = 0; k < count; k++)
            if (list[k] && has_field_zero(list[k]))
                return true;
    }
    return false;
}

static inline void must_pack_again(ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *first = malloc(size + 1), *second = malloc(size + 1);
    MUST(first && second && protobuf_c_message_pack(m, first) == size);
    ProtobufCMessage *again = message_of(m->descriptor, first, size);
    MUST(again || has_field_zero(m));
    MUST(!again || protobuf_c_message_get_packed_size(again) == size);
    MUST(!again || (protobuf_c_message_pack(again, second) == size && memcmp(first, second, size) == 0));
    rpc_message_free(again);
    free(first);
    free(second);
}

#endif
