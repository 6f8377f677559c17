/* systemd by its command, where there is no D-Bus: root's systemctl reaches it by a socket of its own. */
#include "service/systemd.h"

#include <poll.h>

#include <agent/command_run.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/text.h>

#define OUTPUT_MAX  (64 * 1024)
#define NOTICE_MS   2000
#define NOTICE_STEP 20

static int ctl_open(void **ret, struct error *err)
{
    (void)err;
    *ret = NULL;
    return 0;
}

static void ctl_close(void *ctx)
{
    (void)ctx;
}

/* The line that begins with its "Failed to …", or the first one: warnings and advice stand around it. */
static const char *own_words(struct buf *b)
{
    char *at = b->data ? strstr(b->data, "Failed to ") : NULL;
    at = at ? at : b->data;
    if (at)
        at[strcspn(at, "\n")] = 0;
    return at && at[0] ? at : "systemctl failed and said nothing";
}

static int ctl_look(void *ctx, const char *unit, struct unit_state *ret, struct error *err)
{
    (void)ctx;
    const char *argv[] = {"systemctl", "show", "--no-pager", "-p", unit_properties(), "--", unit, NULL};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    struct command_result result = {0};
    int rc = command_run(argv, clock_mono_ms() + SYSTEMD_CALL_MS, &out, &result, err);
    if (rc < 0)
        return rc;
    if (result.code != 0)
        return error_set(err, ERR_IO, "%s: systemctl: %s", unit, own_words(&out));
    unit_parse(ret, buf_str(&out));
    return 0;
}

/* What systemctl says of a job that was not done, and the result that it means; the first that fits. */
static const struct {
    const char *says;
    const char *result;
} endings[] = {
    {"A dependency job for ", "dependency"},
    {"Assertion failed on job", "assert"},
    {"Operation on or unit type", "unsupported"},
    {" canceled.", "canceled"},
    {" timed out.", "timeout"},
    {"Job for ", "failed"},
};

static int ctl_restart(void *ctx, const char *unit, int64_t deadline_ms, char job[UNIT_WORD_MAX],
                       struct error *err)
{
    (void)ctx;
    const char *argv[] = {"systemctl", "restart", "--no-ask-password", "--no-pager", "--", unit, NULL};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUTPUT_MAX);
    struct command_result result = {0};
    const char *ending = NULL;
    int rc = command_run(argv, deadline_ms, &out, &result, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; !ending && i < array_len(endings); i++)
        ending = strstr(buf_str(&out), endings[i].says) ? endings[i].result : NULL;
    if (result.code != 0 && !ending)
        return unit_judge_refusal(unit, "", own_words(&out), err);
    (void)text_copy(job, UNIT_WORD_MAX, result.code == 0 ? "done" : ending);
    return 0;
}

/* The end of its process is an event; what systemd makes of it is not told to anybody without D-Bus, so it is
 * asked until it has noticed. */
static int ctl_wait_change(void *ctx, const char *unit, const struct unit_state *then, int64_t deadline_ms)
{
    int rc = process_wait_end(then->main_pid, deadline_ms, NULL);
    if (rc == ERR_TIMEOUT)
        return rc;
    int64_t until = clock_mono_ms() + NOTICE_MS;
    struct unit_state now;
    while (ctl_look(ctx, unit, &now, NULL) == 0 && now.main_pid == then->main_pid && clock_mono_ms() < until)
        (void)poll(NULL, 0, NOTICE_STEP);
    return 0;
}

const struct systemd_way systemd_ctl = {ctl_open, ctl_close, ctl_look, ctl_restart, ctl_wait_change};
