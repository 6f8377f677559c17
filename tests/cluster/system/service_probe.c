/* What service.h offers to other drivers, for the tests on booted machines:
 *
 *   service_probe INIT UNIT LINES     "active PID" or "inactive PID", then the end of its log; errors go to
 * stderr
 *
 * INIT is "find" (whichever runs this machine), "systemd" or "openrc". */
#include <inttypes.h>

#include <agent/service.h>
#include <base/text.h>

static int complain(const struct error *err)
{
    fprintf(stderr, "%s\n", err->text);
    return 1;
}

static int probe(enum service_init init, const char *unit, unsigned lines)
{
    struct error err = ERROR_INIT;
    bool active = false;
    int64_t pid = 0;
    _cleanup_(buf_freep) struct buf log = BUF_INIT(SERVICE_LOG_MAX);
    if (service_main_pid(init, unit, &active, &pid, &err) < 0)
        return complain(&err);
    printf("%s %" PRId64 "\n", active ? "active" : "inactive", pid);
    if (service_log_tail(init, unit, lines, &log, &err) < 0)
        return complain(&err);
    fputs(buf_str(&log), stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    enum service_init init = SERVICE_SYSTEMD;
    int64_t lines = 0;
    if (argc != 4 || text_int(argv[3], 0, 100000, &lines, &err) < 0)
        return 2;
    if (strcmp(argv[1], "openrc") == 0)
        init = SERVICE_OPENRC;
    else if (strcmp(argv[1], "find") == 0 && service_init_find(&init, &err) < 0)
        return complain(&err);
    return probe(init, argv[2], (unsigned)lines);
}
