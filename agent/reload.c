#include <agent/reload.h>

#include <stdlib.h>
#include <string.h>

#define INFO  "apiserver_encryption_config_controller_last_config_info{"
#define STAMP "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds{"

/* The next line that begins with `name`, at or after `at`; NULL: there is none. */
static const char *next_line(const char *at, const char *name)
{
    for (const char *p = strstr(at, name); p; p = strstr(p + 1, name))
        if (p == at || p[-1] == '\n')
            return p;
    return NULL;
}

static bool has(const char *line, const char *part)
{
    const char *found = strstr(line, part);
    return found && found < line + strcspn(line, "\n");
}

static double value_of(const char *line)
{
    size_t len = strcspn(line, "\n");
    const char *at = memchr(line, '}', len);
    char number[64];
    size_t n = at ? (size_t)(line + len - at - 1) : 0;
    if (n == 0 || n >= sizeof(number))
        return 0;
    memcpy(number, at + 1, n);
    number[n] = 0;
    return strtod(number, NULL);
}

static enum reload_state by_info(const char *metrics, const char *hash)
{
    char first[96], later[96]; /* "apiserver_id_hash" ends alike */
    const char *line = next_line(metrics, INFO);
    if (!line)
        return RELOAD_UNTOLD;
    snprintf(first, sizeof(first), "{hash=\"sha256:%s\"", hash);
    snprintf(later, sizeof(later), ",hash=\"sha256:%s\"", hash);
    for (; line; line = next_line(line + 1, INFO))
        if ((has(line, first) || has(line, later)) && value_of(line) > 0)
            return RELOAD_LOADED;
    return RELOAD_WAITING;
}

/* A reload that succeeded after the change has read the changed file: it is only done when the content is
 * new. */
static enum reload_state by_time(const char *metrics, double changed_s)
{
    bool told = false, refused = false;
    for (const char *line = next_line(metrics, STAMP); line; line = next_line(line + 1, STAMP)) {
        bool since = value_of(line) > changed_s;
        told = true;
        if (has(line, "status=\"success\"") && since)
            return RELOAD_LOADED;
        refused |= has(line, "status=\"failure\"") && since;
    }
    return refused ? RELOAD_REFUSED : told ? RELOAD_WAITING : RELOAD_UNTOLD;
}

enum reload_state reload_read(const char *metrics, const char *hash, double changed_s)
{
    enum reload_state info = by_info(metrics, hash);
    enum reload_state time = by_time(metrics, changed_s);
    if (info == RELOAD_UNTOLD)
        return time;
    return info == RELOAD_WAITING && time == RELOAD_REFUSED ? RELOAD_REFUSED : info;
}

int64_t reload_timeout_s(const struct config *c)
{
    int64_t least = RELOAD_TWO_LOOKS_S + 60;
    return c->service_timeout_s > least ? c->service_timeout_s : least;
}
