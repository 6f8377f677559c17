/* Messages as they come off a wire, through lib/rpc. */
#ifndef TEST_FAKE_MESSAGE_H
#define TEST_FAKE_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include <base/error.h>

/* The message as it comes off a wire. */
int fake_rpc_copy(const ProtobufCMessage *m, ProtobufCMessage **ret, struct error *err);
/* Any bytes as a message: what is none is ERR_INVALID. */
int fake_rpc_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
                    ProtobufCMessage **ret, struct error *err);

#endif
