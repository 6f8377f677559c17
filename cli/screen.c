#include <cli/screen.h>

#include <string.h>

#define BEGIN    "\033[?7l\033[H" /* lines are not wrapped */
#define LINE_END "\033[K\r\n"
#define END      "\033[J\033[?7h"

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = strchrnul(text, '\n');
        lines++;
    }
    return lines;
}

int screen_draw(const char *text, int rows, struct buf *out, struct error *err)
{
    size_t lines = lines_of(text), room = rows > 2 ? (size_t)rows - 1 : 1;
    size_t shown = lines <= room ? lines : room - 1;
    int rc = buf_adds(out, BEGIN, err);
    for (size_t i = 0; i < shown && rc == 0; i++) {
        size_t len = strcspn(text, "\n");
        rc = buf_add(out, text, len, err);
        if (rc == 0)
            rc = buf_adds(out, LINE_END, err);
        text += len + (text[len] == '\n');
    }
    if (rc == 0 && shown < lines)
        rc = buf_addf(out, err, "… %zu more lines: make the window higher, or leave --watch out" LINE_END,
                      lines - shown);
    return rc == 0 ? buf_adds(out, END, err) : rc;
}
