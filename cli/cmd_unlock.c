#include <base/text.h>

#include "ask.h"
#include "commands.h"
#include "console.h"

static int unlock(struct session *s, const struct args *args)
{
    _cleanup_free_ struct cluster_request *v = calloc(1, sizeof(*v));
    struct request r;
    struct error err = ERROR_INIT;
    if (!v)
        return end_with(EXIT_ERROR, "out of memory");
    if (request_make(s, OP_UNLOCK, args, v, &err) < 0)
        return fail(&err);
    int code = ask_this(s, v, 0, &r);
    if (code >= 0)
        return code;
    result("unlocked");
    return EXIT_DONE;
}

static int run(const struct args *args)
{
    struct session session;
    struct error err = ERROR_INIT;
    int code = session_open(args, &session, &err) < 0 ? fail(&err) : unlock(&session, args);
    session_close(&session);
    return code;
}

const struct command command_unlock = {
    .name = "unlock",
    .flags = FLAG_FORCE_UNLOCK | FLAG_REASON | FLAG_JSON,
    .summary = "give the cluster's lock back",
    .example = "secrets-encrypt unlock\n"
               "secrets-encrypt unlock --force",
    .help = "Gives back the lock that you hold (the same user on the same machine). --force: whoever holds "
            "it.\n",
    .run = run,
};
