#include <agent/proof.h>

#include <string.h>

#include <base/text.h>

void mark_take(struct mark *m, const struct process_found *p, const char *boot, int64_t boot_ms)
{
    static const enum mark_kind kinds[] = {
        [PROCESS_NONE] = MARK_NONE, [PROCESS_ONE] = MARK_ONE, [PROCESS_MANY] = MARK_MANY};
    memset(m, 0, sizeof(*m));
    m->kind = kinds[p->count];
    m->by_pid_file = p->by_pid_file;
    m->boot_ms = boot_ms;
    (void)text_copy(m->boot, sizeof(m->boot), boot);
    if (p->count == PROCESS_ONE)
        m->process = p->id;
}

bool mark_is_newer(const struct mark *m, const struct process_found *p)
{
    if (m->kind == MARK_NEVER || p->count != PROCESS_ONE)
        return false;
    if (strcmp(m->boot, p->id.boot) != 0)
        return true;
    if (m->kind == MARK_ONE && process_same(&m->process, &p->id))
        return false;
    /* A search of all argument lists misses none that had been executed, so whatever it did not see came
     * later. That is not so where there were several, nor with a pid file, which lags behind its process;
     * nor when one of the two was found by the other method, or by a list of arguments that may have been
     * another one then: only its start time can tell. */
    bool exact = m->kind != MARK_MANY && !m->by_pid_file && !p->by_pid_file && !p->plain;
    return exact || p->started_boot_ms > m->boot_ms;
}

/* For a file that stood there before we looked. The clocks of file system and processes
 * agree within a tick; this is far on the safe side. */
#define AGREE_MS 200

static bool started_after_change(const struct process_found *p, const struct file_seen *file)
{
    return p->started_wall_ms > file->ctime_us / 1000 + AGREE_MS;
}

/* A mark tells when it was taken while this very version of the file stood there. */
static bool mark_fits(const struct mark *m, const char *hash, int64_t ctime_us, const struct file_seen *file)
{
    return m->kind != MARK_NEVER && strcmp(hash, file->hash) == 0 && ctime_us == file->ctime_us;
}

static bool loaded_present_file(const struct agent_state *s, const struct process_found *p,
                                const struct file_seen *file)
{
    const struct file_record *r = &s->file;
    if (!file->hash[0])
        return false;
    if (p->plain)
        return file->plain;
    if (mark_fits(&s->seen.mark, s->seen.hash, s->seen.ctime_us, file) && mark_is_newer(&s->seen.mark, p))
        return true;
    /* Our own mark stands right behind the write: nothing earlier is to be believed, least of all a wall
     * clock that may have been set since. */
    if (mark_fits(&r->mark, r->written.hash, r->written_ctime_us, file))
        return mark_is_newer(&r->mark, p);
    return started_after_change(p, file);
}

void early_look(struct early *e, const struct process_found *p, const struct file_seen *file, bool ready,
                int64_t young_ms, int64_t boot_ms)
{
    if (p->count != PROCESS_ONE)
        return;
    if (!process_same(&e->process, &p->id)) {
        memset(e, 0, sizeof(*e));
        e->process = p->id;
        e->open = boot_ms - p->started_boot_ms < young_ms;
    }
    if (e->open && !ready) {
        (void)text_copy(e->hash, sizeof(e->hash), file->hash);
        e->ctime_us = file->ctime_us;
    }
    e->open = e->open && !ready;
}

bool early_proves(const struct early *e, const struct process_found *p, const struct file_seen *file)
{
    return !e->open && e->hash[0] && p->count == PROCESS_ONE && process_same(&e->process, &p->id) &&
           strcmp(e->hash, file->hash) == 0 && e->ctime_us == file->ctime_us;
}

/* Until its API server was ready once, the program may still write another file than the one it was started
 * with. */
static bool settled_early(const struct early *e, const struct process_found *p)
{
    return !e->open && process_same(&e->process, &p->id);
}

bool proof_update(struct agent_state *s, const struct process_found *p, const struct file_seen *file,
                  const struct early *early)
{
    struct loaded *l = &s->loaded;
    if (p->count != PROCESS_ONE)
        return false;
    bool same = process_same(&l->process, &p->id);
    if (same && l->hash[0])
        return false;
    bool proved =
        early ? settled_early(early, p) && (loaded_present_file(s, p, file) || early_proves(early, p, file))
              : loaded_present_file(s, p, file);
    if (same && !proved)
        return false;
    memset(l, 0, sizeof(*l));
    l->process = p->id;
    if (proved)
        (void)text_copy(l->hash, sizeof(l->hash), file->hash);
    return true;
}
