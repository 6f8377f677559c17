#include <schedule/zone.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <base/file.h>
#include <base/text.h>

#include "civil.h"
#include "posix.h"

#define CHANGES_MAX 4096
#define FOOTER_MAX  128
#define HEADER      44
#define TABLE_MAX   (256 * 1024)

/* Changes at instants of the table, then by the rule. */
struct zone {
    size_t count;
    int64_t *at;     /* rising */
    int32_t *offset; /* from at[i] on */
    int32_t first;   /* before at[0] */
    bool has_rule;
    struct posix_rule rule;
};

void zone_free(struct zone *z)
{
    if (!z)
        return;
    free(z->at);
    free(z->offset);
    free(z);
}

/* ---------- the file ---------- */

struct block {
    const char *name; /* of the zone, for errors */
    const unsigned char *data;
    size_t len;
    size_t isut, isstd, leap, times, types, chars;
    size_t time_size;
};

static int bad(const char *name, const char *why, struct error *err)
{
    return error_set(err, ERR_INVALID, "time zone %.80s: its file %s", name, why);
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static int32_t signed32(uint32_t v)
{
    return (int32_t)v;
}

/* Header and size of the block at the beginning of data; *ret_size has both. */
static int read_header(struct block *b, size_t *ret_size, struct error *err)
{
    if (b->len < HEADER || memcmp(b->data, "TZif", 4) != 0)
        return bad(b->name, "is not a time zone's", err);
    size_t *const counts[] = {&b->isut, &b->isstd, &b->leap, &b->times, &b->types, &b->chars};
    for (size_t i = 0; i < array_len(counts); i++) {
        *counts[i] = be32(b->data + 20 + 4 * i);
        if (*counts[i] > ZONE_FILE_MAX)
            return bad(b->name, "counts more than it can hold", err);
    }
    *ret_size = HEADER + b->times * (b->time_size + 1) + b->types * 6 + b->chars +
                b->leap * (b->time_size + 4) + b->isstd + b->isut;
    return *ret_size > b->len ? bad(b->name, "is cut short", err) : 0;
}

static int check_counts(const struct block *b, struct error *err)
{
    if (b->types == 0 || b->types > 256 || b->times > CHANGES_MAX)
        return bad(b->name, "has no types, or too many changes", err);
    if (b->leap > 0)
        return error_set(err, ERR_UNSUPPORTED,
                         "time zone %.80s: counts leap seconds, which the system's clock does not", b->name);
    return 0;
}

static int read_offset(const struct block *b, size_t type, int32_t *ret, struct error *err)
{
    const unsigned char *types = b->data + HEADER + b->times * (b->time_size + 1);
    if (type >= b->types)
        return bad(b->name, "has a change to a type that it lacks", err);
    *ret = signed32(be32(types + 6 * type));
    bool sane = *ret > -ZONE_OFFSET_MAX && *ret < ZONE_OFFSET_MAX;
    return sane ? 0 : bad(b->name, "has an offset of more than a day", err);
}

static int read_changes(const struct block *b, struct zone *z, struct error *err)
{
    const unsigned char *times = b->data + HEADER, *types = times + b->times * b->time_size;
    z->at = calloc(b->times + 1, sizeof(*z->at));
    z->offset = calloc(b->times + 1, sizeof(*z->offset));
    if (!z->at || !z->offset)
        return error_no_memory(err);
    int rc = read_offset(b, 0, &z->first, err);
    for (size_t i = 0; i < b->times && rc == 0; i++) {
        z->at[i] = be64(times + 8 * i);
        if (i > 0 && z->at[i] <= z->at[i - 1])
            return bad(b->name, "has changes that do not rise", err);
        rc = read_offset(b, types[i], &z->offset[i], err);
        z->count = i + 1;
    }
    return rc;
}

/* "\n<rule>\n"; an empty rule: nothing is known of later times but the last offset. */
static int read_footer(const char *name, const unsigned char *data, size_t len, struct zone *z,
                       struct error *err)
{
    char text[FOOTER_MAX];
    const unsigned char *end = len > 0 && data[0] == '\n' ? memchr(data + 1, '\n', len - 1) : NULL;
    size_t n = end ? (size_t)(end - data) - 1 : 0;
    if (!end || n >= sizeof(text))
        return bad(name, "has no rule at its end", err);
    memcpy(text, data + 1, n);
    text[n] = 0;
    z->has_rule = n > 0;
    if (strlen(text) != n || (n > 0 && !posix_parse(text, &z->rule)))
        return bad(name, "has a rule at its end that is none", err);
    return 0;
}

static int read_zone(const char *name, const unsigned char *data, size_t len, struct zone *z,
                     struct error *err)
{
    struct block old = {.name = name, .data = data, .len = len, .time_size = 4};
    size_t size = 0;
    int rc = read_header(&old, &size, err);
    if (rc < 0)
        return rc;
    if (data[4] < '2')
        return bad(name, "is of version 1, which ends in 2037", err);
    struct block b = {.name = name, .data = data + size, .len = len - size, .time_size = 8};
    rc = read_header(&b, &size, err);
    if (rc == 0)
        rc = check_counts(&b, err);
    if (rc == 0)
        rc = read_changes(&b, z, err);
    return rc < 0 ? rc : read_footer(name, b.data + size, b.len - size, z, err);
}

int zone_parse(const char *name, const void *data, size_t len, struct zone **ret, struct error *err)
{
    _cleanup_(zone_freep) struct zone *z = calloc(1, sizeof(*z));
    if (!z)
        return error_no_memory(err);
    if (len > ZONE_FILE_MAX)
        return bad(name, "is too large", err);
    int rc = read_zone(name, data, len, z, err);
    if (rc == 0)
        *ret = take(z);
    return rc;
}

/* No part of it may be "." or "..", and nothing leads out of the folder. */
bool zone_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= ZONE_NAME_MAX || name[len - 1] == '/')
        return false;
    for (size_t i = 0; i < len; i++) {
        bool starts = i == 0 || name[i - 1] == '/';
        if (starts ? !isalpha((unsigned char)name[i])
                   : !isalnum((unsigned char)name[i]) && !strchr("_+-/", name[i]))
            return false;
    }
    return true;
}

int zone_load(const char *name, struct zone **ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(ZONE_FILE_MAX);
    char path[sizeof(ZONE_FOLDER) + ZONE_NAME_MAX];
    if (!zone_name_is_valid(name))
        return error_set(err, ERR_INVALID, "'%.80s' is not a time zone such as Europe/Berlin or UTC", name);
    if (strcmp(name, "UTC") == 0) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : error_no_memory(err);
    }
    snprintf(path, sizeof(path), "%s/%s", ZONE_FOLDER, name);
    int rc = file_read(path, ZONE_FILE_MAX, &text, err);
    if (rc == ERR_NOT_FOUND)
        return error_set(err, rc, "'%s' is not among the time zones in %s", name, ZONE_FOLDER);
    return rc < 0 ? rc : zone_parse(name, buf_str(&text), text.len, ret, err);
}

/* ---------- names ---------- */

void zone_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* A line: "DE,DK,…\t+5230+01322\tEurope/Berlin\tcomment". Where its name begins, or NULL; it ends at the next
 * tab or with the line. */
static const char *name_of_line(const char *line, size_t len, size_t *ret_len)
{
    const char *end = line + len;
    for (int tabs = 0; tabs < 2; tabs++) {
        const char *tab = *line == '#' ? NULL : memchr(line, '\t', (size_t)(end - line));
        if (!tab)
            return NULL;
        line = tab + 1;
    }
    const char *tab = memchr(line, '\t', (size_t)(end - line));
    *ret_len = (size_t)((tab ? tab : end) - line);
    return line;
}

/* Every name that a line of the text has. */
static int split_names(const char *text, char **names, size_t *count)
{
    for (const char *line = text; *line && *count < ZONE_NAMES_MAX;) {
        size_t len = strcspn(line, "\n"), name_len = 0;
        const char *name = name_of_line(line, len, &name_len);
        if (name && !(names[*count] = strndup(name, name_len)))
            return ERR_NO_MEMORY;
        *count += name != NULL;
        line += len + (line[len] == '\n');
    }
    return 0;
}

int zone_names(char ***ret, size_t *ret_count, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(TABLE_MAX);
    char **names = calloc(ZONE_NAMES_MAX, sizeof(*names));
    size_t count = 0;
    if (!names)
        return error_no_memory(err);
    int rc = file_read(ZONE_FOLDER "/zone1970.tab", TABLE_MAX, &text, NULL);
    if (rc == 0)
        rc = split_names(buf_str(&text), names, &count);
    if (rc == ERR_NO_MEMORY) {
        zone_names_free(names, count);
        return error_no_memory(err);
    }
    *ret = names; /* none, where there is no such table */
    *ret_count = count;
    return 0;
}

/* ---------- asking ---------- */

static struct stretch by_rule(const struct zone *z, int64_t at)
{
    int64_t last = z->count ? z->at[z->count - 1] : INT64_MIN;
    struct stretch s = {last, INT64_MAX, z->count ? z->offset[z->count - 1] : z->first};
    if (!z->has_rule)
        return s;
    s = posix_stretch(&z->rule, at);
    if (s.begin < last)
        s.begin = last;
    return s;
}

static struct stretch stretch_of(const struct zone *z, int64_t at)
{
    size_t low = 0, high = z->count; /* at[low - 1] <= at < at[high] */
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (z->at[mid] <= at)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == z->count)
        return by_rule(z, at);
    return (struct stretch){low ? z->at[low - 1] : INT64_MIN, z->at[low],
                            low ? z->offset[low - 1] : z->first};
}

/* Beyond some ten thousand years nobody asks, and nothing below may overflow. */
static int64_t clamp(int64_t at)
{
    const int64_t far = INT64_C(1) << 40;
    return at > far ? far : at < -far ? -far : at;
}

int32_t zone_offset(const struct zone *z, int64_t at)
{
    return stretch_of(z, clamp(at)).offset;
}

#define STRETCHES_MAX 64 /* within some days; a file with more is made to mislead */

int64_t zone_instant(const struct zone *z, int64_t local)
{
    local = clamp(local);
    struct stretch s = stretch_of(z, local - ZONE_OFFSET_MAX - 1);
    for (int i = 0; i < STRETCHES_MAX; i++) {
        int64_t at = local - s.offset;
        at = at > s.begin ? at : s.begin;
        if (at < s.end || s.end == INT64_MAX)
            return at;
        s = stretch_of(z, s.end);
    }
    return local - s.offset;
}
