/* The table of the configuration file's fields: the parser, the defaults, the "did you mean" and the
 * reference in docs/ are all made from it. Private to this room. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <config/config.h>

enum field_type {
    FIELD_NAME,    /* char[CONFIG_NAME_MAX]: part of etcd keys */
    FIELD_TEXT,    /* char *: any text of at most FIELD_TEXT_MAX bytes */
    FIELD_PATH,    /* char *: an absolute path */
    FIELD_PREFIX,  /* char *: starts with a slash, does not end with one */
    FIELD_CHOICE,  /* char *: one of `choices` */
    FIELD_INT,     /* int64_t within min and max */
    FIELD_LIST,    /* char *[max] and a count: texts, min to max of them */
    FIELD_SERVERS, /* the list of servers */
    FIELD_WINDOWS, /* the list of maintenance windows */
    FIELD_ROLES,   /* the list of the API's roles */
    FIELD_SECTION, /* an object with the fields of `parts` */
};

#define FIELD_TEXT_MAX 4096
#define FIELD_PARTS    2

/* needed-for bits */
#define AGENT       (1u << CONFIG_FOR_AGENT)
#define COORDINATOR (1u << CONFIG_FOR_COORDINATOR)
#define CLI         (1u << CONFIG_FOR_CLI)
#define ALL         (AGENT | COORDINATOR | CLI)

struct field;

/* A table part and where the structure that it fills in begins within struct config. */
struct field_part {
    const struct field *fields; /* ends with a NULL name */
    size_t base;
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset, count_offset; /* of the value, and of a list's count, after the part's base */
    int64_t min, max;            /* of a number; of a list's count */
    const char *fallback;        /* as one would write it; NULL: none */
    const char *const *choices;  /* NULL-terminated */
    unsigned needed;             /* roles that cannot do without */
    const char *help;
    const char *formerly; /* its name at the top of older files (of what nobody needs); NULL: none */
    struct field_part parts[FIELD_PARTS]; /* of a section */
};

/* A field that has had another name, at the top of the file, and what stands under its present one. */
#define WHERE_MAX 160 /* "datastore.endpoints[15]" and the like */
struct json;
struct older {
    const struct field *field;
    size_t base;
    const struct json *now; /* NULL: nothing */
    char where[WHERE_MAX];
};
/* False: no field was ever called `name`. `root` may be NULL. */
bool config_find_older(const char *name, const struct json *root, struct older *ret);

extern const char *const config_on_off[]; /* choices that may be written as true and false, too */
extern const struct field_part config_top;
extern const struct field config_window_fields[]; /* of one element of `maintenance_window` */
extern const struct field config_server_fields[]; /* of one element of `servers`, for the reference */
extern const struct field config_role_fields[];   /* of one element of `api.roles` */

/* A role's word in texts: "the agent". */
const char *config_role_name(enum config_role role);

/* The rules that involve several fields (check.c); `c` holds every field and its defaults. Texts do not
 * name the file: the caller does. */
int config_check(const struct config *c, enum config_role role, struct error *err) _must_check_;
/* Those of maintenance windows, the gate on alerts and the schedule (check_maintenance.c). */
int config_check_maintenance(const struct config *c, enum config_role role, struct error *err) _must_check_;
/* Those of the page's addresses (check_http.c). */
int config_check_http(const struct config *c, struct error *err) _must_check_;
/* "host:port" or "[ipv6]:port". */
int config_check_listen(const char *address, const char *where, struct error *err) _must_check_;
/* What an address for TLS takes, which `field` is: certificate, CA and roles. */
int config_check_tls_ready(const struct config_api *a, const char *field, struct error *err) _must_check_;
/* The rules of one endpoint or API URL. */
int config_check_url(const char *url, const char *where, struct error *err) _must_check_;
/* A resource's name ("secrets", "widgets.example.org"). */
int config_check_resource(const char *name, const char *where, struct error *err) _must_check_;

#endif
