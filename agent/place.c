#include <agent/place.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <crypto/crypto.h>

static int64_t ctime_us(const struct stat *st)
{
    return (int64_t)st->st_ctim.tv_sec * 1000000 + st->st_ctim.tv_nsec / 1000;
}

static int read_hashed(const char *path, struct secret **ret, struct file_seen *seen, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct stat st;
    memset(seen, 0, sizeof(*seen));
    int rc = file_read_secret(path, PLACE_PRESENT_MAX, &text, err);
    if (rc < 0)
        return rc;
    if (stat(path, &st) < 0)
        return error_errno(err, errno, "%s", path);
    rc = crypto_sha256_hex(text->data, text->len, seen->hash, err);
    if (rc < 0)
        return rc;
    seen->ctime_us = ctime_us(&st);
    seen->shared = (st.st_mode & 077) != 0;
    *ret = take(text);
    return 0;
}

int place_look(const char *config_path, struct file_seen *ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    int rc = read_hashed(config_path, &text, ret, err);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static void mark_now(const struct place *p, struct mark *m)
{
    struct process_found found;
    char boot[PROCESS_BOOT_MAX];
    process_boot(p->finder->proc, boot);
    process_find(p->finder, &found);
    mark_take(m, &found, boot, clock_mono_ms());
}

/* The target stands in the file now. */
static void record_written(const struct place *p, struct file_record *r, const struct version *target,
                           const struct file_seen *seen)
{
    r->written = *target;
    r->written_ms = clock_wall_ms();
    r->written_ctime_us = seen->ctime_us;
    memset(&r->intent, 0, sizeof(r->intent));
    mark_now(p, &r->mark);
}

bool place_settle(const struct place *p, struct file_record *r)
{
    struct file_seen seen;
    if (!r->intent.hash[0] || place_look(p->config_path, &seen, NULL) < 0)
        return false;
    struct version intent = r->intent;
    memset(&r->intent, 0, sizeof(r->intent));
    if (strcmp(seen.hash, intent.hash) == 0)
        record_written(p, r, &intent, &seen);
    return true;
}

bool place_note(struct file_record *r, const struct version *target)
{
    if (strcmp(r->written.hash, target->hash) != 0) {
        memset(r, 0, sizeof(*r)); /* somebody else put it there: no mark of ours, and no previous file */
        r->written = *target;
        r->written_ms = clock_wall_ms();
        return true;
    }
    if (r->written.generation == target->generation && r->written.stage == target->stage)
        return false;
    r->written = *target;
    return true;
}

/* Where the file really is: a rename over a symbolic link would replace the link. */
static int real_path(const char *path, char out[PATH_MAX], struct error *err)
{
    if (realpath(path, out))
        return 0;
    if (errno != ENOENT)
        return error_errno(err, errno, "%s", path);
    return text_copy(out, PATH_MAX, path) ? 0 : error_set(err, ERR_INVALID, "%s: the path is too long", path);
}

/* Keeps the present file's bytes in the state folder. The record of it follows with the intent. */
static int keep_previous(const struct place *p, const struct version *present, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct file_seen seen;
    char path[PATH_MAX];
    int rc = read_hashed(p->config_path, &text, &seen, err);
    if (rc == ERR_NOT_FOUND && !present->hash[0])
        return 0;
    if (rc < 0)
        return rc;
    if (strcmp(seen.hash, present->hash) != 0)
        return error_set(err, ERR_CONFLICT, "%s was changed by somebody else meanwhile", p->config_path);
    rc = state_path(p->dir, PLACE_PREVIOUS, path, err);
    return rc < 0 ? rc : file_write_atomic(path, text->data, text->len, 0600, err);
}

/* From here on a crash is settled by comparing the file's hash with the intent's. */
static int replace(const struct place *p, struct agent_state *s, const struct version *target,
                   const struct secret *text, struct error *err)
{
    char path[PATH_MAX];
    struct file_seen seen;
    int rc = real_path(p->config_path, path, err);
    if (rc < 0)
        return rc;
    s->file.intent = *target;
    rc = state_save(p->dir, s, err);
    if (rc < 0) {
        memset(&s->file.intent, 0, sizeof(s->file.intent));
        return error_prefix(err, rc, "nothing was written: recording it first failed");
    }
    rc = file_write_atomic(path, text->data, text->len, 0600, err);
    if (rc < 0) {
        /* It may have come as far as the rename. The error stands either way. */
        (void)place_settle(p, &s->file);
        return rc;
    }
    rc = place_look(p->config_path, &seen, err);
    if (rc < 0)
        return error_prefix(err, rc, "reading the written file back");
    if (strcmp(seen.hash, target->hash) != 0)
        return error_set(err, ERR_CONFLICT, "%s was changed by somebody else right after it was written",
                         path);
    record_written(p, &s->file, target, &seen);
    /* The intent is on disk: if this save fails, the next start finds out by itself. */
    (void)!state_save(p->dir, s, NULL);
    return 0;
}

int place_write(const struct place *p, struct agent_state *s, const struct version *present,
                bool present_valid, const struct version *target, const struct secret *text,
                struct error *err)
{
    int rc = keep_previous(p, present, err);
    if (rc < 0)
        return rc;
    if (present_valid)
        s->file.previous = *present;
    else
        memset(&s->file.previous, 0, sizeof(s->file.previous));
    return replace(p, s, target, text, err);
}

int place_back(const struct place *p, struct agent_state *s, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct file_seen seen;
    struct version previous = s->file.previous;
    char path[PATH_MAX];
    int rc = state_path(p->dir, PLACE_PREVIOUS, path, err);
    if (rc == 0)
        rc = read_hashed(path, &text, &seen, err);
    if (rc < 0)
        return rc;
    if (strcmp(seen.hash, previous.hash) != 0)
        return error_set(err, ERR_INVALID, "%s is not the file that was kept: it was changed", path);
    return replace(p, s, &previous, text, err);
}

void place_forget(const struct place *p, struct agent_state *s)
{
    char path[PATH_MAX];
    if (!s->file.previous.hash[0] || state_path(p->dir, PLACE_PREVIOUS, path, NULL) < 0)
        return;
    if (unlink(path) < 0 && errno != ENOENT)
        return; /* it is 0600 beside a file of the same kind, and the next write replaces it */
    memset(&s->file.previous, 0, sizeof(s->file.previous));
}
