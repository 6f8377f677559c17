/* The lines: `[2/4] rotate       s1 ok  s2 restarting  s3 waiting   00:12`. */
#include <cli/progress.h>

#include <inttypes.h>
#include <stdarg.h>

#include <base/cleanup.h>
#include <report/table.h>
#include <report/words.h>
#include <rotation/rotation.h>

#define PIECES_MAX      (SNAPSHOT_SERVERS_MAX + 8)
#define WORD_WIDTH      13
#define BAR_MIN         10
#define BAR_MAX         40
#define REWRITE_LINE_MS 2000
#define WHY_LINE_MS     10000
#define STILL_MS        3000 /* servers that stand still for less are between two steps */
#define NEWS_MS         5000 /* a re-encryption that has told nothing for so long is pointed at */

/* A line is made of pieces, so that its width is known before colours are put in. */
struct piece {
    char text[160];
    const char *color; /* SGR parameter, or NULL */
};
struct line {
    struct piece pieces[PIECES_MAX];
    size_t count;
    size_t width;
};

static void add_piece(struct line *l, const char *color, const char *format, ...) _printf_(3, 4);
static void add_piece(struct line *l, const char *color, const char *format, ...)
{
    if (l->count == PIECES_MAX)
        return;
    struct piece *p = &l->pieces[l->count++];
    va_list ap;
    va_start(ap, format);
    vsnprintf(p->text, sizeof(p->text), format, ap);
    va_end(ap);
    /* Reasons come from other machines: bytes that are a column each, and nothing a terminal obeys. */
    for (char *c = p->text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
    p->color = color;
    l->width += strlen(p->text);
}

/* Cut at width - 1 columns; colours end with their piece. */
static int print_line(const struct line *l, const struct progress_options *o, struct buf *out,
                      struct error *err)
{
    size_t left = o->width > 1 ? (size_t)o->width - 1 : 0;
    int rc = 0;
    for (size_t i = 0; i < l->count && rc == 0 && left > 0; i++) {
        const struct piece *p = &l->pieces[i];
        size_t n = strlen(p->text) < left ? strlen(p->text) : left;
        bool color = o->color && p->color;
        rc = color ? buf_addf(out, err, "\033[%sm%.*s\033[0m", p->color, (int)n, p->text)
                   : buf_addf(out, err, "%.*s", (int)n, p->text);
        left -= n;
    }
    return rc;
}

static const char *color_of(enum server_progress p)
{
    switch (p) {
    case SERVER_OK:
        return "32";
    case SERVER_FAILED:
    case SERVER_REFUSED:
    case SERVER_SILENT:
    case SERVER_NOT_READY:
        return "31";
    case SERVER_WAITING:
        return NULL;
    default:
        return "33";
    }
}

static bool is_busy(enum server_progress p)
{
    return p == SERVER_ORDERED || p == SERVER_WORKING || p == SERVER_RESTARTING || p == SERVER_STARTING;
}

static void add_step(struct line *l, const struct cluster_snapshot *s, const char *word)
{
    int number = 0, count = 0;
    const char *step_word = "";
    rotation_step(&s->rotation.op, &number, &count, &step_word);
    add_piece(l, NULL, "[%d/%d] %-*s", number, count, WORD_WIDTH, word ? word : step_word);
}

static void add_elapsed(struct line *l, const struct cluster_snapshot *s, int64_t now_ms)
{
    char text[DURATION_TEXT_MAX];
    format_clock(now_ms - s->rotation.op.started_ms, text);
    add_piece(l, NULL, "   %s", text);
}

/* All servers by name; `over`: the step is proved complete, whatever the older snapshot says. */
static void add_servers(struct line *l, const struct cluster_snapshot *s, bool over)
{
    const char *gap = "";
    for (size_t i = 0; i < s->servers_count; i++) {
        if (!progress_shows(s, &s->servers[i]))
            continue;
        enum server_progress p = over ? SERVER_OK : server_progress(s, &s->servers[i]);
        add_piece(l, color_of(p), "%s%s %s", gap, s->servers[i].name, server_progress_word(p));
        gap = "  ";
    }
}

/* Where that is too wide: how many are ok and how many wait, and the others by name. */
static void add_servers_short(struct line *l, const struct cluster_snapshot *s, bool over)
{
    size_t ok = 0, waiting = 0;
    for (size_t i = 0; i < s->servers_count; i++) {
        if (!progress_shows(s, &s->servers[i]))
            continue;
        enum server_progress p = over ? SERVER_OK : server_progress(s, &s->servers[i]);
        ok += p == SERVER_OK;
        waiting += p == SERVER_WAITING;
    }
    add_piece(l, color_of(SERVER_OK), "%zu ok", ok);
    for (size_t i = 0; i < s->servers_count && !over; i++) {
        enum server_progress p = server_progress(s, &s->servers[i]);
        if (progress_shows(s, &s->servers[i]) && p != SERVER_OK && p != SERVER_WAITING)
            add_piece(l, color_of(p), "  %s %s", s->servers[i].name, server_progress_word(p));
    }
    if (waiting > 0)
        add_piece(l, NULL, "  %zu waiting", waiting);
}

/* Nobody is at work, and has not been for a while: what it waits for is worth the room that is left. */
static void add_reason(struct line *l, const struct cluster_snapshot *s, const struct progress_options *o)
{
    if (o->still_ms < STILL_MS)
        return;
    for (size_t i = 0; i < s->servers_count; i++)
        if (progress_shows(s, &s->servers[i]) && is_busy(server_progress(s, &s->servers[i])))
            return;
    if (*s->rotation.op.why)
        add_piece(l, NULL, "  %s", s->rotation.op.why);
}

/* What the steps of an operation are called once they are over, whichever of their phases was seen last. */
static const char *step_over_word(const struct cluster_operation *op)
{
    static const struct {
        enum operation_kind kind;
        const char *words[4];
    } steps[] = {
        {OP_PREPARE, {"prepare"}},
        {OP_ROTATE, {"rotate"}},
        {OP_REENCRYPT, {"reencrypt", "drop old key"}},
        {OP_ROTATE_KEYS, {"prepare", "rotate", "reencrypt", "drop old key"}},
        {OP_RESTORE_KEY, {"restore key"}},
        {OP_ABORT, {"old key back", "reencrypt", "drop new key"}},
    };
    int number = 0, count = 0;
    const char *word = "";
    rotation_step(op, &number, &count, &word);
    for (size_t i = 0; i < array_len(steps); i++)
        if (steps[i].kind == op->kind && number >= 1 && number <= 4 && steps[i].words[number - 1])
            return steps[i].words[number - 1];
    return word;
}

/* New writes are looked at while keys are dropped. */
static void add_watch(struct line *l, const struct cluster_snapshot *s)
{
    const struct cluster_proof *p = proof_of_phase(s);
    if (rotation_phase_drops(s->rotation.op.phase) && p && p->state == PROOF_RUNNING)
        add_piece(l, NULL, "  watching new writes");
}

static int servers_line(const struct cluster_snapshot *s, const struct progress_options *o, bool over,
                        struct buf *out, struct error *err)
{
    struct line l = {0};
    const char *word = over ? step_over_word(&s->rotation.op) : NULL;
    add_step(&l, s, word);
    add_servers(&l, s, over);
    if (!over)
        add_watch(&l, s);
    add_elapsed(&l, s, o->now_ms);
    if (l.width >= (size_t)o->width) {
        l.count = 0;
        l.width = 0;
        add_step(&l, s, word);
        add_servers_short(&l, s, over);
        add_elapsed(&l, s, o->now_ms);
    }
    if (!over)
        add_reason(&l, s, o);
    return print_line(&l, o, out, err);
}

/* The re-encryption of this very operation, or NULL while its record is not there yet. */
static const struct cluster_reencrypt *rewrite_of(const struct cluster_snapshot *s)
{
    bool mine = s->has_reencrypt && strcmp(s->reencrypt.operation, s->rotation.op.id) == 0;
    return mine ? &s->reencrypt : NULL;
}

static void add_counts(struct line *l, const struct cluster_reencrypt *r, int64_t now_ms)
{
    char done[COUNT_TEXT_MAX], total[COUNT_TEXT_MAX], rate[COUNT_TEXT_MAX], left[DURATION_TEXT_MAX];
    int64_t total_now = r->total > r->done ? r->total : r->done;
    format_count(r->done, done);
    format_count(total_now, total);
    format_count(r->rate, rate);
    add_piece(l, NULL, "  %*s/%s", (int)strlen(total), done, total); /* so that the bar keeps its width */
    add_piece(l, NULL, "  %s/s", rate);
    if (r->rate > 0) {
        format_duration((total_now - r->done) * 1000 / r->rate, left);
        add_piece(l, NULL, "  %s left", left);
    }
    if (r->failed > 0)
        add_piece(l, "31", "  %" PRId64 " failed", r->failed);
    if (r->state == REENCRYPT_RUNNING && *r->held_by)
        add_piece(l, NULL, "  (%.100s)", r->held_by);
    if (r->state == REENCRYPT_RUNNING && now_ms - r->updated_ms > NEWS_MS)
        add_piece(l, "33", "  no news for %" PRId64 " s", (now_ms - r->updated_ms) / 1000);
}

static void add_bar(struct line *l, const struct cluster_reencrypt *r, size_t columns)
{
    char bar[BAR_MAX + 1];
    int64_t total = r->total > r->done ? r->total : r->done;
    size_t full = total > 0 ? (size_t)((double)r->done / (double)total * (double)columns) : 0;
    memset(bar, '.', columns);
    memset(bar, '#', full < columns ? full : columns);
    bar[columns] = 0;
    add_piece(l, "32", "[%s]", bar);
}

static int rewrite_line(const struct cluster_snapshot *s, const struct progress_options *o, struct buf *out,
                        struct error *err)
{
    const struct cluster_reencrypt *r = rewrite_of(s);
    struct line head = {0}, counts = {0};
    add_step(&head, s, "re-encrypting");
    if (!r || r->state == REENCRYPT_IDLE) {
        add_piece(&head, NULL, "  starting");
        add_elapsed(&head, s, o->now_ms);
        return print_line(&head, o, out, err);
    }
    add_counts(&counts, r, o->now_ms);
    size_t used = head.width + counts.width + 5; /* the gap, the brackets, the last column */
    size_t room = (size_t)o->width > used ? (size_t)o->width - used : 0;
    if (room >= BAR_MIN) {
        add_piece(&head, NULL, "  ");
        add_bar(&head, r, room < BAR_MAX ? room : BAR_MAX);
    }
    for (size_t i = 0; i < counts.count; i++)
        add_piece(&head, counts.pieces[i].color, "%s", counts.pieces[i].text);
    return print_line(&head, o, out, err);
}

/* "that every server reads the new key", "the datastore (123 MiB)". */
static void proof_text(const struct cluster_snapshot *s, char *out, size_t size)
{
    char object[PHASE_TEXT_MAX], bytes[SIZE_TEXT_MAX];
    enum phase phase = s->rotation.op.phase;
    const struct cluster_proof *p = proof_of_phase(s);
    operation_object(s, object);
    bool saving = phase == PHASE_BACKUP || phase == PHASE_BACKUP_DROP;
    format_size(p ? p->values : 0, bytes);
    if (saving && p && p->values > 0)
        snprintf(out, size, "%s (%s)", object, bytes);
    else
        snprintf(out, size, "%s", object);
}

static int proof_line(const struct cluster_snapshot *s, const struct progress_options *o, struct buf *out,
                      struct error *err)
{
    struct line l = {0};
    char text[PHASE_TEXT_MAX + SIZE_TEXT_MAX];
    proof_text(s, text, sizeof(text));
    add_step(&l, s, phase_verb(s->rotation.op.phase));
    add_piece(&l, NULL, "  %s", text);
    if (phase_asks_servers(s->rotation.op.phase)) {
        add_piece(&l, NULL, "  ");
        add_servers(&l, s, false);
    }
    add_elapsed(&l, s, o->now_ms);
    add_reason(&l, s, o);
    return print_line(&l, o, out, err);
}

int progress_line(const struct cluster_snapshot *s, const struct progress_options *o, struct buf *out,
                  struct error *err)
{
    switch (s->rotation.op.phase) {
    case PHASE_REWRITE:
        return rewrite_line(s, o, out, err);
    default:
        return rotation_phase_is_proof(s->rotation.op.phase) ? proof_line(s, o, out, err)
                                                             : servers_line(s, o, false, out, err);
    }
}

static int step_number(const struct cluster_snapshot *s)
{
    int number = 0, count = 0;
    const char *word = "";
    if (s->rotation.op.phase == PHASE_DONE || s->rotation.op.state == OP_STATE_FINISHED)
        return INT32_MAX;
    rotation_step(&s->rotation.op, &number, &count, &word);
    return number;
}

bool progress_step_passed(const struct cluster_snapshot *before, const struct cluster_snapshot *now)
{
    return before->has_rotation && now->has_rotation &&
           strcmp(before->rotation.op.id, now->rotation.op.id) == 0 && *now->rotation.op.id &&
           step_number(now) > step_number(before);
}

static void add_rewritten(struct line *l, const struct cluster_snapshot *now)
{
    const struct cluster_reencrypt *r = rewrite_of(now);
    char done[COUNT_TEXT_MAX], took[DURATION_TEXT_MAX], stale[COUNT_TEXT_MAX];
    if (!r)
        return;
    format_count(r->done, done);
    format_duration(r->ended_ms - r->started_ms, took);
    add_piece(l, NULL, "%s objects in %s", done, took);
    if (r->failed > 0)
        add_piece(l, "31", ", %" PRId64 " failed", r->failed);
    format_count(r->scan_stale, stale);
    if (r->scan_revision > 0)
        add_piece(l, NULL, ", %s left under another key", stale);
}

int progress_step_over(const struct cluster_snapshot *before, const struct cluster_snapshot *now,
                       const struct progress_options *o, struct buf *out, struct error *err)
{
    if (strcmp(step_over_word(&before->rotation.op), "reencrypt") != 0)
        return servers_line(before, o, true, out, err);
    struct line l = {0};
    add_step(&l, before, "re-encrypted");
    add_rewritten(&l, now);
    add_elapsed(&l, before, o->now_ms);
    return print_line(&l, o, out, err);
}

int progress_summary(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    struct line l = {0};
    if (!rewrite_of(s))
        return 0;
    add_piece(&l, NULL, "re-encrypted ");
    add_rewritten(&l, s);
    const struct progress_options o = {.width = 4096};
    int rc = print_line(&l, &o, out, err);
    return rc == 0 ? buf_adds(out, "\n", err) : rc;
}

/* --- what there is to tell --- */

struct teller {
    struct progress_log *log;
    const struct cluster_snapshot *s;
    int64_t now_ms;
    progress_sink *sink;
    void *to;
    struct error *err;
};

static int tell(const struct teller *t, const struct progress_event *e)
{
    return t->sink(t->to, t->s, t->now_ms, e, t->err);
}

static int tell_servers(const struct teller *t)
{
    int rc = 0;
    for (size_t i = 0; i < t->s->servers_count && rc == 0; i++) {
        const struct snapshot_server *v = &t->s->servers[i];
        enum server_progress p = server_progress(t->s, v);
        if (!progress_shows(t->s, v) || p == t->log->servers[i])
            continue;
        t->log->servers[i] = p;
        rc = tell(t, &(struct progress_event){.what = PROGRESS_SERVER, .server = v, .state = p});
    }
    return rc;
}

/* A proof that fails, or is tried again, is told as soon as it is. */
static int tell_proof(const struct teller *t)
{
    const struct cluster_proof *p = proof_of_phase(t->s);
    bool news = p && p->state != t->log->proof;
    if (p)
        t->log->proof = p->state;
    if (!news || (p->state != PROOF_FAILED && p->state != PROOF_UNMADE))
        return 0;
    return tell(t, &(struct progress_event){.what = PROGRESS_PROOF, .proof = p});
}

static int tell_why(const struct teller *t)
{
    const struct cluster_snapshot *s = t->s;
    struct progress_log *log = t->log;
    const char *why = s->rotation.op.why;
    for (size_t i = 0; i < s->servers_count; i++)
        if (progress_shows(s, &s->servers[i]) && is_busy(server_progress(s, &s->servers[i])))
            return 0;
    /* Nobody is at work, yet the record waits for an order: it is a turn behind the reports. */
    bool behind = strcmp(s->rotation.op.row, "order-in-flight") == 0;
    if (behind || !*why || strcmp(why, log->why) == 0 || t->now_ms - log->why_ms < WHY_LINE_MS)
        return 0;
    memcpy(log->why, why, sizeof(log->why));
    log->why_ms = t->now_ms;
    return tell(t, &(struct progress_event){.what = PROGRESS_WAITING});
}

static int tell_rewrite(const struct teller *t)
{
    const struct cluster_reencrypt *r = rewrite_of(t->s);
    struct progress_log *log = t->log;
    if (!r || (r->done == log->done && r->total == log->total) ||
        t->now_ms - log->rewrite_ms < REWRITE_LINE_MS)
        return 0;
    log->done = r->done;
    log->total = r->total;
    log->rewrite_ms = t->now_ms;
    return tell(t, &(struct progress_event){.what = PROGRESS_REWRITE, .rewrite = r});
}

static int tell_phase(const struct teller *t)
{
    const struct cluster_operation *op = &t->s->rotation.op;
    struct progress_log *log = t->log;
    if (log->started && log->phase == op->phase)
        return 0;
    log->started = true;
    log->phase = op->phase;
    /* The first reason of a phase is told only once it has lasted: most pass at once. */
    log->why_ms = t->now_ms;
    for (size_t i = 0; i < t->s->servers_count; i++)
        log->servers[i] = SERVER_WAITING;
    log->proof = PROOF_NONE;
    return op->phase == PHASE_DONE ? 0 : tell(t, &(struct progress_event){.what = PROGRESS_PHASE});
}

int progress_tell(struct progress_log *log, const struct cluster_snapshot *s, int64_t now_ms,
                  progress_sink *sink, void *to, struct error *err)
{
    const struct teller t = {log, s, now_ms, sink, to, err};
    int rc = tell_phase(&t);
    enum phase phase = s->rotation.op.phase;
    if (rc < 0 || phase == PHASE_DONE || s->rotation.op.state != OP_STATE_RUNNING)
        return rc;
    if (phase == PHASE_REWRITE || (phase == PHASE_VERIFY && s->spec.not_raw))
        rc = tell_rewrite(&t);
    else if (phase_asks_servers(phase) || !rotation_phase_is_proof(phase))
        rc = tell_servers(&t);
    if (rc == 0)
        rc = tell_proof(&t);
    if (rc == 0)
        rc = tell_why(&t);
    return rc;
}

/* --- plain lines --- */

static void counts_text(const struct cluster_reencrypt *r, int64_t now_ms, char *out, size_t size)
{
    struct line l = {0};
    size_t used = 0;
    add_counts(&l, r, now_ms);
    out[0] = 0;
    for (size_t i = 0; i < l.count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
                                 l.pieces[i].text + strspn(l.pieces[i].text, " "));
}

static void event_text(const struct cluster_snapshot *s, int64_t now_ms, const struct progress_event *e,
                       char *out, size_t size)
{
    char doing[PHASE_TEXT_MAX];
    switch (e->what) {
    case PROGRESS_PHASE:
        operation_doing(s, doing);
        snprintf(out, size, "%s", phase_verb(s->rotation.op.phase) ? doing : "begins");
        break;
    case PROGRESS_SERVER:
        snprintf(out, size, "%s %s", e->server->name, server_progress_word(e->state));
        break;
    case PROGRESS_PROOF:
        snprintf(out, size, "%s: %s",
                 e->proof->state == PROOF_FAILED ? "the proof failed" : "the proof could not be made",
                 e->proof->why);
        break;
    case PROGRESS_WAITING:
        snprintf(out, size, "%s", s->rotation.op.why);
        break;
    case PROGRESS_REWRITE:
        counts_text(e->rewrite, now_ms, out, size);
        break;
    }
}

static int add_text_line(void *to, const struct cluster_snapshot *s, int64_t now_ms,
                         const struct progress_event *e, struct error *err)
{
    int number = 0, count = 0;
    const char *word = "";
    char text[CLUSTER_TEXT_MAX + 160], elapsed[DURATION_TEXT_MAX];
    rotation_step(&s->rotation.op, &number, &count, &word);
    format_clock(now_ms - s->rotation.op.started_ms, elapsed);
    event_text(s, now_ms, e, text, sizeof(text));
    return buf_addf(to, err, "%s [%d/%d] %s: %s\n", elapsed, number, count, word, text);
}

int progress_log_lines(struct progress_log *log, const struct cluster_snapshot *s, int64_t now_ms,
                       struct buf *out, struct error *err)
{
    int rc = progress_tell(log, s, now_ms, add_text_line, out, err);
    make_printable(out);
    return rc;
}
