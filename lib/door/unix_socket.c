/* The unix socket, and the folder that decides who reaches it: whoever can connect is trusted with
 * everything, so the folder must be nobody's but root's (or ours) and one group's, and nobody else may make
 * names in it. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GROUP_TEXT_MAX (64 * 1024) /* of a group's entry with its members */

static int find_group(const char *name, gid_t *ret, struct error *err)
{
    struct group group, *found = NULL;
    if (!name || !*name) {
        *ret = getegid();
        return 0;
    }
    _cleanup_free_ char *text = malloc(GROUP_TEXT_MAX);
    if (!text)
        return error_no_memory(err);
    int e = getgrnam_r(name, &group, text, GROUP_TEXT_MAX, &found);
    if (e != 0)
        return error_errno(err, e, "group %.64s", name);
    if (!found)
        return error_set(err, ERR_NOT_FOUND,
                         "there is no group '%.64s' for the unix socket; make it or name another", name);
    *ret = found->gr_gid;
    return 0;
}

/* Splits the path into its folder and its name, both within limits. */
static int split(struct door *d, char folder[PATH_MAX], struct error *err)
{
    const char *slash = strrchr(d->unix_path, '/');
    size_t len = slash ? (size_t)(slash - d->unix_path) : 0;
    if (d->unix_path[0] != '/' || len == 0 || !slash[1] ||
        strlen(d->unix_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return error_set(
            err, ERR_INVALID,
            "'%.200s' is no path for a unix socket: an absolute one in a folder of its own, of %zu "
            "bytes at most, is",
            d->unix_path, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    snprintf(folder, PATH_MAX, "%.*s", (int)len, d->unix_path);
    d->place.name = slash + 1;
    return 0;
}

/* Owner, group and mode, and what of them is too much, or not enough. */
static int check_folder(const char *folder, const struct stat *st, bool has_group, gid_t gid,
                        struct error *err)
{
    unsigned allowed = has_group ? 0750 : 0700;
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return error_set(err, ERR_DENIED, "%s belongs to user %u; the unix socket's folder must be root's",
                         folder, (unsigned)st->st_uid);
    if ((st->st_mode & 070) && st->st_gid != gid)
        return error_set(
            err, ERR_DENIED,
            "%s belongs to group %u, not to the unix socket's group %u; change that, or remove the folder",
            folder, (unsigned)st->st_gid, (unsigned)gid);
    if (st->st_mode & 0777 & ~allowed)
        return error_set(err, ERR_DENIED, "%s is open to others (mode %04o); set it to %04o", folder,
                         (unsigned)(st->st_mode & 07777), allowed);
    if (has_group && (st->st_gid != gid || !(st->st_mode & 010))) /* made when no group was to enter, say */
        return error_set(err, ERR_DENIED,
                         "%s (group %u, mode %04o) is not open to the unix socket's group; remove the folder",
                         folder, (unsigned)st->st_gid, (unsigned)(st->st_mode & 07777));
    return 0;
}

static int open_folder(struct door *d, const char *folder, bool has_group, gid_t gid, struct error *err)
{
    struct stat st;
    bool made = mkdir(folder, 0700) == 0;
    if (!made && errno != EEXIST)
        return error_errno(err, errno, "the unix socket's folder %s", folder);
    d->place.folder = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (d->place.folder < 0)
        return errno == ELOOP || errno == ENOTDIR
                   ? error_set(err, ERR_DENIED, "%s must be a folder, not a link or a file", folder)
                   : error_errno(err, errno, "the unix socket's folder %s", folder);
    if (made && ((has_group && fchown(d->place.folder, (uid_t)-1, gid) < 0) ||
                 fchmod(d->place.folder, has_group ? 0750 : 0700) < 0))
        return error_errno(err, errno, "owner and mode of %s", folder);
    if (fstat(d->place.folder, &st) < 0)
        return error_errno(err, errno, "%s", folder);
    return check_folder(folder, &st, has_group, gid, err);
}

/* Does somebody answer on the socket that stands there? */
static int ask(const struct sockaddr_un *a, struct error *err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "a unix socket");
    if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 && errno == ECONNREFUSED)
        return 0;
    return error_set(err, ERR_CONFLICT, "another program listens on %s, or may", a->sun_path);
}

/* What a process that was killed left behind; anything but a socket is left alone. */
static int remove_stale(struct door *d, const struct sockaddr_un *a, struct error *err)
{
    struct stat st;
    if (fstatat(d->place.folder, d->place.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_errno(err, errno, "%s", a->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, ERR_INVALID, "%s is no socket; remove it or choose another path", a->sun_path);
    int rc = ask(a, err);
    if (rc < 0)
        return rc;
    if (unlinkat(d->place.folder, d->place.name, 0) < 0)
        return error_errno(err, errno, "removing the old socket %s", a->sun_path);
    return 0;
}

/* Until listen() nobody can connect, so owner and mode are in time. */
static int bind_it(struct door *d, int fd, const struct sockaddr_un *a, bool has_group, gid_t gid,
                   struct error *err)
{
    struct stat st;
    if (bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
        return error_errno(err, errno, "cannot listen on %s", a->sun_path);
    if (fstatat(d->place.folder, d->place.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISSOCK(st.st_mode))
        return error_set(err, ERR_CONFLICT, "%s: somebody replaced the socket as it was made", a->sun_path);
    d->place.device = st.st_dev;
    d->place.inode = st.st_ino;
    /* Without a group they are as they were made: a sandbox may know no chown. */
    if ((has_group && fchownat(d->place.folder, d->place.name, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0) ||
        fchmodat(d->place.folder, d->place.name, has_group ? 0660 : 0600, 0) < 0)
        return error_errno(err, errno, "owner and mode of %s", a->sun_path);
    if (listen(fd, 128) < 0)
        return error_errno(err, errno, "cannot listen on %s", a->sun_path);
    return 0;
}

int unix_listen(struct door *d, const char *group, int *ret_fd, struct error *err)
{
    char folder[PATH_MAX];
    gid_t gid = 0;
    bool has_group = group && *group;
    int rc = find_group(group, &gid, err);
    if (rc == 0)
        rc = split(d, folder, err);
    if (rc == 0)
        rc = open_folder(d, folder, has_group, gid, err);
    if (rc < 0)
        return rc;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, d->unix_path, strlen(d->unix_path)); /* split() saw that it fits */
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "a unix socket");
    rc = remove_stale(d, &a, err);
    if (rc == 0)
        rc = bind_it(d, fd, &a, has_group, gid, err);
    if (rc < 0)
        return rc;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

void unix_remove(struct door *d)
{
    struct stat st;
    if (d->place.folder < 0)
        return;
    if (d->place.inode && fstatat(d->place.folder, d->place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_dev == d->place.device && st.st_ino == d->place.inode)
        (void)unlinkat(d->place.folder, d->place.name, 0); /* one that stays is found to be stale */
    close(d->place.folder);
    d->place.folder = -1;
}
