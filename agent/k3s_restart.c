/* `secrets-encrypt-agent k3s-restart`: restarts the server as the service that it is. One that does not start
 * since its file is newer than the datastore's gets the datastore's: K3s's own advice, to remove the file,
 * has left servers that did not start at all. Here the file stays, a copy of it is kept, and only its time is
 * set back, so that the server overwrites it by itself. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <agent/k3s.h>
#include <agent/service.h>
#include <base/file.h>
#include <base/text.h>
#include <crypto/crypto.h>

#include "commands.h"

#define NEWER     "newer than datastore"
#define LOG_LINES 60
#define FILE_MAX  (1024 * 1024)
#define LONG_AGO  86400 /* seconds after 1970: no clock was ever that far back */

struct server {
    const struct config *config;
    struct k3s_places places;
    enum service_init init;
};

/* The last line of its log with `part` in it, from there on; "" when there is none. */
static void log_line(const struct server *s, const char *part, char out[CLUSTER_TEXT_MAX / 2])
{
    _cleanup_(buf_freep) struct buf log = BUF_INIT(SERVICE_LOG_MAX);
    const char *found = NULL;
    out[0] = 0;
    if (service_log_tail(s->init, s->places.unit, LOG_LINES, &log, NULL) < 0)
        return;
    for (const char *at = strstr(buf_str(&log), part); at; at = strstr(at + 1, part))
        found = at;
    if (found)
        snprintf(out, CLUSTER_TEXT_MAX / 2, "%.*s", (int)strcspn(found, "\n"), found);
}

static int restart(const struct server *s, struct error *err)
{
    return service_restart(s->init, s->places.unit, s->config->service_timeout_s, err);
}

/* By its content, so that a server which is started again and again leaves one copy of one file. */
static int keep_copy(const struct server *s, const char *path, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    char copy[PATH_MAX], hash[SHA256_HEX_SIZE];
    const char *slash = strrchr(path, '/');
    int rc = file_read_secret(path, FILE_MAX, &text, err);
    if (rc == 0)
        rc = crypto_sha256_hex(text->data, text->len, hash, err);
    if (rc < 0)
        return rc;
    if (snprintf(copy, sizeof(copy), "%s/%s-newer-%.16s", s->config->state_dir, slash ? slash + 1 : path,
                 hash) >= (int)sizeof(copy))
        return error_set(err, ERR_INVALID, "%s: state_dir: the path is too long", s->config->path);
    return file_write_atomic(copy, text->data, text->len, 0600, err);
}

static int set_time(const char *path, time_t when, time_t *ret_before, struct error *err)
{
    struct stat st;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = when}};
    if (stat(path, &st) < 0 || utimensat(AT_FDCWD, path, times, 0) < 0)
        return error_errno(err, errno, "%s", path);
    *ret_before = st.st_mtim.tv_sec;
    return 0;
}

/* Copies first; then both files yield. Should that not help, they get their times back. */
static int restart_yielding(const struct server *s, const char *said, struct error *err)
{
    const char *const files[] = {s->config->encryption_config, s->places.state};
    time_t before[array_len(files)] = {0}, ignored = 0;
    size_t set = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < array_len(files); i++)
        rc = keep_copy(s, files[i], err);
    for (; rc == 0 && set < array_len(files); set += rc == 0)
        rc = set_time(files[set], LONG_AGO, &before[set], err);
    if (rc == 0)
        rc = restart(s, err);
    if (rc == 0) {
        printf("its encryption config was newer than the datastore's and was replaced by that; a copy is "
               "kept in %s\n",
               s->config->state_dir);
        return 0;
    }
    for (size_t i = 0; i < set; i++)
        (void)set_time(files[i], before[i], &ignored, NULL);
    return error_prefix(err, rc,
                        "%.200s; letting the datastore's replace it (copies are in %.100s) did not help",
                        said, s->config->state_dir);
}

/* What the server itself said last, of all that the service manager does not know. */
static int with_own_words(const struct server *s, int rc, struct error *err)
{
    char said[CLUSTER_TEXT_MAX / 2];
    log_line(s, "level=fatal", said);
    if (!said[0])
        log_line(s, "level=error", said);
    if (!said[0])
        return rc;
    struct error why = *err;
    return error_set(err, rc, "%.250s; its log: %.200s", why.text, said);
}

static int run(const struct config *config, struct error *err)
{
    struct server s = {.config = config};
    char said[CLUSTER_TEXT_MAX / 2];
    int rc = k3s_places(config, &s.places, err);
    if (rc == 0)
        rc = service_init_find(&s.init, err);
    if (rc < 0)
        return rc;
    rc = restart(&s, err);
    if (rc == 0)
        return 0;
    log_line(&s, NEWER, said);
    if (said[0])
        rc = restart_yielding(&s, said, err);
    return rc < 0 ? with_own_words(&s, rc, err) : 0;
}

int k3s_restart_main(const struct config *config, const char *word)
{
    struct error err = ERROR_INIT;
    (void)word;
    return run(config, &err) < 0 ? complain(&err) : 0;
}
