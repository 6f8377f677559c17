#include <agent/static_pod.h>

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include <agent/process.h>
#include <agent/proof.h>
#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <encryption/config.h>

#include "static_pod.h"

#define POLL_MS  100
#define TIME_MAX (CLOCK_TEXT_MAX + 8)

struct pod {
    const struct config *config;
    struct process_finder finder;
    struct process_found before;
    struct mark mark;
    struct buf text, changed;
    char kept[PATH_MAX]; /* <state_dir>/manifest-before */
};

/* --- the manifest --- */

/* With milliseconds: two restarts in one second are two changes. */
static void time_text(char out[TIME_MAX])
{
    char seconds[CLOCK_TEXT_MAX];
    int64_t now = clock_wall_ms();
    clock_format(now, seconds);
    seconds[strcspn(seconds, "Z")] = 0;
    snprintf(out, TIME_MAX, "%s.%03dZ", seconds, (int)(now % 1000));
}

static bool file_is_plain(const struct config *c)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *e = NULL;
    return file_read_secret(c->encryption_config, ENCRYPTION_CONFIG_MAX, &text, NULL) == 0 &&
           encryption_config_parse(text->data, text->len, c->encryption_config, &e, NULL) == 0 &&
           encryption_is_plain(e);
}

/* The value of our annotation as it stands in the text: RFC 3339, so that there is no quote in it. */
static bool find_time(const char *text, char out[TIME_MAX])
{
    const char *at = strstr(text, MANIFEST_ANNOTATION);
    at = at ? strstr(at, "20") : NULL;
    size_t len = at ? strspn(at, "0123456789-:.TZ") : 0;
    if (len == 0 || len >= TIME_MAX)
        return false;
    memcpy(out, at, len);
    out[len] = 0;
    return true;
}

/* What was kept, with the change that we made then, is what stands there now: nobody else has changed it
 * since. */
static bool is_ours_since(const struct pod *p, const struct manifest *kept)
{
    _cleanup_(buf_freep) struct buf then = BUF_INIT(MANIFEST_MAX);
    char time[TIME_MAX];
    bool added = false;
    return find_time(buf_str(&p->text), time) &&
           manifest_edit(kept, p->config->encryption_config, time, &then, &added, NULL) == 0 && added &&
           then.len == p->text.len && memcmp(then.data, p->text.data, then.len) == 0;
}

/* The way back from the restart that added the flag. ERR_NOT_FOUND: this is none. */
static int change_back(struct pod *p, const char *time, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(MANIFEST_MAX);
    _cleanup_(manifest_freep) struct manifest *kept = NULL;
    bool added = false;
    if (!file_is_plain(p->config) || file_read(p->kept, MANIFEST_MAX, &text, NULL) < 0 ||
        manifest_parse(buf_str(&text), text.len, p->kept, &kept, NULL) < 0 || !is_ours_since(p, kept))
        return ERR_NOT_FOUND;
    return manifest_edit(kept, NULL, time, &p->changed, &added, err);
}

static int change(struct pod *p, struct error *err)
{
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    char time[TIME_MAX];
    bool added = false;
    time_text(time);
    int rc = static_pod_read(p->config, &p->text, &m, err);
    if (rc < 0)
        return rc;
    rc = manifest_encrypts(m) ? change_back(p, time, err) : ERR_NOT_FOUND;
    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = manifest_edit(m, p->config->encryption_config, time, &p->changed, &added, err);
    if (rc == 0 && added)
        rc = file_write_atomic(p->kept, p->text.data, p->text.len, 0600, err);
    else if (rc == 0 && unlink(p->kept) < 0 && errno != ENOENT)
        rc = error_errno(err, errno, "removing %s", p->kept);
    return rc;
}

static int write_change(const struct pod *p, struct error *err)
{
    _cleanup_(buf_freep) struct buf now = BUF_INIT(MANIFEST_MAX);
    char folder[PATH_MAX];
    int rc = static_pod_temp_folder(p->config, folder, err);
    if (rc == 0)
        rc = file_read(p->config->manifest, MANIFEST_MAX, &now, err);
    if (rc < 0)
        return rc;
    if (now.len != p->text.len || memcmp(buf_str(&now), buf_str(&p->text), now.len) != 0)
        return error_set(err, ERR_CONFLICT, "%s was changed by somebody else meanwhile", p->config->manifest);
    return file_replace(p->config->manifest, folder, p->changed.data, p->changed.len, err);
}

/* --- kubelet's part --- */

static void look(struct pod *p)
{
    char boot[PROCESS_BOOT_MAX];
    process_boot(p->finder.proc, boot);
    process_find(&p->finder, &p->before);
    mark_take(&p->mark, &p->before, boot, clock_mono_ms());
}

/* Short: the agent shows 200 bytes of it. */
static int too_late(const struct pod *p, bool old_lives, struct error *err)
{
    const struct config *c = p->config;
    if (old_lives)
        return error_set(err, ERR_TIMEOUT,
                         "kubelet did not stop the API server (pid %" PRId64 ") within %" PRId64
                         " s of the manifest's change: see journalctl -u kubelet",
                         p->before.id.pid, c->service_timeout_s);
    return error_set(
        err, ERR_TIMEOUT,
        "kubelet started no new API server within %" PRId64
        " s of the manifest's change: see journalctl -u kubelet, crictl ps -a --name kube-apiserver",
        c->service_timeout_s);
}

/* Where there was one before it, that has ended by now and cannot be taken for it. Where there was none, the
 * mark tells. */
static bool is_new(const struct pod *p, const struct process_found *now)
{
    if (p->before.count == PROCESS_ONE)
        return now->count == PROCESS_ONE && !process_same(&p->before.id, &now->id);
    return mark_is_newer(&p->mark, now);
}

static int wait_for_new(const struct pod *p, int64_t *ret_pid, struct error *err)
{
    int64_t deadline = clock_mono_ms() + p->config->service_timeout_s * 1000;
    for (;;) {
        struct process_found now;
        bool old_lives = p->before.count == PROCESS_ONE && process_alive(p->finder.proc, &p->before.id);
        process_find(&p->finder, &now);
        if (!old_lives && is_new(p, &now)) {
            *ret_pid = now.id.pid;
            return 0;
        }
        if (clock_mono_ms() >= deadline)
            return too_late(p, old_lives, err);
        clock_nap_ms(POLL_MS);
    }
}

int static_pod_restart(const struct config *c, int64_t *ret_pid, struct error *err)
{
    struct pod p = {.config = c,
                    .finder = {.proc = "/proc",
                               .config_path = c->encryption_config,
                               .arguments = driver_static_pod.arguments,
                               .config = c},
                    .text = BUF_INIT(MANIFEST_MAX),
                    .changed = BUF_INIT(MANIFEST_MAX)};
    int rc = 0;
    if (snprintf(p.kept, sizeof(p.kept), "%s/" STATIC_POD_BEFORE, c->state_dir) >= (int)sizeof(p.kept))
        rc = error_set(err, ERR_INVALID, "state_dir: the path is too long");
    look(&p);
    if (rc == 0)
        rc = change(&p, err);
    if (rc == 0)
        rc = write_change(&p, err);
    if (rc == 0)
        rc = wait_for_new(&p, ret_pid, err);
    buf_free(&p.text);
    buf_free(&p.changed);
    return rc;
}
