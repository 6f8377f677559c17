/* Rules of maintenance windows, the gate on alerts and the schedule. */
#include "table.h"

#include <base/text.h>
#include <config/nearest.h>
#include <schedule/next.h>
#include <schedule/window.h>

#define PATH_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"

/* Only the programs that tell the time by it need the zone's file: an agent works without. */
static int check_zone(const char *name, const char *where, struct error *err)
{
    struct zone *zone = NULL;
    char **names = NULL;
    size_t count = 0;
    struct error why = ERROR_INIT;
    int rc = zone_load(name, &zone, &why);
    zone_free(zone);
    if (rc == 0)
        return 0;
    if (rc != ERR_NOT_FOUND)
        return error_set(err, rc, "%s.time_zone: %s", where, why.text);
    rc = zone_names(&names, &count, err);
    if (rc < 0)
        return rc;
    const char *near = nearest_word(name, (const char *const *)names, count);
    if (count == 0)
        rc = error_set(err, ERR_INVALID,
                       "%s.time_zone: %s; this machine has no list of time zones there: install tzdata, or "
                       "use UTC",
                       where, why.text);
    else
        rc = error_set(err, ERR_INVALID, "%s.time_zone: %s%s%s%s", where, why.text,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    zone_names_free(names, count);
    return rc;
}

static int check_windows(const struct config *c, enum config_role role, struct error *err)
{
    for (size_t i = 0; i < c->windows_count; i++) {
        const struct config_window *w = &c->windows[i];
        char where[48];
        struct window parsed;
        struct error why = ERROR_INIT;
        snprintf(where, sizeof(where), "maintenance_window[%zu]", i);
        int rc = window_parse(w->days, w->from, w->to, w->time_zone, &parsed, &why);
        if (rc < 0)
            return error_set(err, rc, "%s.%s", where, why.text);
        if (role != CONFIG_FOR_AGENT && (rc = check_zone(w->time_zone, where, err)) < 0)
            return rc;
    }
    return 0;
}

static int check_pair(const struct config *c, struct error *err)
{
    if (*c->alert_cert_file && !*c->alert_key_file)
        return error_set(err, ERR_INVALID, "alert_gate.cert_file: given without key_file");
    if (*c->alert_key_file && !*c->alert_cert_file)
        return error_set(err, ERR_INVALID, "alert_gate.key_file: given without cert_file");
    return 0;
}

/* As other URLs, but that a path may follow (Prometheus's --web.route-prefix). */
static int check_url(const char *url, struct error *err)
{
    char host[256];
    const char *scheme = strstr(url, "://"), *path = scheme ? strchr(scheme + 3, '/') : NULL;
    size_t len = path ? (size_t)(path - url) : strlen(url);
    if (len >= sizeof(host))
        return error_set(err, ERR_TOO_LARGE, "alert_gate.url: longer than %zu bytes", sizeof(host) - 1);
    memcpy(host, url, len);
    host[len] = 0;
    if (path && path[strspn(path, PATH_CHARS)])
        return error_set(err, ERR_INVALID, "alert_gate.url: '%.40s' is not a path without a query", path);
    return config_check_url(host, "alert_gate.url", err);
}

static int check_alerts(const struct config *c, struct error *err)
{
    const struct {
        const char *name, *value;
    } files[] = {{"ca_file", c->alert_ca_file},
                 {"cert_file", c->alert_cert_file},
                 {"key_file", c->alert_key_file},
                 {"token_file", c->alert_token_file}};
    bool https = strncmp(c->alert_url, "https://", 8) == 0;
    int rc = *c->alert_url ? check_url(c->alert_url, err) : 0;
    for (size_t i = 0; rc == 0 && i < array_len(files); i++)
        if (*files[i].value && !https)
            rc = error_set(err, ERR_INVALID, "alert_gate.%s: needs a url that begins with https://",
                           files[i].name);
    if (rc == 0 && !*c->alert_query)
        rc = error_set(err, ERR_INVALID, "alert_gate.query: empty");
    return rc == 0 ? check_pair(c, err) : rc;
}

static int check_schedule(const struct config *c, struct error *err)
{
    int64_t every_ms = 0;
    struct error why = ERROR_INIT;
    int rc = schedule_duration_parse(c->rotate_every, &every_ms, &why);
    if (rc < 0)
        return error_set(err, rc, "rotate_every: %s", why.text);
    if (every_ms > 0 && c->windows_count == 0)
        return error_set(err, ERR_INVALID,
                         "rotate_every: needs a maintenance_window, since it restarts servers; for any time "
                         "of the day give {days: daily, from: \"00:00\", to: \"24:00\"}");
    return 0;
}

int config_check_maintenance(const struct config *c, enum config_role role, struct error *err)
{
    int rc = check_windows(c, role, err);
    if (rc == 0)
        rc = check_alerts(c, err);
    return rc == 0 ? check_schedule(c, err) : rc;
}
