/* Prints what the room says of many instants, for test_zones.py to compare:
 *   schedule_probe zone <name> <from> <to> <step>                          offsets, a line each
 *   schedule_probe window <days> <from> <to> <zone> <from> <to> <step>     "open opens closes" */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/text.h>
#include <schedule/window.h>

static int64_t number(const char *text)
{
    int64_t n = 0;
    if (text_int(text, INT64_MIN / 4, INT64_MAX / 4, &n, NULL) < 0)
        exit(2);
    return n;
}

static int print_zone(char **argv, struct error *err)
{
    _cleanup_(zone_freep) struct zone *z = NULL;
    int rc = zone_load(argv[0], &z, err);
    for (int64_t at = number(argv[1]); rc == 0 && at < number(argv[2]); at += number(argv[3]))
        printf("%d\n", zone_offset(z, at));
    return rc;
}

static int print_window(char **argv, struct error *err)
{
    struct windows w = {0};
    struct window one;
    int rc = window_parse(argv[0], argv[1], argv[2], argv[3], &one, err);
    if (rc == 0)
        rc = windows_add(&w, &one, err);
    for (int64_t at = number(argv[4]); rc == 0 && at < number(argv[5]); at += number(argv[6])) {
        struct window_times t = window_next(&w, at * 1000);
        printf("%d %" PRId64 " %" PRId64 "\n", t.open, t.opens_ms / 1000, t.closes_ms / 1000);
    }
    windows_clear(&w);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    int rc = ERR_INVALID;
    if (argc == 6 && strcmp(argv[1], "zone") == 0)
        rc = print_zone(argv + 2, &err);
    else if (argc == 9 && strcmp(argv[1], "window") == 0)
        rc = print_window(argv + 2, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    return rc < 0 ? 1 : 0;
}
