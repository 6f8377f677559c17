/* Any bytes as a time zone's file: refused with one line, or a zone that answers for every instant within its
 * bounds, and whose clocks show at zone_instant() what was asked for, or later where that is left out. */
#include "fuzz.h"

#include <string.h>

#include <schedule/zone.h>

static void ask(const struct zone *z, int64_t at)
{
    int32_t offset = zone_offset(z, at);
    MUST(offset > -ZONE_OFFSET_MAX && offset < ZONE_OFFSET_MAX);
    int64_t local = at + offset, found = zone_instant(z, local);
    MUST(found <= local + 2 * ZONE_OFFSET_MAX && found >= local - 2 * ZONE_OFFSET_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(zone_freep) struct zone *z = NULL;
    struct error err = ERROR_INIT;
    int rc = zone_parse("the zone", data, size, &z, &err);
    if (rc < 0) {
        MUST(err.code == rc && err.text[0] && !strchr(err.text, '\n') && !z);
        return 0;
    }
    for (int64_t at = -2000000000; at < 5000000000; at += 10000019)
        ask(z, at);
    MUST(zone_offset(z, INT64_MAX) < ZONE_OFFSET_MAX && zone_offset(z, INT64_MIN) > -ZONE_OFFSET_MAX);
    (void)zone_instant(z, INT64_MAX);
    (void)zone_instant(z, INT64_MIN);
    return 0;
}
