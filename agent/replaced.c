/* Copies of files that a repair wrote over: they may be the only copy of a key that stored values need. */
#include <agent/place.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <crypto/crypto.h>

#define STAMP    "00000000T000000Z-xxxxxxxx" /* 0: a digit, x: a hex digit */
#define HASH_LEN 8
#define NAME_LEN (strlen(PLACE_REPLACED) + strlen(STAMP))

static bool is_copy(const char *name)
{
    if (strlen(name) != NAME_LEN || strncmp(name, PLACE_REPLACED, strlen(PLACE_REPLACED)) != 0)
        return false;
    const char *c = name + strlen(PLACE_REPLACED);
    for (const char *want = STAMP; *want; want++, c++) {
        if (*want == '0'   ? !isdigit((unsigned char)*c)
            : *want == 'x' ? !isxdigit((unsigned char)*c)
                           : *c != *want)
            return false;
    }
    return true;
}

/* What a crash left of a copy that was being made: its name is not used again. */
static bool is_rest(const char *name)
{
    char inner[64];
    size_t len = strlen(name);
    if (len != NAME_LEN + strlen("..tmp") || name[0] != '.' || strcmp(name + 1 + NAME_LEN, ".tmp") != 0)
        return false;
    memcpy(inner, name + 1, NAME_LEN);
    inner[NAME_LEN] = 0;
    return is_copy(inner);
}

static int name_copy(const char *hash, char out[64], struct error *err)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    char stamp[32];
    struct tm tm;
    if (!gmtime_r(&now, &tm) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) == 0)
        return error_set(err, ERR_INVALID, "the clock's time cannot be written");
    snprintf(out, 64, PLACE_REPLACED "%s-%.*s", stamp, HASH_LEN, hash);
    return 0;
}

static bool has_hash(const struct place *p, const char *name, const char *hash)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    char path[PATH_MAX], found[SHA256_HEX_SIZE];
    return state_path(p->dir, name, path, NULL) == 0 &&
           file_read_secret(path, PLACE_PRESENT_MAX, &text, NULL) == 0 &&
           crypto_sha256_hex(text->data, text->len, found, NULL) == 0 && strcmp(found, hash) == 0;
}

/* The name of a copy with that hash in `out`; false when there is none. */
static bool find_copy(const struct place *p, const char *hash, char out[64])
{
    DIR *d = opendir(p->dir->path);
    bool found = false;
    for (struct dirent *e = NULL; d && !found && (e = readdir(d));)
        if (is_copy(e->d_name) && strncmp(e->d_name + NAME_LEN - HASH_LEN, hash, HASH_LEN) == 0 &&
            has_hash(p, e->d_name, hash))
            found = text_copy(out, 64, e->d_name);
    if (d)
        closedir(d);
    return found;
}

struct newest {
    char names[PLACE_REPLACED_KEPT][64]; /* falling */
    size_t count;
};

static void forget(DIR *d, const char *name)
{
    (void)!unlinkat(dirfd(d), name, 0); /* tried again with the next copy */
}

/* Takes the name in; whichever is one too many goes. */
static void keep_newest(DIR *d, struct newest *n, size_t max, const char *name)
{
    size_t at = 0;
    while (at < n->count && strcmp(n->names[at], name) > 0)
        at++;
    if (at == max) {
        forget(d, name);
        return;
    }
    if (n->count == max)
        forget(d, n->names[--n->count]);
    memmove(&n->names[at + 1], &n->names[at], (n->count - at) * sizeof(n->names[0]));
    (void)text_copy(n->names[at], sizeof(n->names[at]), name);
    n->count++;
}

/* `mine` stays, also when the clock was set back since the others were made. */
static void prune(const struct place *p, const char *mine)
{
    struct newest n = {.count = 0};
    DIR *d = opendir(p->dir->path);
    for (struct dirent *e = NULL; d && (e = readdir(d));) {
        if (is_rest(e->d_name))
            forget(d, e->d_name);
        else if (is_copy(e->d_name) && strcmp(e->d_name, mine) != 0)
            keep_newest(d, &n, PLACE_REPLACED_KEPT - 1, e->d_name);
    }
    if (d)
        closedir(d);
}

int place_keep_copy(const struct place *p, const struct version *present, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    char path[PATH_MAX], name[64], hash[SHA256_HEX_SIZE];
    int rc = file_read_secret(p->config_path, PLACE_PRESENT_MAX, &text, err);
    if (rc == ERR_NOT_FOUND && !present->hash[0])
        return 0;
    if (rc < 0)
        return error_prefix(err, rc, "no copy of it can be kept, so it was left: move it away and ask again");
    rc = crypto_sha256_hex(text->data, text->len, hash, err);
    if (rc < 0)
        return rc;
    if (strcmp(hash, present->hash) != 0)
        return error_set(err, ERR_CONFLICT, "%s was changed by somebody else meanwhile", p->config_path);
    if (!find_copy(p, hash, name)) {
        rc = name_copy(hash, name, err);
        if (rc == 0)
            rc = state_path(p->dir, name, path, err);
        if (rc == 0)
            rc = file_write_atomic(path, text->data, text->len, 0600, err);
        if (rc < 0)
            return error_prefix(err, rc, "no copy of %s can be kept, so it was left", p->config_path);
    }
    prune(p, name);
    return 0;
}
