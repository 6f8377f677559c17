/* Any bytes as what K3s's supervisor answers for its status, and as its own record: refused, or a stage from
 * which each call has one next step. A call that is done is not asked for again, and none is asked for from a
 * stage that it does not follow. */
#include <string.h>

#include <agent/k3s.h>
#include <cluster/codec.h>

#include "fuzz.h"

static const char *const calls[] = {"prepare", "rotate", "reencrypt", "enable", "disable"};

static void must_go_on(const struct k3s_status *s)
{
    static const enum stage ends[] = {STAGE_PREPARE, STAGE_ROTATE, STAGE_REENCRYPT_FINISHED};
    size_t done = 0;
    for (size_t i = 0; i < array_len(calls); i++) {
        enum k3s_next next = k3s_next(calls[i], s);
        MUST(k3s_body(calls[i], false) && k3s_body(calls[i], true));
        if (i >= array_len(ends)) {
            MUST(next == ((i == 3) == s->enabled ? K3S_DONE : K3S_PUT));
            continue;
        }
        MUST((next == K3S_DONE) == (s->stage == ends[i]));
        MUST(next != K3S_WAIT || s->stage == STAGE_REENCRYPT_REQUEST || s->stage == STAGE_REENCRYPT_ACTIVE);
        done += next == K3S_DONE;
    }
    MUST(done <= 1);
}

static void as_status(const char *text, size_t len)
{
    struct k3s_status s = {0};
    struct error err = ERROR_INIT;
    int rc = k3s_status_parse(text, len, &s, &err);
    if (rc < 0) {
        MUST(err.code == rc && strstr(err.text, "the supervisor's status") && !strchr(err.text, '\n'));
        return;
    }
    MUST(stage_name(s.stage) && memchr(s.why, 0, sizeof(s.why)));
    must_go_on(&s);
}

/* What was taken is written as K3s writes it, and read again as the same. */
static void as_record(const char *text)
{
    struct driver_own own = {0}, again = {0};
    struct error err = ERROR_INIT;
    char line[256];
    int rc = k3s_own_parse(text, &own, &err);
    if (rc < 0) {
        MUST(rc == ERR_INVALID && err.code == rc);
        return;
    }
    snprintf(line, sizeof(line), "%s-%s", stage_name(own.stage), own.hash);
    MUST(strlen(own.hash) == CLUSTER_HASH_MAX - 1 && strncmp(text, line, strlen(line)) == 0);
    MUST(k3s_own_parse(line, &again, &err) == 0);
    MUST(again.stage == own.stage && strcmp(again.hash, own.hash) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    MUST(text);
    if (size > 0)
        memcpy(text, data, size);
    as_status(text, size);
    as_record(text);
    free(text);
    return 0;
}
