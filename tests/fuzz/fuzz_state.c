/* Any bytes as agent.json, the agent's memory: refused in one line that names the file, or read into a state
 * that is written and read again as the same bytes. */
#include "fuzz.h"

#include <string.h>

#include "state_json.h"

#define JSON_MAX (1024 * 1024)

static int read_state(const char *text, size_t len, struct agent_state *s, struct error *err)
{
    return state_decode(text, len, "agent.json", "demo", "s1", s, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct agent_state a, b;
    struct buf first = BUF_INIT(JSON_MAX), second = BUF_INIT(JSON_MAX);
    struct error err = ERROR_INIT;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    int rc = read_state((const char *)data, size, &a, &err);
    MUST(rc == 0 || (rc == err.code && strncmp(err.text, "agent.json", 10) == 0 && !strchr(err.text, '\n')));
    MUST(rc == 0 || memcmp(&a, &b, sizeof(a)) == 0);
    if (rc == 0) {
        MUST(state_encode(&a, "demo", "s1", &first, &err) == 0);
        MUST(read_state(buf_str(&first), first.len, &b, &err) == 0);
        MUST(state_encode(&b, "demo", "s1", &second, &err) == 0);
        MUST(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
        MUST(memcmp(&a.job.order, &b.job.order, sizeof(a.job.order)) == 0 && a.seq == b.seq);
        /* A copied machine's is refused. */
        MUST(state_decode(buf_str(&first), first.len, "agent.json", "demo", "s2", &b, &err) == ERR_INVALID);
    }
    buf_free(&first);
    buf_free(&second);
    return 0;
}
