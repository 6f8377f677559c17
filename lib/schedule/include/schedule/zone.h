/* Time zones, read from the system's own compiled files (RFC 8536) without touching the process's TZ, so that
 * any thread may ask for any zone. */
#ifndef SCHEDULE_ZONE_H
#define SCHEDULE_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/cleanup.h>
#include <base/error.h>

#define ZONE_NAME_MAX   64          /* with the NUL */
#define ZONE_FILE_MAX   (64 * 1024) /* bytes; the longest of today has less than 4 KiB */
#define ZONE_FOLDER     "/usr/share/zoneinfo"
#define ZONE_OFFSET_MAX (26 * 3600) /* seconds; RFC 8536 says 24 h 59 min 59 s for the rule at the end */

struct zone; /* read once, then the same for all threads */

/* A zone by its name ("Europe/Berlin"; "UTC" needs no file), from ZONE_FOLDER. ERR_INVALID: not such a name
 * (an absolute path, "..", other characters), or its file is not a zone; ERR_NOT_FOUND: no such zone there.
 * Caller frees. */
int zone_load(const char *name, struct zone **ret, struct error *err) _must_check_;

/* The same from the file's bytes; `name` is for errors. */
int zone_parse(const char *name, const void *data, size_t len, struct zone **ret,
               struct error *err) _must_check_;
void zone_free(struct zone *z);
DEFINE_CLEANUP(struct zone *, zone_free);

/* True for what may be looked for as a zone's file. */
bool zone_name_is_valid(const char *name);

/* The names that zone1970.tab has, for "did you mean": *ret (freed by the caller with zone_names_free) has
 * *ret_count of them. None when the table cannot be read. */
#define ZONE_NAMES_MAX 1024
int zone_names(char ***ret, size_t *ret_count, struct error *err) _must_check_;
void zone_names_free(char **names, size_t count);

/* Seconds east of UTC at an instant (seconds since 1970). */
int32_t zone_offset(const struct zone *z, int64_t at);

/* The first instant at which the zone's clocks show `local` (seconds since 1970 as if they were UTC) or
 * later: of an hour that comes twice the first, of one that is left out the end of the gap. */
int64_t zone_instant(const struct zone *z, int64_t local);

#endif
