#include "internal.h"

#include <stdarg.h>
#include <sys/stat.h>

#include <base/file.h>
#include <base/text.h>
#include <yaml/yaml.h>

unsigned odd_character(const unsigned char *p, size_t len)
{
    static const unsigned codes[] = {0x7f, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff};
    unsigned code = len == 3   ? (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)
                    : len == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                               : p[0];
    bool is = len == 2 && code < 0xa0;
    for (size_t i = 0; i < array_len(codes) && len < 4; i++)
        is |= code == codes[i];
    return is ? code : 0;
}

void make_line(char *text)
{
    size_t left = strlen(text), len = 0;
    for (char *c = text; left > 0; c += len, left -= len) {
        len = text_utf8_sequence(c, left);
        if (len == 0 || (unsigned char)*c < ' ' || odd_character((const unsigned char *)c, len)) {
            len = len ? len : 1;
            memset(c, '?', len);
        }
    }
}

void note(struct discover_facts *f, const char *format, ...)
{
    va_list ap;
    char text[DISCOVER_TEXT_MAX];
    if (f->notes_count == DISCOVER_NOTES_MAX)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    make_line(text); /* each note is one line of comment; it may have been cut within a character */
    (void)text_copy(f->notes[f->notes_count++], DISCOVER_TEXT_MAX, text);
}

bool found_path(const struct finder *d, const char *path, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s%s", d->o->root, path) < PATH_MAX;
}

bool found_file(const struct finder *d, const char *path)
{
    char full[PATH_MAX];
    struct stat st;
    return found_path(d, path, full) && stat(full, &st) == 0;
}

struct secret *found_secret(const struct finder *d, const char *path, size_t max)
{
    char full[PATH_MAX];
    struct secret *text = NULL;
    struct error err = ERROR_INIT;
    if (!found_path(d, path, full))
        return NULL;
    int rc = file_read_secret(full, max, &text, &err);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        note(d->f, "%s", err.text);
    return rc == 0 ? text : NULL;
}

/* A secret and a tree whose memory is wiped: kubeconfigs and encryption configs pass here. */
struct json *found_yaml(const struct finder *d, const char *path)
{
    struct json *root = NULL;
    struct error err = ERROR_INIT;
    _cleanup_(secret_freep) struct secret *text = found_secret(d, path, FILE_MAX);
    if (!text)
        return NULL;
    if (yaml_parse((const char *)text->data, text->len, path, &root, &err) < 0) {
        note(d->f, "%s", err.text);
        return NULL;
    }
    return root;
}

bool keep_path(char out[DISCOVER_PATH_MAX], const char *path)
{
    if (path[0] != '/' || strlen(path) >= DISCOVER_PATH_MAX || !text_is_utf8(path, strlen(path)))
        return false;
    return text_copy(out, DISCOVER_PATH_MAX, path);
}
