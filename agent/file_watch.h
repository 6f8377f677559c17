/* Wakes the loop as soon as something happens to the encryption config, so that a change by hand is seen at
 * once and not at the next look. Only a hint: what cannot be watched is looked at as often as ever. */
#ifndef AGENT_FILE_WATCH_H
#define AGENT_FILE_WATCH_H

#include <limits.h>
#include <stdbool.h>

/* The folder that a file stands in: editors put another file in its place, so that the file itself is no
 * use to watch. */
struct watched_folder {
    char folder[PATH_MAX], name[NAME_MAX + 1];
    int id; /* -1: not watched */
};

struct file_watch {
    int fd; /* -1: none */
    char path[PATH_MAX];
    struct watched_folder
        folders[2]; /* the path's; and where it is a symbolic link, that of the file itself */
};

/* Does not fail: without the kernel's help nothing wakes. */
void file_watch_open(struct file_watch *w, const char *path);
void file_watch_close(struct file_watch *w);

/* To be polled for reading; -1: none. */
int file_watch_fd(const struct file_watch *w);

/* Takes what came, and watches folders that are there by now. True when it was about the file. */
bool file_watch_take(struct file_watch *w);

#endif
