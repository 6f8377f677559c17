/* Reads the configuration file by the table of table.c. */
#include "table.h"

#include <stdarg.h>

#include <base/file.h>
#include <base/text.h>
#include <config/nearest.h>
#include <json/json.h>
#include <yaml/yaml.h>

#define FIELDS_MAX 64  /* of one section */
#define WORDS_MAX  128 /* bytes of a list of days */

struct reader {
    const char *file;
    enum config_role role;
    struct config *c;
    struct error *err;
};

static int bad(struct reader *r, const char *where, const char *format, ...) _printf_(3, 4);
static int bad(struct reader *r, const char *where, const char *format, ...)
{
    char text[ERROR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    return error_set(r->err, ERR_INVALID, "%s: %s: %s", r->file, where, text);
}

/* "state_store.endpoints"; the outermost fields have no section. */
static void join(char out[WHERE_MAX], const char *section, const char *name)
{
    snprintf(out, WHERE_MAX, "%s%s%s", section, *section ? "." : "", name);
}

static bool printable(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return false;
    return true;
}

static int read_string(struct reader *r, const struct json *node, const char *where, const char **ret)
{
    if (json_type(node) == JSON_NULL)
        return bad(r, where, "empty; give it a value, or leave the field out");
    if (json_type(node) != JSON_STRING)
        return bad(r, where, "not a text (put it into quotes)");
    const char *s = json_string(node, "");
    if (strlen(s) > FIELD_TEXT_MAX)
        return bad(r, where, "longer than %d bytes", FIELD_TEXT_MAX);
    if (!printable(s))
        return bad(r, where, "holds a control character");
    *ret = s;
    return 0;
}

static int store_text(struct reader *r, char **at, const char *s)
{
    char *copy = strdup(s);
    if (!copy)
        return error_no_memory(r->err);
    free(*at);
    *at = copy;
    return 0;
}

static int read_name(struct reader *r, const char *s, const char *where, char *out)
{
    if (*s && !text_is_name(s, CONFIG_NAME_MAX - 1))
        return bad(
            r, where,
            "'%.80s' is not a name (1 to %d letters, digits, '.', '_', '-', the first a letter or digit)", s,
            CONFIG_NAME_MAX - 1);
    text_copy(out, CONFIG_NAME_MAX, s);
    return 0;
}

static int check_choice(struct reader *r, const struct field *f, const char *s, const char *where)
{
    char list[128] = "";
    size_t count = 0, used = 0;
    for (; f->choices[count]; count++) {
        if (strcmp(f->choices[count], s) == 0)
            return 0;
        if (*f->choices[count] && used < sizeof(list))
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "",
                                     f->choices[count]);
    }
    const char *near = nearest_word(s, f->choices, count);
    if (near && *near)
        return bad(r, where, "'%.80s' is not one of %s; did you mean %s?", s, list, near);
    return bad(r, where, "'%.80s' is not one of %s", s, list);
}

/* The types that are one text. `at` is where the value goes. */
static int read_text(struct reader *r, const struct field *f, const struct json *node, const char *where,
                     void *at)
{
    const char *s = "";
    /* YAML takes the bare words on and off for true and false. */
    bool word = f->type == FIELD_CHOICE && f->choices == config_on_off && json_type(node) == JSON_BOOL;
    int rc = 0;
    if (word)
        s = json_bool(node, false) ? "on" : "off";
    else
        rc = read_string(r, node, where, &s);
    if (rc < 0)
        return rc;
    if (f->type == FIELD_NAME)
        return read_name(r, s, where, at);
    if (f->type == FIELD_PATH && *s && *s != '/')
        return bad(r, where, "'%.80s' is not an absolute path", s);
    if (f->type == FIELD_PREFIX && (*s != '/' || s[1] == 0 || s[strlen(s) - 1] == '/'))
        return bad(r, where, "'%.80s' does not start with a slash, or ends with one", s);
    if (f->type == FIELD_CHOICE && (rc = check_choice(r, f, s, where)) < 0)
        return rc;
    return store_text(r, at, s);
}

static int read_int(struct reader *r, const struct field *f, const struct json *node, const char *where,
                    int64_t *at)
{
    int64_t n = json_int(node, INT64_MIN);
    if (n == INT64_MIN)
        return bad(r, where, "not a whole number");
    if (n < f->min || n > f->max)
        return bad(r, where, "%lld is not within %lld and %lld", (long long)n, (long long)f->min,
                   (long long)f->max);
    *at = n;
    return 0;
}

static int read_list(struct reader *r, const struct field *f, const struct json *node, const char *where,
                     char **at, size_t *count)
{
    if (json_type(node) != JSON_ARRAY)
        return bad(r, where, "not a list");
    size_t n = json_count(node);
    if ((int64_t)n < f->min || (int64_t)n > f->max)
        return bad(r, where, "has %zu elements; %lld to %lld are allowed", n, (long long)f->min,
                   (long long)f->max);
    size_t i = 0;
    for (const struct json *e = json_first(node); e; e = json_next(e), i++) {
        char element[WHERE_MAX];
        snprintf(element, sizeof(element), "%s[%zu]", where, i);
        const char *s = "";
        int rc = read_string(r, e, element, &s);
        if (rc == 0 && !*s)
            rc = bad(r, element, "empty");
        if (rc == 0)
            rc = store_text(r, &at[i], s);
        if (rc < 0)
            return rc;
        *count = i + 1;
    }
    return 0;
}

static int unknown_field(struct reader *r, const char *section, const char *name, const char *const *known,
                         size_t count)
{
    char where[WHERE_MAX], shown[64], list[ERROR_TEXT_MAX / 2] = "";
    size_t used = 0;
    text_copy(shown, sizeof(shown), name);
    join(where, section, shown);
    const char *near = nearest_word(name, known, count);
    if (near)
        return bad(r, where, "unknown field; did you mean %s?", near);
    for (size_t i = 0; i < count && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", known[i]);
    return bad(r, where, "unknown field; known here: %s", list);
}

static int refuse_unknown(struct reader *r, const struct json *obj, const char *section,
                          const struct field_part *parts, size_t parts_count)
{
    const char *known[FIELDS_MAX];
    size_t count = 0;
    for (size_t p = 0; p < parts_count; p++)
        for (const struct field *f = parts[p].fields; f && f->name && count < FIELDS_MAX; f++)
            known[count++] = f->name;
    for (const struct json *m = json_first(obj); m; m = json_next(m)) {
        struct older older;
        size_t i = 0;
        while (i < count && strcmp(known[i], json_key(m)) != 0)
            i++;
        if (i == count && !(*section == 0 && config_find_older(json_key(m), NULL, &older)))
            return unknown_field(r, section, json_key(m), known, count);
    }
    return 0;
}

/* One element of a list of objects: texts, and a name perhaps. */
static int read_element(struct reader *r, const struct json *node, const char *where,
                        const struct field *fields, void *element)
{
    if (json_type(node) != JSON_OBJECT)
        return bad(r, where, "not an object with %s and %s", fields[0].name, fields[1].name);
    const struct field_part part = {fields, 0};
    int rc = refuse_unknown(r, node, where, &part, 1);
    if (rc < 0)
        return rc;
    for (const struct field *f = fields; f->name; f++) {
        char at[WHERE_MAX];
        join(at, where, f->name);
        const struct json *value = json_get(node, f->name);
        const char *s = "";
        if (value && (rc = read_string(r, value, at, &s)) < 0)
            return rc;
        if (!*s && f->needed)
            return bad(r, at, "missing: %s", f->help);
        if (f->type == FIELD_CHOICE && (rc = check_choice(r, f, s, at)) < 0)
            return rc;
        char *member = (char *)element + f->offset;
        rc = f->type == FIELD_NAME ? read_name(r, s, at, member) : store_text(r, (char **)(void *)member, s);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Elements of `size` bytes at `elements`; each counts as soon as it is begun, so that it is freed. */
static int read_elements(struct reader *r, const struct field *f, const struct json *node, const char *where,
                         const struct field *fields, void *elements, size_t size, size_t *count)
{
    if (json_type(node) != JSON_ARRAY)
        return bad(r, where, "not a list");
    size_t n = json_count(node);
    if ((int64_t)n < f->min || (int64_t)n > f->max)
        return bad(r, where, "has %zu elements; %lld to %lld are allowed", n, (long long)f->min,
                   (long long)f->max);
    for (const struct json *e = json_first(node); e; e = json_next(e)) {
        char element[WHERE_MAX];
        snprintf(element, sizeof(element), "%s[%zu]", where, *count);
        int rc = read_element(r, e, element, fields, (char *)elements + size * (*count)++);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Days may be a list: they are kept as one text, "sat,sun". */
static int read_words(struct reader *r, const struct json *node, const char *where, char out[WORDS_MAX])
{
    size_t used = 0;
    for (const struct json *e = json_first(node); e; e = json_next(e)) {
        const char *s = "";
        int rc = read_string(r, e, where, &s);
        if (rc == 0 && (!*s || strchr(s, ',')))
            rc = bad(r, where, "'%.40s' is not one word", s);
        if (rc == 0 && used + strlen(s) + 2 > WORDS_MAX)
            rc = bad(r, where, "too many words");
        if (rc < 0)
            return rc;
        used += (size_t)snprintf(out + used, WORDS_MAX - used, "%s%s", used ? "," : "", s);
    }
    return used ? 0 : bad(r, where, "empty");
}

static int read_window(struct reader *r, const struct json *node, const char *where,
                       struct config_window *ret)
{
    const struct field_part part = {config_window_fields, 0};
    if (json_type(node) != JSON_OBJECT)
        return bad(r, where, "not an object with days, from and to");
    int rc = refuse_unknown(r, node, where, &part, 1);
    for (const struct field *f = config_window_fields; f->name && rc == 0; f++) {
        char at[WHERE_MAX], words[WORDS_MAX] = "";
        join(at, where, f->name);
        const struct json *value = json_get(node, f->name);
        const char *s = f->fallback ? f->fallback : "";
        if (!value && f->needed)
            return bad(r, at, "missing: %s", f->help);
        if (value && json_type(value) == JSON_ARRAY && strcmp(f->name, "days") == 0) {
            rc = read_words(r, value, at, words);
            s = words;
        } else if (value) {
            rc = read_string(r, value, at, &s);
        }
        if (rc == 0)
            rc = store_text(r, (char **)(void *)((char *)ret + f->offset), s);
    }
    return rc;
}

static int read_windows(struct reader *r, const struct field *f, const struct json *node, const char *where)
{
    if (json_type(node) != JSON_ARRAY)
        return bad(r, where, "not a list");
    size_t n = json_count(node);
    if ((int64_t)n < f->min || (int64_t)n > f->max)
        return bad(r, where, "has %zu elements; %lld to %lld are allowed", n, (long long)f->min,
                   (long long)f->max);
    for (const struct json *e = json_first(node); e; e = json_next(e)) {
        char element[WHERE_MAX];
        snprintf(element, sizeof(element), "%s[%zu]", where, r->c->windows_count);
        int rc = read_window(r, e, element, &r->c->windows[r->c->windows_count++]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_section(struct reader *r, const struct json *obj, const char *section,
                        const struct field_part *parts, size_t parts_count);

static int read_field(struct reader *r, const struct field *f, const struct json *node, const char *where,
                      size_t base)
{
    char *at = (char *)r->c + base + f->offset;
    size_t *count = (size_t *)(void *)((char *)r->c + base + f->count_offset);
    switch (f->type) {
    case FIELD_INT:
        return read_int(r, f, node, where, (int64_t *)(void *)at);
    case FIELD_LIST:
        return read_list(r, f, node, where, (char **)(void *)at, count);
    case FIELD_SERVERS:
        return read_elements(r, f, node, where, config_server_fields, r->c->servers, sizeof(r->c->servers[0]),
                             &r->c->servers_count);
    case FIELD_WINDOWS:
        return read_windows(r, f, node, where);
    case FIELD_ROLES:
        return read_elements(r, f, node, where, config_role_fields, at, sizeof(struct config_api_role),
                             count);
    case FIELD_SECTION:
        if (json_type(node) != JSON_OBJECT)
            return bad(r, where, "not an object with fields");
        return read_section(r, node, where, f->parts, FIELD_PARTS);
    default:
        return read_text(r, f, node, where, at);
    }
}

/* Gives a field its default; sections get those of their fields. */
static int set_default(struct reader *r, const struct field *f, size_t base)
{
    char *at = (char *)r->c + base + f->offset;
    if (f->type == FIELD_SECTION) {
        int rc = 0;
        for (size_t p = 0; p < FIELD_PARTS && rc == 0; p++)
            for (const struct field *sub = f->parts[p].fields; rc == 0 && sub && sub->name; sub++)
                rc = set_default(r, sub, f->parts[p].base);
        return rc;
    }
    if (!f->fallback)
        return 0;
    if (f->type == FIELD_INT)
        return text_int(f->fallback, f->min, f->max, (int64_t *)(void *)at, r->err);
    if (f->type == FIELD_NAME) {
        text_copy(at, CONFIG_NAME_MAX, f->fallback);
        return 0;
    }
    if (f->type == FIELD_LIST)
        *(size_t *)(void *)((char *)r->c + base + f->count_offset) = 1;
    return store_text(r, (char **)(void *)at, f->fallback);
}

/* A list that is given replaces its default. */
static void clear_list(struct reader *r, const struct field *f, size_t base)
{
    char **at = (char **)(void *)((char *)r->c + base + f->offset);
    size_t *count = (size_t *)(void *)((char *)r->c + base + f->count_offset);
    for (size_t i = 0; i < *count; i++) {
        free(at[i]);
        at[i] = NULL;
    }
    *count = 0;
}

static int read_member(struct reader *r, const struct field *f, const struct json *obj, const char *section,
                       size_t base)
{
    char where[WHERE_MAX];
    join(where, section, f->name);
    const struct json *node = json_get(obj, f->name);
    bool wanted = f->needed & (1u << r->role);
    if (!node || (wanted && json_type(node) == JSON_STRING && !*json_string(node, ""))) {
        if (wanted)
            return bad(r, where, "missing; %s needs it: %s", config_role_name(r->role), f->help);
        return 0;
    }
    if (f->type == FIELD_LIST)
        clear_list(r, f, base);
    return read_field(r, f, node, where, base);
}

static int read_section(struct reader *r, const struct json *obj, const char *section,
                        const struct field_part *parts, size_t parts_count)
{
    int rc = refuse_unknown(r, obj, section, parts, parts_count);
    for (size_t p = 0; p < parts_count && rc == 0; p++)
        for (const struct field *f = parts[p].fields; rc == 0 && f && f->name; f++)
            rc = read_member(r, f, obj, section, parts[p].base);
    return rc;
}

/* Where no datastore is named, the Kubernetes objects are in the state store's etcd, if in any. */
static int fill_datastore(struct reader *r)
{
    struct config_etcd *from = &r->c->state_store, *to = &r->c->datastore;
    if (to->endpoints_count > 0 || strcmp(r->c->datastore_raw, "off") == 0)
        return 0;
    if (*to->ca_file || *to->cert_file || *to->key_file || *to->server_name)
        return bad(r, "datastore.endpoints", "missing, but other fields of that connection are given");
    int rc = 0;
    for (size_t i = 0; i < from->endpoints_count && rc == 0; i++) {
        rc = store_text(r, &to->endpoints[i], from->endpoints[i]);
        to->endpoints_count = i + 1;
    }
    char **pairs[][2] = {{&to->ca_file, &from->ca_file},
                         {&to->cert_file, &from->cert_file},
                         {&to->key_file, &from->key_file},
                         {&to->server_name, &from->server_name}};
    for (size_t i = 0; i < array_len(pairs) && rc == 0; i++)
        rc = store_text(r, pairs[i][0], *pairs[i][1]);
    return rc;
}

/* Said to whoever starts with the file, and no error: a package that is brought up to date must not stop what
 * runs with the file of the one before. */
static int note_older(struct reader *r, const char *name, const char *where)
{
    char text[ERROR_TEXT_MAX];
    snprintf(text, sizeof(text), "%s%s%s is %s now", r->c->old, *r->c->old ? ", " : "", name, where);
    return store_text(r, &r->c->old, text);
}

static int read_older(struct reader *r, const struct json *root)
{
    int rc = 0;
    for (const struct json *m = json_first(root); m && rc == 0; m = json_next(m)) {
        struct older o;
        if (!config_find_older(json_key(m), root, &o))
            continue;
        if (o.now && !json_equal(o.now, m))
            return bad(r, json_key(m), "this is %s now, and %s says something else: keep %s alone", o.where,
                       o.where, o.where);
        if (!o.now && o.field->type == FIELD_LIST)
            clear_list(r, o.field, o.base);
        if (!o.now)
            rc = read_field(r, o.field, m, json_key(m), o.base);
        if (rc == 0)
            rc = note_older(r, json_key(m), o.where);
    }
    return rc;
}

static int read_document(struct reader *r, const struct json *root)
{
    if (json_type(root) == JSON_NULL)
        return error_set(r->err, ERR_INVALID, "%s: empty; it needs at least cluster, servers and state_store",
                         r->file);
    if (json_type(root) != JSON_OBJECT)
        return error_set(r->err, ERR_INVALID,
                         "%s: not an object with fields such as cluster, servers and state_store", r->file);
    int rc = store_text(r, &r->c->path, r->file);
    if (rc == 0)
        rc = store_text(r, &r->c->old, "");
    for (const struct field *f = config_top.fields; f->name && rc == 0; f++)
        rc = set_default(r, f, config_top.base);
    if (rc == 0)
        rc = read_section(r, root, "", &config_top, 1);
    if (rc == 0)
        rc = read_older(r, root);
    if (rc == 0)
        rc = fill_datastore(r);
    if (rc < 0)
        return rc;
    rc = config_check(r->c, r->role, r->err);
    return rc < 0 ? error_prefix(r->err, rc, "%s", r->file) : 0;
}

int config_parse(const char *text, size_t len, const char *path, enum config_role role, struct config **ret,
                 struct error *err)
{
    if (len > CONFIG_FILE_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: larger than %d bytes", path, CONFIG_FILE_MAX);
    _cleanup_(json_freep) struct json *root = NULL;
    int rc = yaml_parse(text, len, path, &root, err);
    if (rc < 0)
        return rc;
    _cleanup_(config_freep) struct config *c = calloc(1, sizeof(*c));
    if (!c)
        return error_no_memory(err);
    struct reader r = {path, role, c, err};
    rc = read_document(&r, root);
    if (rc < 0)
        return rc;
    *ret = take(c);
    return 0;
}

int config_load(const char *path, enum config_role role, struct config **ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(CONFIG_FILE_MAX);
    int rc = file_read(path, CONFIG_FILE_MAX, &text, err);
    if (rc < 0)
        return rc;
    return config_parse(buf_str(&text), text.len, path, role, ret, err);
}

const char *config_path(const char *given)
{
    if (given && *given)
        return given;
    const char *env = getenv("SECRETS_ENCRYPT_CONFIG");
    return env && *env ? env : CONFIG_DEFAULT_PATH;
}

static void free_fields(struct config *c, const struct field *f, size_t base)
{
    for (; f && f->name; f++) {
        char **at = (char **)(void *)((char *)c + base + f->offset);
        size_t *count = (size_t *)(void *)((char *)c + base + f->count_offset);
        if (f->type == FIELD_SECTION)
            for (size_t p = 0; p < FIELD_PARTS; p++)
                free_fields(c, f->parts[p].fields, f->parts[p].base);
        else if (f->type == FIELD_LIST)
            for (size_t i = 0; i < *count; i++)
                free(at[i]);
        else if (f->type != FIELD_INT && f->type != FIELD_NAME && f->type != FIELD_SERVERS &&
                 f->type != FIELD_WINDOWS && f->type != FIELD_ROLES)
            free(*at);
    }
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free_fields(c, config_top.fields, config_top.base);
    for (size_t i = 0; i < c->servers_count; i++) {
        free(c->servers[i].api);
        free(c->servers[i].address);
        free(c->servers[i].role);
    }
    for (size_t i = 0; i < c->windows_count; i++) {
        free(c->windows[i].days);
        free(c->windows[i].from);
        free(c->windows[i].to);
        free(c->windows[i].time_zone);
    }
    for (size_t i = 0; i < c->api.roles_count; i++) {
        free(c->api.roles[i].role);
        free(c->api.roles[i].subject);
        free(c->api.roles[i].san);
        free(c->api.roles[i].group);
    }
    free(c->path);
    free(c->old);
    free(c);
}

bool config_etcd_only(const struct config_server *s)
{
    return s->role && strcmp(s->role, "etcd") == 0;
}

static bool same_endpoints(const struct config_etcd *a, const struct config_etcd *b)
{
    bool same = a->endpoints_count == b->endpoints_count;
    for (size_t i = 0; same && i < a->endpoints_count; i++)
        same = strcmp(a->endpoints[i], b->endpoints[i]) == 0;
    return same;
}

const struct config_etcd *config_own_datastore(const struct config *c, bool *ret_raw)
{
    bool raw = strcmp(c->datastore_raw, "off") != 0;
    if (ret_raw)
        *ret_raw = raw;
    bool own = raw && c->datastore.endpoints_count > 0 && !same_endpoints(&c->datastore, &c->state_store);
    return own ? &c->datastore : NULL;
}

int config_server_index(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->servers_count; i++)
        if (strcmp(c->servers[i].name, name) == 0)
            return (int)i;
    return -1;
}
