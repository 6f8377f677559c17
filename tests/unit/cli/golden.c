/* Texts against tests/golden. With SECRETS_ENCRYPT_UPDATE_GOLDEN=1 the files are written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/file.h>

#include "fixture.h"

void fixture_compare(const char *name, const struct buf *text)
{
    char path[512];
    struct error err = ERROR_INIT;
    snprintf(path, sizeof(path), "%s/golden/%s", TEST_SOURCE_DIR, name);
    if (getenv("SECRETS_ENCRYPT_UPDATE_GOLDEN"))
        assert_int_equal(file_write_atomic(path, text->data, text->len, 0644, &err), 0);
    _cleanup_(buf_freep) struct buf golden = BUF_INIT(65536);
    if (file_read(path, 65536, &golden, &err) < 0)
        fail_msg("%s", err.text);
    if (strcmp(buf_str(&golden), buf_str(text)) != 0)
        fail_msg("%s\n--- expected\n%s--- rendered\n%s---", path, buf_str(&golden), buf_str(text));
}
