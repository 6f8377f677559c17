#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <base/file.h>
#include <base/text.h>
#include <crypto/crypto.h>

#include "console.h"

#define TOKEN_BYTES 32
#define CONFIG_MODE 0644

static int under(const char *root, const char *path, char out[PATH_MAX], struct error *err)
{
    if (snprintf(out, PATH_MAX, "%s%s", root, path) >= PATH_MAX)
        return error_set(err, ERR_INVALID, "%s%s: the path is too long", root, path);
    return 0;
}

static int write_whole(int fd, const char *path, const void *data, size_t len, struct error *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno != EINTR)
            return error_errno(err, errno, "writing %s", path);
        p += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) < 0 ? error_errno(err, errno, "fsync of %s", path) : 0;
}

/* A file that was not there before: ERR_CONFLICT when it is. What was begun is removed after a failure. */
static int make_new(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, ERR_CONFLICT, "%s is there already", path);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    int rc = write_whole(fd, path, data, len, err);
    if (rc < 0)
        (void)unlink(path);
    return rc;
}

static int make_folder(const char *file, struct error *err)
{
    char folder[PATH_MAX];
    (void)text_copy(folder, sizeof(folder), file);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return 0;
    *slash = 0;
    return dir_make(folder, 0755, err);
}

static int make_token(const char *path, struct error *err)
{
    _cleanup_(secret_freep) struct secret *bytes = NULL, *text = secret_new(2 * TOKEN_BYTES + 2);
    if (!text)
        return error_no_memory(err);
    int rc = crypto_random_secret(TOKEN_BYTES, &bytes, err);
    if (rc < 0)
        return rc;
    text_hex(bytes->data, TOKEN_BYTES, (char *)text->data);
    text->data[2 * TOKEN_BYTES] = '\n';
    text->len = 2 * TOKEN_BYTES + 1;
    return make_new(path, text->data, text->len, 0600, err);
}

static int write_token(const struct init_target *t, struct error *err)
{
    char path[PATH_MAX];
    struct error why = ERROR_INIT;
    int rc = under(t->root, t->token, path, err);
    if (rc == 0)
        rc = make_token(path, &why);
    if (rc == ERR_CONFLICT) {
        say_more("%s is there already and was left as it is", path);
        return 0;
    }
    if (rc < 0)
        return *why.text ? error_set(err, rc, "%s", why.text) : rc;
    say_more(
        "made the cluster token %s: copy this very file to every other server, 0600, before the programs "
        "start there",
        path);
    return 0;
}

/* Parts of a kubeconfig. An older file of that name is another login, maybe a better one: it stays, but for
 * --force. */
static int write_part(const struct init_target *t, const struct discover_file *file, struct error *err)
{
    char path[PATH_MAX];
    struct error why = ERROR_INIT;
    int rc = under(t->root, file->path, path, err);
    if (rc < 0)
        return rc;
    if (t->force)
        rc = file_write_atomic(path, file->text->data, file->text->len, 0600, &why);
    else
        rc = make_new(path, file->text->data, file->text->len, 0600, &why);
    if (rc == ERR_CONFLICT)
        say_more("%s is there already and was left as it is", path);
    else if (rc < 0)
        return error_set(err, rc, "%s", why.text);
    else
        say_more("wrote %s", path);
    return 0;
}

static int keep_copy(const char *path, struct error *err)
{
    _cleanup_(buf_freep) struct buf old = BUF_INIT(CONFIG_FILE_MAX);
    char copy[PATH_MAX + 32], stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    int rc = file_read(path, CONFIG_FILE_MAX, &old, err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return rc;
    if (!gmtime_r(&now, &tm) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) == 0)
        return error_set(err, ERR_INTERNAL, "no time of day");
    snprintf(copy, sizeof(copy), "%s.%s", path, stamp);
    rc = make_new(copy, buf_str(&old), old.len, CONFIG_MODE, err);
    if (rc == 0)
        say_more("kept the old file as %s", copy);
    return rc;
}

int init_write(const struct init_target *t, const struct discover_facts *f, const struct buf *text,
               struct error *err)
{
    int rc = make_folder(t->config, err);
    for (size_t i = 0; rc == 0 && i < f->files_count; i++)
        rc = write_part(t, &f->files[i], err);
    if (rc == 0)
        rc = write_token(t, err);
    if (rc == 0 && t->force)
        rc = keep_copy(t->config, err);
    if (rc == 0)
        rc = t->force ? file_write_atomic(t->config, buf_str(text), text->len, CONFIG_MODE, err)
                      : make_new(t->config, buf_str(text), text->len, CONFIG_MODE, err);
    if (rc == 0)
        say_more("wrote %s: the same goes to every other server, but for `server`", t->config);
    return rc;
}
