#include <api/call.h>

#include <string.h>

#define SERVICE "/secretsencrypt.v1.Coordinator/"

#define MESSAGE(name) &secretsencrypt__v1__##name##__descriptor

static const struct {
    const char *path;
    const ProtobufCMessageDescriptor *request, *reply;
} calls[] = {
    [API_STATUS] = {SERVICE "Status", MESSAGE(status_request), MESSAGE(status_reply)},
    [API_WATCH] = {SERVICE "Watch", MESSAGE(watch_request), MESSAGE(watch_reply)},
    [API_EXPLAIN] = {SERVICE "Explain", MESSAGE(json_request), MESSAGE(json_reply)},
    [API_KEYS] = {SERVICE "Keys", MESSAGE(json_request), MESSAGE(json_reply)},
    [API_AUDIT] = {SERVICE "Audit", MESSAGE(audit_request), MESSAGE(audit_reply)},
    [API_START] = {SERVICE "Start", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_PAUSE] = {SERVICE "Pause", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_RESUME] = {SERVICE "Resume", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_THROTTLE] = {SERVICE "Throttle", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_LOCK] = {SERVICE "Lock", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_UNLOCK] = {SERVICE "Unlock", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_WITHDRAW] = {SERVICE "Withdraw", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_ABORT] = {SERVICE "Abort", MESSAGE(write_request), MESSAGE(write_reply)},
    [API_REPAIR] = {SERVICE "Repair", MESSAGE(write_request), MESSAGE(write_reply)},
};

const char *api_call_path(enum api_call call)
{
    return calls[call].path;
}

const char *api_call_name(enum api_call call)
{
    return (unsigned)call < API_CALLS ? calls[call].path + strlen(SERVICE) : "?";
}

int api_call_parse(const char *path)
{
    for (int i = 0; i < API_CALLS; i++)
        if (strcmp(calls[i].path, path) == 0)
            return i;
    return -1;
}

const ProtobufCMessageDescriptor *api_call_request(enum api_call call)
{
    return calls[call].request;
}

const ProtobufCMessageDescriptor *api_call_reply(enum api_call call)
{
    return calls[call].reply;
}
