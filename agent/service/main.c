/* The subcommand that the drivers systemd and openrc run. */
#include "commands.h"

#include <agent/service.h>

#define LOG_LINES 10

/* Above the reason, for whoever reads the whole output. */
static void print_log(enum service_init init, const char *unit)
{
    _cleanup_(buf_freep) struct buf log = BUF_INIT(8 * 1024);
    if (service_log_tail(init, unit, LOG_LINES, &log, NULL) == 0 && log.len > 0)
        fprintf(stderr, "%s%s", buf_str(&log), log.data[log.len - 1] == '\n' ? "" : "\n");
}

static int init_of(const struct config *c, enum service_init *ret, struct error *err)
{
    if (strcmp(c->driver, "systemd") == 0 || strcmp(c->driver, "openrc") == 0) {
        *ret = strcmp(c->driver, "openrc") == 0 ? SERVICE_OPENRC : SERVICE_SYSTEMD;
        return 0;
    }
    return error_set(err, ERR_INVALID, "%s: driver: '%s' restarts no service; set it to systemd or openrc",
                     c->path, c->driver);
}

int service_restart_main(const struct config *config, const char *word)
{
    (void)word;
    struct error err = ERROR_INIT;
    enum service_init init = SERVICE_SYSTEMD;
    const char *unit = service_unit_of(config);
    if (init_of(config, &init, &err) < 0)
        return complain(&err);
    int rc = service_restart(init, unit, config->service_timeout_s, &err);
    if (rc == 0) {
        printf("%s: restarted\n", unit);
        return 0;
    }
    if (rc != ERR_NOT_FOUND && rc != ERR_INVALID)
        print_log(init, unit);
    fprintf(stderr, "%s\n", err.text); /* the last line of its output is what the user sees */
    return 1;
}
