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

/* A message and all that is in it come out of one arena: a page of values is thousands of pieces. Everything
 * has a NUL behind it: texts and keys can be used where they stand. */
static void *alloc_padded(void *data, size_t size)
{
    char *p = arena_alloc(data, size + 1);
    if (p)
        p[size] = 0;
    return p;
}

static void free_nothing(void *data, void *p)
{
    (void)data;
    (void)p;
}

struct arena *rpc_message_arena(ProtobufCMessage *message)
{
    return arena_of_first(message); /* protobuf-c asks for the message's own struct before anything in it */
}

void rpc_message_free(ProtobufCMessage *message)
{
    if (message)
        arena_free(rpc_message_arena(message));
}

/* The pieces take more than the bytes on the wire: structs, pointers, alignment. */
static size_t room_for(size_t wire_size)
{
    return wire_size + wire_size / 4 + 1024;
}

int message_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *bytes, ProtobufCMessage **ret,
                   struct error *err)
{
    grpc_byte_buffer_reader reader;
    if (!bytes || !grpc_byte_buffer_reader_init(&reader, bytes))
        return error_set(err, ERR_INVALID, "the server's answer to us is empty or badly compressed");
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    struct arena *arena = arena_new(room_for(GRPC_SLICE_LENGTH(slice)));
    ProtobufCAllocator padded = {alloc_padded, free_nothing, arena};
    ProtobufCMessage *m = arena ? protobuf_c_message_unpack(type, &padded, GRPC_SLICE_LENGTH(slice),
                                                            GRPC_SLICE_START_PTR(slice))
                                : NULL;
    grpc_slice_unref(slice);
    grpc_byte_buffer_reader_destroy(&reader);
    int rc = 0;
    if (!arena)
        rc = error_no_memory(err);
    else if (!m)
        rc = error_set(err, ERR_INVALID, "the server's answer is not a %s message", type->short_name);
    else if (rpc_message_arena(m) != arena)
        rc = error_set(err, ERR_INTERNAL, "protobuf-c asked for memory in another order than expected");
    if (rc < 0)
        arena_free(arena);
    else
        *ret = m;
    return rc;
}
