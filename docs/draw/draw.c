/* Writes what the documents show of the program's own tables: `draw planner`, `draw planner-text`,
 * `draw agent-text`, `draw metrics`. docs/draw.sh calls it. */
#include <stdio.h>
#include <string.h>

#include <agent/decide.h>
#include <base/buf.h>
#include <base/cleanup.h>
#include <metrics/metrics.h>
#include <rotation/rotation.h>

static const struct {
    const char *name;
    int (*draw)(struct buf *out, struct error *err);
} pictures[] = {
    {"planner", rotation_draw},
    {"planner-text", rotation_table_dump},
    {"agent-text", agent_tables_dump},
    {"metrics", metrics_draw},
};

int main(int argc, char **argv)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    struct error err = ERROR_INIT;
    for (size_t i = 0; argc == 2 && i < array_len(pictures); i++) {
        if (strcmp(argv[1], pictures[i].name) != 0)
            continue;
        if (pictures[i].draw(&out, &err) < 0) {
            fprintf(stderr, "draw: %s\n", err.text);
            return 1;
        }
        return fputs(buf_str(&out), stdout) < 0 || fflush(stdout) != 0;
    }
    fputs("Usage: draw planner|planner-text|agent-text|metrics\n", stderr);
    return 2;
}
