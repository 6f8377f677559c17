/* The journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram an entry, by hand, so that a
 * program that has no libsystemd speaks it, too. */
#include "log_parts.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <base/text.h>

#define JOURNAL   "/run/systemd/journal/socket"
#define ENTRY_MAX (128 * 1024)

bool log_journal_is(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char *end = NULL;
    if (!stream || !*stream || fstat(fd, &st) < 0)
        return false;
    errno = 0;
    unsigned long long dev = strtoull(stream, &end, 10);
    if (errno || end == stream || *end != ':')
        return false;
    const char *second = end + 1;
    unsigned long long ino = strtoull(second, &end, 10);
    return !errno && end != second && *end == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* Where a value is cut: not within a sign. */
static size_t cut_at(const char *value, size_t max)
{
    size_t len = max;
    while (len > 0 && max - len < 3 && ((unsigned char)value[len] & 0xc0) == 0x80)
        len--;
    return len;
}

/* Name, length and bytes: nothing in a value can end it, or begin a field of its own. */
static int add_binary(struct buf *b, const char *name, const char *value, size_t max)
{
    bool cut = strnlen(value, max + 1) > max;
    size_t len = cut ? cut_at(value, max) : strlen(value);
    uint64_t wire = htole64(len + (cut ? strlen(LOG_CUT) : 0));
    int rc = buf_addf(b, NULL, "%s\n", name);
    if (rc == 0)
        rc = buf_add(b, &wire, sizeof(wire), NULL);
    if (rc == 0)
        rc = buf_add(b, value, len, NULL);
    if (rc == 0 && cut)
        rc = buf_adds(b, LOG_CUT, NULL);
    return rc < 0 ? rc : buf_adds(b, "\n", NULL);
}

/* "order" -> SE_ORDER */
static int add_own(struct buf *b, const struct log_field *f)
{
    char name[48] = "SE_", number[24];
    size_t n = 3;
    for (const char *p = f->key; *p && n < sizeof(name) - 1; p++)
        name[n++] = (char)(isalnum((unsigned char)*p) ? toupper((unsigned char)*p) : '_');
    name[n] = 0;
    snprintf(number, sizeof(number), "%" PRId64, f->number);
    return add_binary(b, name, f->text ? f->text : number, LOG_VALUE_MAX);
}

static int build(const struct log_line *l, struct buf *b)
{
    char level[8];
    _cleanup_(buf_freep) struct buf message = BUF_INIT(LOG_LINE_MAX);
    snprintf(level, sizeof(level), "%d", (int)l->level);
    int rc = log_format_message(l, &message) ? 0 : ERR_NO_MEMORY;
    const struct {
        const char *name, *value;
    } head[] = {{"MESSAGE", buf_str(&message)},
                {"PRIORITY", level},
                {"SYSLOG_IDENTIFIER", program_invocation_short_name},
                {"SE_PROGRAM", l->program},
                {"SE_HOST", l->server},
                {"SE_EVENT", l->event}};
    for (size_t i = 0; i < array_len(head) && rc == 0; i++)
        rc = add_binary(b, head[i].name, head[i].value, LOG_LINE_MAX);
    for (size_t i = 0; i < l->count && rc == 0; i++)
        rc = add_own(b, &l->fields[i]);
    return rc;
}

/* A journal that was restarted has another socket at the same place: so one is opened for each entry, which
 * costs less than the line it carries. */
bool log_journal_send(const struct log_line *line, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    _cleanup_(buf_freep) struct buf b = BUF_INIT(ENTRY_MAX);
    if (!text_copy(to.sun_path, sizeof(to.sun_path), path ? path : JOURNAL) || build(line, &b) < 0)
        return false;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ssize_t n = -1;
    for (int tries = 0; n < 0 && tries < 3 && (tries == 0 || errno == EINTR); tries++)
        n = sendto(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
    return n == (ssize_t)b.len;
}
