#include "maintenance.h"

#include <string.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <prom/prom.h>

int maintenance_init(struct maintenance *m, const struct config *config, struct error *err)
{
    *m = (struct maintenance){.rules.writes_max = config->rotate_writes};
    int rc = schedule_duration_parse(config->rotate_every, &m->rules.every_ms, err);
    for (size_t i = 0; i < config->windows_count && rc == 0; i++) {
        const struct config_window *w = &config->windows[i];
        struct window one;
        rc = window_parse(w->days, w->from, w->to, w->time_zone, &one, err);
        if (rc == 0)
            rc = windows_add(&m->windows, &one, err);
    }
    if (rc < 0)
        maintenance_clear(m);
    return rc;
}

void maintenance_clear(struct maintenance *m)
{
    windows_clear(&m->windows);
    kube_close(m->prom);
    m->prom = NULL;
}

void maintenance_window_part(const struct maintenance *m, int64_t now_ms, char out[CLUSTER_TEXT_MAX])
{
    struct window_times t = window_next(&m->windows, now_ms);
    char when[WINDOW_TEXT_MAX];
    out[0] = 0;
    if (t.open)
        return;
    if (t.opens_ms == WINDOW_NEVER) {
        text_copy(out, CLUSTER_TEXT_MAX, "outside the maintenance window, and none opens within two weeks");
        return;
    }
    window_text(&m->windows, t.window, t.opens_ms, now_ms, when);
    snprintf(out, CLUSTER_TEXT_MAX, "outside the maintenance window until %s", when);
}

static const char *given(const char *text)
{
    return *text ? text : NULL;
}

static int ask(struct maintenance *m, const struct config *c, char out[CLUSTER_TEXT_MAX], struct error *err)
{
    struct kube_options o = {.server = "alert_gate",
                             .url = c->alert_url,
                             .ca_file = given(c->alert_ca_file),
                             .cert_file = given(c->alert_cert_file),
                             .key_file = given(c->alert_key_file),
                             .token_file = given(c->alert_token_file),
                             .plain = true};
    size_t count = 0;
    char names[PROM_TEXT_MAX] = "";
    int rc = m->prom ? 0 : kube_open(&o, &m->prom, err);
    if (rc == 0)
        rc = prom_query(m->prom, c->alert_query, (int)c->alert_timeout_s * 1000, &count, names, err);
    if (rc == 0 && count > 0)
        snprintf(out, CLUSTER_TEXT_MAX, "%s %s %s firing", count == 1 ? "alert" : "alerts", names,
                 count == 1 ? "is" : "are");
    return rc;
}

void maintenance_alert_part(struct maintenance *m, const struct config *config, char out[CLUSTER_TEXT_MAX])
{
    struct error err = ERROR_INIT;
    char now[CLUSTER_TEXT_MAX] = "";
    int64_t at = clock_mono_ms();
    bool due = m->asked_ms == 0 || at - m->asked_ms >= ALERTS_EVERY_MS;
    if (*config->alert_url && due) {
        if (ask(m, config, now, &err) < 0) {
            snprintf(now, sizeof(now), "the alerts cannot be asked: %.400s", err.text);
            kube_close(m->prom); /* its files are read anew */
            m->prom = NULL;
        }
        m->asked_ms = clock_mono_ms();
        if (strcmp(now, m->alert) != 0)
            log_event(*now ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE,
                      *now ? "alerts hold every touch of a server" : "no alert holds anything any more",
                      LOG_S("why", now));
        text_copy(m->alert, sizeof(m->alert), now);
    }
    text_copy(out, CLUSTER_TEXT_MAX, m->alert);
}

void maintenance_closed(struct maintenance *m, const struct config *config, bool ignore_windows,
                        int64_t now_ms, char out[CLUSTER_TEXT_MAX])
{
    out[0] = 0;
    if (!ignore_windows)
        maintenance_window_part(m, now_ms, out);
    if (!*out)
        maintenance_alert_part(m, config, out);
}
