#include <prom/prom.h>

#include <ctype.h>
#include <string.h>

#include <json/json.h>

#define PATH_MAX_BYTES (16 * 1024)
#define NAMES          3
#define NAME_MAX_BYTES 48

static int add_escaped(struct buf *out, const char *text, struct error *err)
{
    int rc = 0;
    for (; *text && rc == 0; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = isalnum(c) || strchr("-._~", c);
        rc = plain ? buf_add(out, &c, 1, err) : buf_addf(out, err, "%%%02X", c);
    }
    return rc;
}

/* A label's value comes from elsewhere: into a line for people go its printable characters alone. */
static void add_name(char names[PROM_TEXT_MAX], const struct json *metric)
{
    const char *name = json_string(json_get(metric, "alertname"), "");
    const char *instance = json_string(json_get(metric, "instance"), "");
    size_t used = strlen(names);
    if (!*name)
        name = json_string(json_get(metric, "__name__"), "");
    if (!*name)
        name = "a series without a name";
    snprintf(names + used, PROM_TEXT_MAX - used, "%s%.*s%s%.*s%s", used ? ", " : "", NAME_MAX_BYTES, name,
             *instance ? " (" : "", NAME_MAX_BYTES / 2, instance, *instance ? ")" : "");
    for (char *s = names + used; *s; s++)
        if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f)
            *s = '?';
}

static int read_result(const struct json *data, size_t *ret_count, char names[PROM_TEXT_MAX],
                       struct error *err)
{
    const struct json *result = json_get(data, "result");
    size_t i = 0;
    if (strcmp(json_string(json_get(data, "resultType"), ""), "vector") != 0 ||
        json_type(result) != JSON_ARRAY)
        return error_set(err, ERR_INVALID, "the query's result is not a vector but '%.20s'",
                         json_string(json_get(data, "resultType"), "nothing"));
    names[0] = 0;
    for (const struct json *e = json_first(result); e; e = json_next(e), i++) {
        if (json_type(json_get(e, "metric")) != JSON_OBJECT)
            return error_set(err, ERR_INVALID, "the result holds something that is no series");
        if (i < NAMES)
            add_name(names, json_get(e, "metric"));
    }
    size_t used = strlen(names);
    if (i > NAMES)
        snprintf(names + used, PROM_TEXT_MAX - used, " and %zu more", i - NAMES);
    *ret_count = i;
    return 0;
}

int prom_read(const char *json, size_t len, size_t *ret_count, char names[PROM_TEXT_MAX], struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    struct error why = ERROR_INIT;
    int rc = json_parse(json, len, "the answer", &root, &why);
    if (rc < 0)
        return error_set(err, rc == ERR_NO_MEMORY ? rc : ERR_INVALID, "%.160s", why.text);
    if (json_type(root) != JSON_OBJECT || strcmp(json_string(json_get(root, "status"), ""), "success") != 0)
        return error_set(err, ERR_INVALID, "the answer says no success: %.120s",
                         json_string(json_get(root, "error"), "it has no status that is known"));
    const struct json *warning = json_first(json_get(root, "warnings"));
    if (warning) /* "some stores did not answer": an empty result is not one then */
        return error_set(err, ERR_INVALID, "the answer may be incomplete: %.120s", json_string(warning, "?"));
    return read_result(json_get(root, "data"), ret_count, names, err);
}

int prom_query(struct kube *k, const char *query, int deadline_ms, size_t *ret_count,
               char names[PROM_TEXT_MAX], struct error *err)
{
    _cleanup_(buf_freep) struct buf path = BUF_INIT(PATH_MAX_BYTES), reply = BUF_INIT(PROM_REPLY_MAX);
    long status = 0;
    int rc = buf_adds(&path, "/api/v1/query?query=", err);
    if (rc == 0)
        rc = add_escaped(&path, query, err);
    if (rc == 0)
        rc = kube_request(k, "GET", buf_str(&path), "application/json", NULL, NULL, 0, deadline_ms, &status,
                          &reply, err);
    if (rc < 0)
        return rc;
    struct error why = ERROR_INIT;
    rc = prom_read(buf_str(&reply), reply.len, ret_count, names, &why);
    if (status != 200)
        return error_set(err, ERR_UNAVAILABLE, "it answers HTTP %ld%s%s", status, rc < 0 ? ": " : "",
                         rc < 0 ? why.text : "");
    return rc < 0 ? error_set(err, rc, "%s", why.text) : 0;
}
