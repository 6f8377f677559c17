#include "answer.h"

#include <string.h>

#include <json/json.h>

static const struct {
    long from, to;
    enum verdict verdict;
} verdicts[] = {
    {200, 299, VERDICT_YES},     {401, 401, VERDICT_DENIED}, {403, 403, VERDICT_DENIED},
    {404, 404, VERDICT_MISSING}, {408, 408, VERDICT_LATER},  {409, 409, VERDICT_TAKEN},
    {410, 410, VERDICT_EXPIRED}, {429, 429, VERDICT_LATER},  {502, 504, VERDICT_LATER},
};

/* An API server answers 500 as well when its etcd lost its leader or its connection. */
static const char *const etcd_troubles[] = {
    "etcdserver:",      "rpc error:",           "context deadline exceeded",
    "context canceled", "connection refused",   "transport is closing",
    "dial tcp",         "client connection is", "connection reset",
};

enum verdict answer_verdict(long status, const char *message)
{
    for (size_t i = 0; i < array_len(verdicts); i++)
        if (status >= verdicts[i].from && status <= verdicts[i].to)
            return verdicts[i].verdict;
    for (size_t i = 0; status == 500 && i < array_len(etcd_troubles); i++)
        if (strstr(message, etcd_troubles[i]))
            return VERDICT_LATER;
    return VERDICT_EVIDENCE;
}

void answer_text(long status, const struct buf *reply, char out[ANSWER_TEXT_MAX])
{
    _cleanup_(json_freep) struct json *root = NULL;
    const char *message = "";
    if (reply->len > 0 && json_parse(reply->data, reply->len, "the answer", &root, NULL) == 0)
        message = json_string(json_get(root, "message"), "");
    else
        message = buf_str(reply);
    int n = snprintf(out, ANSWER_TEXT_MAX, "%ld%s%.180s", status, *message ? ": " : "", message);
    for (int i = 0; i < n && i < ANSWER_TEXT_MAX && out[i]; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
            out[i] = ' ';
}
