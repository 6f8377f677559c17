#include <report/exits.h>

#include <string.h>

#include <base/cleanup.h>

const struct exit_row exit_rows[] = {
    {EXIT_DONE, "done", "done; `status` without `--check`: also on a mismatch, as K3s"},
    {EXIT_ERROR, "error",
     "an error, a failed check of `preflight`, or what was followed was aborted by somebody"},
    {EXIT_USAGE, "usage", "bad flags; `init`: nothing was written, as there was no terminal to ask at"},
    {EXIT_MISMATCH, "mismatch", "the servers' hashes differ; a request: refused, nothing was begun"},
    {EXIT_SERVER, "server", "a server is silent, stale or not ready; a request: refused, nothing was begun"},
    {EXIT_GATE, "gate", "another precondition does not hold; a request: refused, nothing was begun"},
    {EXIT_TIMEOUT, "timeout", "`--timeout` passed; what was begun goes on"},
    {EXIT_HALTED, "halted", "the operation halted; mend the reason, then resume or abort it"},
    {EXIT_DENIED, "denied", "not allowed, or not authentic"},
    {EXIT_UNREACHABLE, "unreachable", "no coordinator, or no state store, answers"},
    {EXIT_INTERRUPTED, "interrupted", "Ctrl-C: detached; what was begun goes on"},
};
const size_t exit_rows_count = array_len(exit_rows);

const char *exit_cause(int code)
{
    for (size_t i = 0; i < exit_rows_count; i++)
        if (exit_rows[i].code == code)
            return exit_rows[i].cause;
    return "error";
}

int exit_of_error(const struct error *err)
{
    switch (err->code) {
    case ERR_DENIED:
        return EXIT_DENIED;
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
        return EXIT_UNREACHABLE;
    case ERR_CANCELED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_ERROR;
    }
}

int exit_of_cause(enum cluster_cause cause)
{
    switch (cause) {
    case CAUSE_MISMATCH:
        return EXIT_MISMATCH;
    case CAUSE_SERVER:
        return EXIT_SERVER;
    case CAUSE_GATE:
        return EXIT_GATE;
    case CAUSE_DENIED:
        return EXIT_DENIED;
    case CAUSE_NONE:
        break;
    }
    return EXIT_ERROR;
}
