/* The properties of a unit that we look at: one table for D-Bus and for `systemctl show`. */
#include <agent/unit.h>

#include <stddef.h>

#include <base/cleanup.h>
#include <base/text.h>

#define AT(member) offsetof(struct unit_state, member)

/* Types as D-Bus names them; 'e': LoadError's pair of name and text. */
static const struct property {
    const char *name;
    char type;
    size_t offset;
} properties[] = {
    {"LoadState", 's', AT(load_state)},
    {"LoadError", 'e', AT(load_error)},
    {"ActiveState", 's', AT(active_state)},
    {"SubState", 's', AT(sub_state)},
    {"Result", 's', AT(result)},
    {"Type", 's', AT(type)},
    {"MainPID", 'u', AT(main_pid)},
    {"ExecMainCode", 'i', AT(main_code)},
    {"ExecMainStatus", 'i', AT(main_status)},
    {"NRestarts", 'u', AT(restarts)},
    {"ConditionResult", 'b', AT(condition)},
    {"RefuseManualStart", 'b', AT(no_start)},
    {"RefuseManualStop", 'b', AT(no_stop)},
    {"InactiveExitTimestampMonotonic", 't', AT(left_us)},
    {"StateChangeTimestampMonotonic", 't', AT(changed_us)},
    {"StartLimitBurst", 'u', AT(limit_burst)},
};

const char *unit_properties(void)
{
    return "LoadState,LoadError,ActiveState,SubState,Result,Type,MainPID,ExecMainCode,ExecMainStatus,"
           "NRestarts,"
           "ConditionResult,RefuseManualStart,RefuseManualStop,InactiveExitTimestampMonotonic,"
           "StateChangeTimestampMonotonic,StartLimitBurst";
}

static const struct property *find(const char *name)
{
    for (size_t i = 0; i < array_len(properties); i++)
        if (strcmp(properties[i].name, name) == 0)
            return &properties[i];
    return NULL;
}

char unit_type(const char *property)
{
    const struct property *p = find(property);
    return p ? p->type : 0;
}

void unit_set(struct unit_state *u, const char *property, const char *s, int64_t number)
{
    const struct property *p = find(property);
    if (!p)
        return;
    char *at = (char *)u + p->offset;
    if (p->type == 's')
        (void)text_copy(at, UNIT_WORD_MAX, s ? s : "");
    else if (p->type == 'e')
        (void)text_copy(at, UNIT_TEXT_MAX, s ? s : "");
    else
        memcpy(at, &number, sizeof(number));
}

/* LoadError=org.freedesktop.systemd1.UnitMasked "Unit x.service is masked." */
static void set_load_error(struct unit_state *u, char *value)
{
    char *text = strchr(value, '"');
    if (!text)
        return;
    char *end = strrchr(++text, '"');
    if (end)
        *end = 0;
    unit_set(u, "LoadError", text, 0);
}

static void set_line(struct unit_state *u, char *line)
{
    char *value = strchr(line, '=');
    if (!value)
        return;
    *value++ = 0;
    char type = unit_type(line);
    int64_t number = 0;
    if (type == 'e')
        set_load_error(u, value);
    else if (type == 'b')
        unit_set(u, line, NULL, strcmp(value, "yes") == 0);
    else if (type == 's')
        unit_set(u, line, value, 0);
    else if (type && text_int(value, INT64_MIN, INT64_MAX, &number, NULL) == 0)
        unit_set(u, line, NULL, number);
}

void unit_parse(struct unit_state *u, const char *text)
{
    char line[1024];
    memset(u, 0, sizeof(*u));
    while (*text) {
        size_t len = strcspn(text, "\n");
        size_t kept = len < sizeof(line) ? len : sizeof(line) - 1;
        memcpy(line, text, kept);
        line[kept] = 0;
        set_line(u, line);
        text += len + (text[len] == '\n');
    }
}
