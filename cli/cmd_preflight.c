#include "commands.h"
#include "console.h"
#include "gather.h"

static int judge(struct session *s, struct preflight *ret, struct error *err)
{
    struct gathered g;
    memset(&g, 0, sizeof(g));
    int rc = session_need_store(s, "preflight", err);
    if (rc == 0)
        rc = gather(s, &g, err);
    const struct preflight_facts facts = {s->config, s->snapshot, g.agents, g.etcds, g.etcds_count, &g.hooks};
    if (rc == 0)
        rc = preflight_judge(&facts, ret, err);
    gathered_free(&g);
    return rc;
}

static int show(struct session *s, enum output output, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(16 * 1024 * 1024);
    struct preflight p = {0};
    int rc = judge(s, &p, err);
    if (rc == 0)
        rc = output == OUTPUT_JSON ? render_preflight_json(&p, &out, err)
                                   : render_preflight_text(&p, &out, err);
    if (rc == 0 && !result_text(&out))
        rc = ERR_IO;
    if (rc == 0 && p.failed > 0)
        rc = error_set(err, ERR_STATE, "%zu of %zu checks failed: mend them before a rotation", p.failed,
                       p.count);
    preflight_free(&p);
    return rc;
}

static int run(const struct args *args)
{
    return session_show(args, show);
}

const struct command command_preflight = {
    .name = "preflight",
    .flags = FLAG_JSON,
    .summary = "check everything that a rotation will need, on every server",
    .example = "secrets-encrypt preflight\n"
               "secrets-encrypt preflight -o json",
    .help =
        "Each agent looks at its server's files, rights, restart command, certificates, disks, API server "
        "and "
        "etcd, every\n"
        "5 minutes (at once after SIGHUP); this command adds what concerns the cluster, names what is wrong "
        "and "
        "how to mend\n"
        "it. An agent that was started a moment ago is waited for, 15 seconds at most. Nothing is changed.\n"
        "On a server only, not through the API. Exit code 0 when a rotation can begin (warnings are "
        "allowed), 1 when not.\n",
    .run = run,
};
