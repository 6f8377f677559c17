#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <limits.h>

#include <base/file.h>

static char root[] = "/tmp/discover-test-XXXXXX";

const char *tree_make(void)
{
    memcpy(strrchr(root, '-') + 1, "XXXXXX", 6);
    assert_non_null(mkdtemp(root));
    return root;
}

void tree_bytes(const char *path, const void *data, size_t len)
{
    char full[PATH_MAX], folder[PATH_MAX];
    snprintf(full, sizeof(full), "%s%s", root, path);
    snprintf(folder, sizeof(folder), "%s", full);
    *strrchr(folder, '/') = 0;
    assert_int_equal(dir_make(folder, 0755, NULL), 0);
    assert_int_equal(file_write_atomic(full, data, len, 0600, NULL), 0);
}

void tree_file(const char *path, const char *text)
{
    tree_bytes(path, text, strlen(text));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

void tree_remove(void)
{
    assert_int_equal(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}
