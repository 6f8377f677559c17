/* Any bytes as a static pod's manifest: refused with one line, or changed so that every byte that was there
 * still is (but the annotation's old time), and that the same change once more changes nothing. */
#include "fuzz.h"

#include <string.h>

#include <agent/manifest.h>

#define CONFIG "/etc/kubernetes/enc/config.json"
#define TIME   "2026-11-27T21:00:00.000Z"

/* Every byte of `part` stands in `whole`, in that order. */
static bool is_part(const char *part, size_t part_len, const struct buf *whole)
{
    size_t at = 0;
    for (size_t i = 0; i < whole->len && at < part_len; i++)
        at += whole->data[i] == part[at];
    return at == part_len;
}

static int change(const char *text, size_t len, struct buf *out, bool *added)
{
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    struct error err = ERROR_INIT;
    int rc = manifest_parse(text, len, "the manifest", &m, &err);
    if (rc == 0)
        rc = manifest_edit(m, CONFIG, TIME, out, added, &err);
    MUST(rc == 0 || (err.code == rc && err.text[0] && !strchr(err.text, '\n') && out->len == 0));
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(buf_freep) struct buf once = BUF_INIT(MANIFEST_MAX), twice = BUF_INIT(MANIFEST_MAX);
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    const char *text = (const char *)data;
    bool added = false;
    if (change(text, size, &once, &added) < 0)
        return 0;
    MUST(memmem(text, size, MANIFEST_ANNOTATION, strlen(MANIFEST_ANNOTATION)) || is_part(text, size, &once));
    MUST(manifest_parse(once.data, once.len, "again", &m, NULL) == 0 && manifest_encrypts(m));
    MUST(change(once.data, once.len, &twice, &added) == 0 && !added);
    MUST(twice.len == once.len && memcmp(twice.data, once.data, once.len) == 0);
    return 0;
}
