/* The snapshot of the datastore, as a proof: made once it is whole and on disk. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include <base/text.h>

#include "../backup.h"
#include "../job.h"

#define MIB (1024 * 1024)

static void change_bytes(struct cluster_proof *p, void *arg)
{
    const uint64_t *done = arg;
    text_copy(p->method, sizeof(p->method), "snapshot");
    p->values = (int64_t)*done;
}

static void on_progress(void *arg, uint64_t done, uint64_t remaining)
{
    (void)remaining;
    job_update_proof(arg, change_bytes, &done);
}

static void change_end(struct cluster_proof *p, void *arg)
{
    const struct backup_result *r = arg;
    text_copy(p->method, sizeof(p->method), "snapshot");
    p->values = (int64_t)r->size;
    p->revision = r->revision;
    snprintf(p->why, sizeof(p->why), "%.280s, %" PRIu64 " MiB, sha256 %s%s%.80s", r->path,
             (r->size + MIB - 1) / MIB, r->sha256, r->pruning.code ? "; older ones stay: " : "",
             r->pruning.code ? r->pruning.text : "");
}

/* What will not come right by trying again: the disk, the folder, the name, a datastore that has no
 * snapshots. */
static bool is_for_good(int rc)
{
    return rc == ERR_NO_SPACE || rc == ERR_DENIED || rc == ERR_UNSUPPORTED || rc == ERR_NOT_FOUND;
}

int backup_run(struct job *j, struct error *err)
{
    const struct job_options *o = job_opts(j);
    char folder[PATH_MAX];
    _cleanup_free_ struct backup_result *result = calloc(1, sizeof(*result));
    if (!result)
        return error_no_memory(err);
    if (*o->config->snapshot_dir)
        text_copy(folder, sizeof(folder), o->config->snapshot_dir);
    else
        snprintf(folder, sizeof(folder), "%s/snapshots", o->config->state_dir);
    struct backup_options options = {
        .datastore = o->datastore,
        .folder = folder,
        .name = o->snapshot_name,
        .keep = (size_t)o->config->snapshot_keep,
        .cancel = job_cancel_flag(j),
        .progress = on_progress,
        .arg = j,
    };
    struct error why = ERROR_INIT;
    int rc = backup_take(&options, result, &why);
    if (rc < 0)
        return error_set(err, is_for_good(rc) ? ERR_STATE : rc, "%s", why.text);
    job_update_proof(j, change_end, result);
    return 0;
}
