/* `secrets-encrypt-agent await-reload`: waits until the API server, which runs with
 * --encryption-provider-config-automatic-reload, has loaded the present encryption config. It looks for a
 * change once a minute. What its metrics say depends on its version:
 *
 *   apiserver_encryption_config_controller_last_config_info{…,hash="sha256:<hex>"} 1              1.34 and
 * later apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds{…,status="success"}
 * <time>
 *
 * Older ones say nothing: then two of its looks and some more are waited for, and the proof is left to the
 * canary. */
#include <agent/reload.h>

#include <poll.h>
#include <sys/stat.h>

#include <agent/place.h>
#include <base/clock.h>
#include <base/text.h>

#include "commands.h"
#include "remote.h"

#define ASK_MS   10000
#define EVERY_MS 3000
#define PAGE_MAX (32 * 1024 * 1024)
#define SILENT_S 60 /* an API server that cannot be asked for so long has another trouble */

static int ask(struct remote *r, const char *hash, double changed_s, enum reload_state *ret,
               struct error *err)
{
    _cleanup_(buf_freep) struct buf page = BUF_INIT(PAGE_MAX);
    long status = 0;
    int rc = kube_request(r->kube, "GET", "/metrics", NULL, NULL, NULL, 0, ASK_MS, &status, &page, err);
    if (rc < 0)
        return rc;
    if (status == 401 || status == 403 || status == 404)
        return *ret = RELOAD_UNTOLD, 0; /* this login may not see them */
    if (status != 200)
        return error_set(err, ERR_UNAVAILABLE, "%s: the API server answers %ld to a question for its metrics",
                         r->config->server, status);
    *ret = reload_read(buf_str(&page), hash, changed_s);
    return 0;
}

/* Returns 1 when it is loaded, 0 to look again. */
static int look(struct remote *r, const struct file_seen *file, int64_t *silent_ms, struct error *err)
{
    enum reload_state state = RELOAD_UNTOLD;
    struct error why = ERROR_INIT;
    int64_t age_s = (clock_wall_ms() - file->ctime_us / 1000) / 1000;
    int rc = ask(r, file->hash, (double)file->ctime_us / 1e6, &state, &why);
    if (rc < 0) {
        *silent_ms = *silent_ms ? *silent_ms : clock_mono_ms();
        bool given_up = clock_mono_ms() - *silent_ms > SILENT_S * 1000;
        return given_up ? error_set(err, rc, "%s", why.text) : 0;
    }
    *silent_ms = 0;
    if (state == RELOAD_REFUSED)
        return error_set(
            err, ERR_INVALID,
            "%s: the API server refuses the new encryption config and goes on with the one before: its "
            "log says why",
            r->config->server);
    return state == RELOAD_LOADED || (state == RELOAD_UNTOLD && age_s >= RELOAD_TWO_LOOKS_S);
}

int await_reload_main(const struct config *config, const char *word)
{
    struct remote r = {.config = config};
    struct error err = ERROR_INIT;
    struct file_seen file;
    int64_t silent_ms = 0, deadline_ms = clock_mono_ms() + reload_timeout_s(config) * 1000;
    (void)word;
    int rc = place_look(config->encryption_config, &file, &err);
    if (rc == 0)
        rc = remote_open_kube(&r, &err);
    while (rc == 0) {
        rc = look(&r, &file, &silent_ms, &err);
        if (rc == 0 && clock_mono_ms() > deadline_ms)
            rc = error_set(
                &err, ERR_TIMEOUT,
                "%s: the API server has not loaded the new encryption config within %lld s: does it run "
                "with --encryption-provider-config-automatic-reload?",
                config->server, (long long)reload_timeout_s(config));
        if (rc == 0)
            (void)poll(NULL, 0, EVERY_MS);
    }
    kube_close(r.kube);
    return rc < 0 ? complain(&err) : 0;
}
