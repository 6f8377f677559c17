/* Any bytes as Prometheus's answer: an error of one line, or a count of series with printable names. */
#include "fuzz.h"

#include <string.h>

#include <prom/prom.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char names[PROM_TEXT_MAX] = "";
    struct error err = ERROR_INIT;
    size_t count = 0;
    int rc = prom_read((const char *)data, size, &count, names, &err);
    if (rc < 0) {
        MUST(err.code == rc && err.text[0] && !strchr(err.text, '\n'));
        return 0;
    }
    MUST(strlen(names) < sizeof(names) && (count == 0) == (names[0] == 0));
    for (const char *s = names; *s; s++)
        MUST((unsigned char)*s >= ' ' && (unsigned char)*s < 0x7f);
    return 0;
}
