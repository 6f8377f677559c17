#include "watch.h"

#include <string.h>
#include <sys/ioctl.h>

#include <cli/screen.h>

#include "console.h"
#include "look.h"

#define TEXT_MAX     (1024 * 1024)
#define ROWS_DEFAULT 24

#define CLEAR_ALL "\033[2J"

struct watch {
    struct session *session;
    enum output output;
    watch_render *render;
    bool live;       /* a terminal */
    struct buf told; /* the text without ages, as it was last written */
};

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static int rows(void)
{
    struct winsize size = {0};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row : ROWS_DEFAULT;
}

static int draw(const struct buf *text, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(2 * TEXT_MAX);
    int rc = screen_draw(buf_str(text), rows(), &out, err);
    return rc < 0 ? rc : result_text(&out) ? 0 : ERR_IO;
}

/* The same text but for what changes by itself: at no time, nothing has an age. */
static int without_ages(struct watch *w, struct buf *out, struct error *err)
{
    int64_t now = w->session->snapshot->now_ms;
    w->session->snapshot->now_ms = 0;
    int rc = w->render(w->session, w->output, out, err);
    w->session->snapshot->now_ms = now;
    return rc;
}

static int write_changed(struct watch *w, const struct buf *text, struct error *err)
{
    _cleanup_(buf_freep) struct buf now = BUF_INIT(TEXT_MAX);
    int rc = without_ages(w, &now, err);
    bool first = w->told.len == 0;
    if (rc < 0 || (!first && strcmp(buf_str(&now), buf_str(&w->told)) == 0))
        return rc;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(TEXT_MAX + 1);
    rc = first ? 0 : buf_adds(&out, "\n", err);
    if (rc == 0)
        rc = buf_add(&out, buf_str(text), text->len, err);
    if (rc == 0 && !result_text(&out))
        rc = ERR_IO;
    buf_free(&w->told);
    w->told = now;
    memset(&now, 0, sizeof(now));
    return rc;
}

static int show(struct watch *w, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(TEXT_MAX);
    int rc = w->render(w->session, w->output, &text, err);
    if (rc < 0)
        return rc;
    return w->live ? draw(&text, err) : write_changed(w, &text, err);
}

static int look(struct watch *w, struct look *l, struct error *err)
{
    struct session *s = w->session;
    int rc = look_now(l, s->snapshot, err);
    if (rc < 0 || l->failures > 0) /* which was told; what was seen last stays */
        return rc;
    if (!s->remote)
        status_use_config(s->snapshot, s->config);
    return show(w, err);
}

static int watch_loop(struct watch *w, struct error *err)
{
    struct look l;
    look_open(&l, w->session);
    int rc = show(w, err);
    while (rc == 0 && !interrupted()) {
        look_pause(&l);
        if (!interrupted())
            rc = look(w, &l, err);
    }
    look_close(&l);
    return rc;
}

int watch_run(struct session *s, enum output output, watch_render *render, struct error *err)
{
    struct watch w = {s, output, render, is_terminal(), BUF_INIT(TEXT_MAX)};
    _cleanup_(buf_freep) struct buf clear = BUF_INIT(sizeof(CLEAR_ALL));
    int rc = interrupt_catch(err);
    if (rc == 0 && w.live)
        rc = buf_adds(&clear, CLEAR_ALL, err);
    if (rc == 0 && w.live && !result_text(&clear))
        rc = ERR_IO;
    if (rc == 0)
        rc = watch_loop(&w, err);
    buf_free(&w.told);
    return rc;
}
