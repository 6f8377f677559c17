/* systemd over D-Bus. The only file that knows libsystemd. */
#include "service/systemd.h"

#include <errno.h>
#include <systemd/sd-bus.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/text.h>

#define SERVICE  "org.freedesktop.systemd1"
#define MANAGER  SERVICE ".Manager"
#define ROOT     "/org/freedesktop/systemd1"
#define PATH_LEN 512
/* Signals of other units in between; more than this at once is no reason to go on for ever. */
#define MESSAGES_MAX 100000

struct bus {
    sd_bus *bus;
    char unit_path[PATH_LEN];
    char job_path[PATH_LEN];
    char job_result[UNIT_WORD_MAX];
    bool changed;
};

static void bus_close(void *ctx)
{
    struct bus *b = ctx;
    if (b)
        sd_bus_close_unref(b->bus);
    free(b);
}

static int bus_open(void **ret, struct error *err)
{
    struct bus *b = calloc(1, sizeof(*b));
    if (!b)
        return error_no_memory(err);
    int r = sd_bus_open_system(&b->bus);
    if (r >= 0)
        r = sd_bus_set_method_call_timeout(b->bus, SYSTEMD_CALL_MS * UINT64_C(1000));
    if (r < 0) {
        bus_close(b);
        return error_set(err, ERR_UNAVAILABLE, "D-Bus: %s", strerror(-r));
    }
    *ret = b;
    return 0;
}

/* --- errors --- */

/* The bus has no systemd on it, or no connection any longer. */
static bool is_away(int r, const sd_bus_error *e)
{
    static const char *const names[] = {SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                                        SD_BUS_ERROR_NO_REPLY,        SD_BUS_ERROR_TIMEOUT,
                                        SD_BUS_ERROR_DISCONNECTED,    SD_BUS_ERROR_NO_SERVER,
                                        SD_BUS_ERROR_IO_ERROR};
    for (size_t i = 0; i < array_len(names); i++)
        if (sd_bus_error_has_name(e, names[i]))
            return true;
    return r == -ENOTCONN || r == -ECONNRESET || r == -EPIPE || r == -ETIMEDOUT || r == -ESHUTDOWN ||
           r == -ECONNREFUSED || r == -ENOENT || r == -EIO;
}

/* After a failed call; frees what is in *e. */
static int failed(const char *unit, int r, sd_bus_error *e, struct error *err)
{
    int rc;
    if (is_away(r, e))
        rc = error_set(err, ERR_UNAVAILABLE, "D-Bus: %s", e->message ? e->message : strerror(-r));
    else if (e->name)
        rc = unit_judge_refusal(unit, e->name, e->message ? e->message : "", err);
    else
        rc = error_errno(err, -r, "%s: D-Bus", unit);
    sd_bus_error_free(e);
    return rc;
}

static int lost(int r, struct error *err)
{
    return error_set(err, ERR_UNAVAILABLE, "D-Bus: %s", strerror(-r));
}

/* --- properties --- */

/* The variant that comes next, when it has the type that the table says. */
static int read_value(sd_bus_message *m, const char *name, struct unit_state *u)
{
    const char want[2] = {unit_type(name), 0};
    const char *type = want[0] == 'e' ? "(ss)" : want, *has = NULL, *text = NULL, *ignored = NULL;
    int r = sd_bus_message_peek_type(m, NULL, &has);
    if (r < 0 || !want[0] || !has || strcmp(has, type) != 0)
        return r < 0 ? r : sd_bus_message_skip(m, "v");
    union {
        uint32_t u;
        int32_t i;
        uint64_t t;
        int b;
    } n = {.t = 0};
    if (want[0] == 'e')
        r = sd_bus_message_read(m, "v", "(ss)", &ignored, &text);
    else if (want[0] == 's')
        r = sd_bus_message_read(m, "v", "s", &text);
    else
        r = sd_bus_message_read(m, "v", type, &n);
    if (r < 0)
        return r;
    int64_t number = want[0] == 'u'   ? (int64_t)n.u
                     : want[0] == 't' ? (n.t > INT64_MAX ? INT64_MAX : (int64_t)n.t)
                                      : (int64_t)n.i;
    unit_set(u, name, text, number);
    return r;
}

static int read_properties(sd_bus_message *m, struct unit_state *u)
{
    int r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        const char *name = NULL;
        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
            r = read_value(m, name, u);
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* The unit's object: it is made for names that there are no units of, too. */
static int load(struct bus *b, const char *unit, struct error *err)
{
    sd_bus_error e = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    const char *path = NULL;
    int r = sd_bus_call_method(b->bus, SERVICE, ROOT, MANAGER, "LoadUnit", &e, &reply, "s", unit);
    if (r >= 0)
        r = sd_bus_message_read(reply, "o", &path);
    int rc = r < 0 ? failed(unit, r, &e, err) : 0;
    if (rc == 0 && !text_copy(b->unit_path, sizeof(b->unit_path), path))
        rc = error_set(err, ERR_TOO_LARGE, "%s: its D-Bus path is too long", unit);
    sd_bus_message_unref(reply);
    return rc;
}

static int bus_look(void *ctx, const char *unit, struct unit_state *ret, struct error *err)
{
    struct bus *b = ctx;
    sd_bus_error e = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    memset(ret, 0, sizeof(*ret));
    int rc = load(b, unit, err);
    if (rc < 0)
        return rc;
    int r = sd_bus_call_method(b->bus, SERVICE, b->unit_path, "org.freedesktop.DBus.Properties", "GetAll", &e,
                               &reply, "s", "");
    if (r >= 0)
        r = read_properties(reply, ret);
    rc = r < 0 ? failed(unit, r, &e, err) : 0;
    sd_bus_message_unref(reply);
    return rc;
}

/* --- the job --- */

static int on_job_removed(sd_bus_message *m, void *ctx, sd_bus_error *e)
{
    (void)e;
    struct bus *b = ctx;
    const char *path = NULL, *unit = NULL, *result = NULL;
    uint32_t id = 0;
    if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) >= 0 && strcmp(path, b->job_path) == 0)
        (void)text_copy(b->job_result, sizeof(b->job_result), result);
    return 0;
}

static int on_changed(sd_bus_message *m, void *ctx, sd_bus_error *e)
{
    (void)m;
    (void)e;
    ((struct bus *)ctx)->changed = true;
    return 0;
}

/* One message, or a wait for one until the deadline. */
static int step(struct bus *b, int64_t deadline_ms)
{
    int r = sd_bus_process(b->bus, NULL);
    if (r != 0)
        return r < 0 ? ERR_UNAVAILABLE : 0;
    int64_t left = deadline_ms - clock_mono_ms();
    if (left <= 0)
        return ERR_TIMEOUT;
    r = sd_bus_wait(b->bus, (uint64_t)left * 1000);
    return r < 0 && r != -EINTR ? ERR_UNAVAILABLE : 0;
}

/* Before the job is made, so that no signal of it is missed. */
static int subscribe(struct bus *b, const char *unit, struct error *err)
{
    sd_bus_error e = SD_BUS_ERROR_NULL;
    int r = sd_bus_match_signal(b->bus, NULL, SERVICE, ROOT, MANAGER, "JobRemoved", on_job_removed, b);
    if (r >= 0)
        r = sd_bus_match_signal(b->bus, NULL, SERVICE, b->unit_path, "org.freedesktop.DBus.Properties",
                                "PropertiesChanged", on_changed, b);
    if (r >= 0)
        r = sd_bus_call_method(b->bus, SERVICE, ROOT, MANAGER, "Subscribe", &e, NULL, NULL);
    return r < 0 ? failed(unit, r, &e, err) : 0;
}

static int order(struct bus *b, const char *unit, struct error *err)
{
    sd_bus_error e = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    const char *path = NULL;
    int r =
        sd_bus_call_method(b->bus, SERVICE, ROOT, MANAGER, "RestartUnit", &e, &reply, "ss", unit, "replace");
    if (r >= 0)
        r = sd_bus_message_read(reply, "o", &path);
    int rc = r < 0 ? failed(unit, r, &e, err) : 0;
    if (rc == 0)
        (void)text_copy(b->job_path, sizeof(b->job_path), path);
    sd_bus_message_unref(reply);
    return rc;
}

static int bus_restart(void *ctx, const char *unit, int64_t deadline_ms, char job[UNIT_WORD_MAX],
                       struct error *err)
{
    struct bus *b = ctx;
    int rc = subscribe(b, unit, err);
    if (rc == 0)
        rc = order(b, unit, err);
    if (rc < 0)
        return rc;
    for (int i = 0; rc == 0 && !b->job_result[0]; i++)
        rc = i < MESSAGES_MAX ? step(b, deadline_ms) : ERR_TIMEOUT;
    if (rc == ERR_UNAVAILABLE)
        return lost(-ENOTCONN, err);
    if (rc < 0)
        return error_set(err, rc, "%s: its job goes on", unit);
    (void)text_copy(job, UNIT_WORD_MAX, b->job_result);
    return 0;
}

static int bus_wait_change(void *ctx, const char *unit, const struct unit_state *then, int64_t deadline_ms)
{
    (void)unit;
    (void)then;
    struct bus *b = ctx;
    int rc = 0;
    b->changed = false;
    for (int i = 0; rc == 0 && !b->changed; i++)
        rc = i < MESSAGES_MAX ? step(b, deadline_ms) : ERR_TIMEOUT;
    return rc;
}

const struct systemd_way systemd_bus = {bus_open, bus_close, bus_look, bus_restart, bus_wait_change};
