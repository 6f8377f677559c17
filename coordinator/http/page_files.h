/* The page's files, as the build has put them into the program (embed.cmake). */
#ifndef COORDINATOR_HTTP_PAGE_FILES_H
#define COORDINATOR_HTTP_PAGE_FILES_H

#include <stddef.h>

struct page_file {
    const char *path; /* "/page.css" */
    const char *type; /* of its content */
    const unsigned char *data;
    size_t len;
};
extern const struct page_file page_files[];
extern const size_t page_files_count;

#endif
