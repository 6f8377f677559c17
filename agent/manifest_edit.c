/* The changes, each as a place in the text and the same change of the document's tree. What comes out of the
 * first is read again and has to be what came out of the second. */
#include "manifest.h"

#include <base/secret.h>
#include <base/text.h>
#include <yaml/yaml.h>

#define EDITS_MAX    4
#define INSERT_MAX   (3 * PATH_MAX)
#define VOLUMES_LAST 9
/* What a plain scalar of YAML can hold without being anything else. */
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-="

struct edit {
    size_t at, cut;
    struct buf text;
};

struct editor {
    const struct manifest *m;
    const char *encryption_config;
    const char *eol;
    struct json *want;
    struct edit edits[EDITS_MAX];
    size_t count;
    struct error *err;
};

static int refuse(const struct editor *e, const char *where, const char *why)
{
    return error_set(e->err, ERR_UNSUPPORTED, "%s: %s: %s", e->m->what, where, why);
}

/* --- the text --- */

static struct edit *edit_new(struct editor *e, size_t at, size_t cut)
{
    struct edit *edit = &e->edits[e->count++]; /* one for each of the four changes */
    *edit = (struct edit){at, cut, BUF_INIT(INSERT_MAX)};
    return edit;
}

/* The line break, or the end of the text, at or after a byte. */
static size_t line_end(const struct manifest *m, size_t at)
{
    const char *nl = memchr(m->text + at, '\n', m->len - at);
    size_t end = nl ? (size_t)(nl - m->text) : m->len;
    return nl && end > at && m->text[end - 1] == '\r' ? end - 1 : end;
}

static int add_spaces(struct editor *e, struct buf *out, size_t count)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = buf_adds(out, " ", e->err);
    return rc;
}

/* A string as an element of a list, in the look of its neighbours. */
static int add_word(struct editor *e, struct buf *out, const struct json *value)
{
    const char *word = json_string(value, "");
    bool plain = strlen(word) > 2 && strncmp(word, "--", 2) == 0 && strspn(word, PLAIN) == strlen(word);
    return plain ? buf_adds(out, word, e->err) : json_print(value, out, e->err);
}

/* `value` in block style, its lines `column` to the right (the first one stands where `out` ends), `first`
 * before the first and as many blanks before the others. */
static int add_block(struct editor *e, struct buf *out, const struct json *value, size_t column,
                     const char *first)
{
    _cleanup_(secret_freep) struct secret *lines = NULL;
    int rc = buf_adds(out, first, e->err);
    if (rc == 0 && json_type(value) == JSON_STRING)
        return add_word(e, out, value);
    if (rc == 0)
        rc = yaml_emit(value, &lines, e->err);
    for (size_t at = 0; rc == 0 && at < lines->len;) {
        const char *line = (const char *)lines->data + at;
        const char *nl = memchr(line, '\n', lines->len - at);
        size_t len = nl ? (size_t)(nl - line) : lines->len - at;
        if (at > 0)
            rc = buf_adds(out, e->eol, e->err);
        if (rc == 0 && at > 0)
            rc = add_spaces(e, out, column + strlen(first));
        if (rc == 0)
            rc = buf_add(out, line, len, e->err);
        at += len + 1;
    }
    return rc;
}

static bool ends_uncertain(const struct yaml_place *p)
{
    while (p->last && !p->flow)
        p = p->last;
    return p->literal;
}

/* Adds a child to a collection in block style: last, or first where the end of the last one is not known.
 * `value` is an element, or an object with the one member. */
static int insert_block(struct editor *e, const struct yaml_place *into, const struct json *value,
                        bool *ret_first)
{
    const char *dash = into->kind == PLACE_SEQUENCE ? "- " : "";
    *ret_first = ends_uncertain(into);
    struct edit *edit = edit_new(e, *ret_first ? into->start : line_end(e->m, into->end), 0);
    int rc = 0;
    if (!*ret_first) {
        rc = buf_adds(&edit->text, e->eol, e->err);
        if (rc == 0)
            rc = add_spaces(e, &edit->text, into->column);
    }
    if (rc == 0)
        rc = add_block(e, &edit->text, value, into->column, dash);
    if (rc < 0 || !*ret_first)
        return rc;
    rc = buf_adds(&edit->text, e->eol, e->err);
    return rc < 0 ? rc : add_spaces(e, &edit->text, into->column);
}

/* The same in brackets or braces; quotes as JSON has them, which YAML reads as well. */
static int insert_flow(struct editor *e, const struct yaml_place *into, const struct json *value)
{
    struct edit *edit = edit_new(e, into->last ? into->last->end : into->start + 1, 0);
    _cleanup_(buf_freep) struct buf text = BUF_INIT(INSERT_MAX);
    int rc = into->last ? buf_adds(&edit->text, ", ", e->err) : 0;
    if (rc == 0)
        rc = json_print(value, &text, e->err);
    if (rc < 0)
        return rc;
    bool braces = into->kind == PLACE_MAPPING; /* those of `value` are not wanted */
    return buf_add(&edit->text, text.data + braces, text.len - 2 * braces, e->err);
}

static int insert(struct editor *e, const struct yaml_place *into, const struct json *value, bool *ret_first)
{
    *ret_first = false;
    return into->flow ? insert_flow(e, into, value) : insert_block(e, into, value, ret_first);
}

/* A key that stands there without a value ("volumes:") gets one. */
static int fill(struct editor *e, const struct yaml_place *parent, const struct yaml_place *empty,
                const struct json *value)
{
    size_t column = parent->column + 2;
    struct edit *edit = edit_new(e, parent->flow ? empty->end : line_end(e->m, empty->end), 0);
    int rc = buf_adds(&edit->text, parent->flow ? " " : e->eol, e->err);
    if (rc < 0)
        return rc;
    if (parent->flow)
        return json_print(value, &edit->text, e->err);
    rc = add_spaces(e, &edit->text, column);
    return rc < 0 ? rc : add_block(e, &edit->text, value, column, "");
}

/* --- the tree --- */

/* {"key": value}; takes value. */
static struct json *object_of(const char *key, struct json *value)
{
    struct json *o = json_new_object();
    if (!o || json_set(o, key, value, NULL) < 0) {
        json_free(o ? o : value);
        return NULL;
    }
    return o;
}

static struct json *array_of(struct json *value)
{
    struct json *a = json_new_array();
    if (!a || json_append(a, value, NULL) < 0) {
        json_free(a ? a : value);
        return NULL;
    }
    return a;
}

/* Puts `value` (an element, or an object with one member) into the tree's list or object `key` of `parent`.
 */
static int want(struct editor *e, struct json *parent, const char *key, const struct json *value, bool first)
{
    struct json *into = json_member(parent, key);
    bool element = json_type(into) == JSON_ARRAY;
    const struct json *member = json_first(value);
    struct json *copy = json_copy(element ? value : member);
    if (element && first)
        return json_insert(into, 0, copy, e->err);
    return element ? json_append(into, copy, e->err) : json_set(into, json_key(member), copy, e->err);
}

/* --- one change --- */

/* Adds `value` to the list or object `key` of a mapping, and that too where there is none. */
static int add_to(struct editor *e, const struct yaml_place *place, struct json *parent, const char *key,
                  bool list, const struct json *value)
{
    const struct yaml_place *into = yaml_place_get(place, key);
    enum json_type type = json_type(json_member(parent, key));
    bool first = false;
    if (into && type == (list ? JSON_ARRAY : JSON_OBJECT)) {
        int rc = insert(e, into, value, &first);
        return rc < 0 ? rc : want(e, parent, key, value, first);
    }
    if (into && (type != JSON_NULL || into->start != into->end))
        return refuse(e, key, "neither a list nor an object that something can be added to");
    _cleanup_(json_freep) struct json *copy = json_copy(value);
    _cleanup_(json_freep) struct json *whole = list && copy ? array_of(take(copy)) : take(copy);
    _cleanup_(json_freep) struct json *member = whole ? object_of(key, json_copy(whole)) : NULL;
    if (!member)
        return error_no_memory(e->err);
    int rc = into ? fill(e, place, into, whole) : insert(e, place, member, &first);
    return rc < 0 ? rc : json_set(parent, key, take(whole), e->err);
}

static struct json *container(struct editor *e)
{
    return json_element(json_member(json_member(e->want, "spec"), "containers"), e->m->container);
}

static const struct yaml_place *spec_place(const struct editor *e)
{
    return yaml_place_get(yaml_places_root(e->m->places), "spec");
}

static const struct yaml_place *container_place(const struct editor *e)
{
    return yaml_place_at(yaml_place_get(spec_place(e), "containers"), e->m->container);
}

static int replace_time(struct editor *e, const struct yaml_place *value, const char *time)
{
    if (value->kind != PLACE_SCALAR || value->literal)
        return refuse(e, MANIFEST_ANNOTATION, "not a string in one line");
    struct edit *edit = edit_new(e, value->start, value->end - value->start);
    return buf_addf(&edit->text, e->err, "%s\"%s\"", edit->cut ? "" : " ", time);
}

static int set_time(struct editor *e, const char *time)
{
    const struct yaml_place *metadata = yaml_place_get(yaml_places_root(e->m->places), "metadata");
    const struct yaml_place *value =
        yaml_place_get(yaml_place_get(metadata, "annotations"), MANIFEST_ANNOTATION);
    struct json *tree = json_member(e->want, "metadata");
    if (value) {
        int rc = replace_time(e, value, time);
        return rc < 0 ? rc
                      : json_set_string(json_member(tree, "annotations"), MANIFEST_ANNOTATION, time, e->err);
    }
    _cleanup_(json_freep) struct json *member = object_of(MANIFEST_ANNOTATION, json_new_string(time));
    return member ? add_to(e, metadata, tree, "annotations", false, member) : error_no_memory(e->err);
}

static int add_flag(struct editor *e)
{
    char flag[PATH_MAX + sizeof(MANIFEST_FLAG) + 1];
    snprintf(flag, sizeof(flag), MANIFEST_FLAG "=%s", e->encryption_config);
    const struct json *args = json_get(manifest_container(e->m), "args");
    const char *list =
        json_first(args) || !json_first(json_get(manifest_container(e->m), "command")) ? "args" : "command";
    const struct yaml_place *words = yaml_place_get(container_place(e), list);
    if (strcmp(list, "command") == 0 && !words->flow && ends_uncertain(words))
        return refuse(e, list, "ends with a block scalar; write its last element in one line");
    _cleanup_(json_freep) struct json *value = json_new_string(flag);
    return value ? add_to(e, container_place(e), container(e), list, true, value) : error_no_memory(e->err);
}

/* --- the mount --- */

static bool volume_taken(const struct editor *e, const char *name)
{
    const struct json *v = json_first(json_get(json_get(e->m->doc, "spec"), "volumes"));
    while (v && strcmp(json_string(json_get(v, "name"), ""), name) != 0)
        v = json_next(v);
    return v != NULL;
}

static int name_volume(const struct editor *e, char name[64])
{
    snprintf(name, 64, MANIFEST_VOLUME);
    for (int i = 2; i <= VOLUMES_LAST && volume_taken(e, name); i++)
        snprintf(name, 64, MANIFEST_VOLUME "-%d", i);
    return volume_taken(e, name) ? refuse(e, "volumes", "all names for one more are taken") : 0;
}

static int add_volume(struct editor *e, const char *name, const char *folder)
{
    _cleanup_(json_freep) struct json *volume = json_new_object();
    _cleanup_(json_freep) struct json *host = json_new_object();
    int rc = volume && host ? json_set_string(host, "path", folder, e->err) : error_no_memory(e->err);
    if (rc == 0)
        rc = json_set_string(host, "type", "DirectoryOrCreate", e->err);
    if (rc == 0)
        rc = json_set(volume, "hostPath", take(host), e->err);
    if (rc == 0)
        rc = json_set_string(volume, "name", name, e->err);
    return rc < 0 ? rc : add_to(e, spec_place(e), json_member(e->want, "spec"), "volumes", true, volume);
}

static int add_mount(struct editor *e)
{
    char name[64], folder[PATH_MAX];
    size_t len = (size_t)(strrchr(e->encryption_config, '/') - e->encryption_config);
    memcpy(folder, e->encryption_config, len);
    folder[len] = 0;
    _cleanup_(json_freep) struct json *mount = json_new_object();
    int rc = mount ? name_volume(e, name) : error_no_memory(e->err);
    if (rc == 0)
        rc = json_set_string(mount, "mountPath", folder, e->err);
    if (rc == 0)
        rc = json_set_string(mount, "name", name, e->err);
    if (rc == 0)
        rc = json_set_bool(mount, "readOnly", true, e->err);
    if (rc == 0)
        rc = add_to(e, container_place(e), container(e), "volumeMounts", true, mount);
    return rc < 0 ? rc : add_volume(e, name, folder);
}

/* --- what is missing --- */

static int check_path(const struct editor *e)
{
    const char *p = e->encryption_config, *slash = strrchr(p, '/');
    if (p[0] != '/' || slash == p || !slash[1] || strlen(p) >= PATH_MAX || strstr(p, "//") ||
        strstr(p, "/./") || strstr(p, "/../"))
        return error_set(e->err, ERR_INVALID,
                         "encryption_config: %.200s: not a plain path of a file in a folder of its own", p);
    return strpbrk(p, "$:") ? error_set(e->err, ERR_INVALID,
                                        "encryption_config: %.200s: '$' and ':' mean something to kubelet", p)
                            : 0;
}

static int other_path(const struct editor *e, const char *flag, const char *host)
{
    return error_set(e->err, ERR_CONFLICT,
                     "%s: " MANIFEST_FLAG
                     "=%.200s is %.200s on this machine, but encryption_config is %.200s: "
                     "make them the same",
                     e->m->what, flag, host, e->encryption_config);
}

/* Which of flag and mount are to be added. */
static int look(const struct editor *e, bool *ret_flag, bool *ret_mount)
{
    const char *flag = NULL;
    char host[PATH_MAX] = "";
    struct error why = ERROR_INIT;
    int rc = manifest_flag(e->m, &flag, e->err);
    if (rc < 0)
        return rc;
    const char *path = flag ? flag : e->encryption_config;
    *ret_flag = !flag;
    rc = manifest_host_path(e->m, path, host, &why);
    *ret_mount = rc == ERR_NOT_FOUND;
    if (*ret_mount)
        return strcmp(path, e->encryption_config) == 0 ? 0 : other_path(e, path, "mounted from nowhere");
    if (rc < 0)
        return error_set(e->err, rc, "%s", why.text);
    return strcmp(host, e->encryption_config) == 0 ? 0 : other_path(e, path, host);
}

/* --- all of it --- */

/* Those of one place stay in their order: what lies deeper was added first. */
static void sort(struct editor *e)
{
    for (size_t i = 1; i < e->count; i++)
        for (size_t k = i; k > 0 && e->edits[k - 1].at > e->edits[k].at; k--) {
            struct edit swap = e->edits[k];
            e->edits[k] = e->edits[k - 1];
            e->edits[k - 1] = swap;
        }
}

static int write_out(struct editor *e, struct buf *out)
{
    size_t at = 0;
    int rc = 0;
    sort(e);
    for (size_t i = 0; rc == 0 && i < e->count; i++) {
        const struct edit *edit = &e->edits[i];
        if (edit->at < at || edit->at + edit->cut > e->m->len)
            return refuse(e, "its layout", "not understood");
        rc = buf_add(out, e->m->text + at, edit->at - at, e->err);
        if (rc == 0)
            rc = buf_add(out, edit->text.data, edit->text.len, e->err);
        at = edit->at + edit->cut;
    }
    return rc < 0 ? rc : buf_add(out, e->m->text + at, e->m->len - at, e->err);
}

static int check_result(const struct editor *e, const struct buf *out)
{
    _cleanup_(json_freep) struct json *got = NULL;
    int rc = yaml_parse(buf_str(out), out->len, e->m->what, &got, NULL);
    if (rc == 0 && json_equal(got, e->want))
        return 0;
    return rc == ERR_NO_MEMORY
               ? error_no_memory(e->err)
               : refuse(e, "its layout",
                        "cannot be changed for certain: write it as kubeadm does, in block style");
}

static int edit_all(struct editor *e, const char *time, bool *ret_added)
{
    bool flag = false, mount = false;
    int rc = e->encryption_config ? check_path(e) : 0;
    if (rc == 0 && e->encryption_config)
        rc = look(e, &flag, &mount);
    if (rc == 0 && flag)
        rc = add_flag(e);
    if (rc == 0 && mount)
        rc = add_mount(e);
    *ret_added = flag;
    return rc < 0 ? rc : set_time(e, time);
}

static const char *eol_of(const struct manifest *m)
{
    const char *nl = memchr(m->text, '\n', m->len);
    return nl && nl > m->text && nl[-1] == '\r' ? "\r\n" : "\n";
}

int manifest_edit(const struct manifest *m, const char *encryption_config, const char *time, struct buf *out,
                  bool *ret_added, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(MANIFEST_MAX);
    struct editor e = {.m = m,
                       .encryption_config = encryption_config,
                       .eol = eol_of(m),
                       .want = json_copy(m->doc),
                       .err = err};
    bool added = false;
    int rc = e.want ? edit_all(&e, time, &added) : error_no_memory(err);
    if (rc == 0)
        rc = write_out(&e, &text);
    if (rc == 0)
        rc = check_result(&e, &text);
    if (rc == 0)
        rc = buf_add(out, text.data, text.len, err);
    for (size_t i = 0; i < e.count; i++)
        buf_free(&e.edits[i].text);
    json_free(e.want);
    if (rc == 0)
        *ret_added = added;
    return rc;
}
