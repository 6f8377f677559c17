#include <report/keys.h>

#include "commands.h"
#include "console.h"
#include "session.h"

#define DATASTORE_MS 2000

/* How far the datastore has come; 0 where it does not answer, or is not to be asked: the table then says
 * "unknown". */
static int64_t remote_revision(const struct session *s)
{
    struct error err = ERROR_INIT;
    int64_t revision = 0;
    if (remote_datastore_revision(s->remote, CONNECT_MS, &revision, &err) < 0)
        say_more("the datastore's revision is not known: %s", err.text);
    return revision;
}

static int64_t datastore_revision(const struct session *s)
{
    if (s->remote)
        return remote_revision(s);
    _cleanup_(etcd_closep) struct etcd *datastore = NULL;
    struct error err = ERROR_INIT;
    struct etcd_range range = {0};
    const struct etcd_range_options nothing = {.prefix = s->config->datastore_prefix, .count_only = true};
    if (strcmp(s->config->datastore_raw, "off") == 0)
        return 0;
    int rc = store_etcd_open(&s->config->datastore, &datastore, &err);
    if (rc == 0)
        rc = etcd_list(datastore, &nothing, DATASTORE_MS, &range, &err);
    if (rc < 0) {
        say("the datastore does not answer: %s", err.text);
        return 0;
    }
    int64_t revision = range.revision;
    etcd_range_free(&range);
    return revision;
}

static int show(struct session *s, enum output output, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    int64_t revision = s->snapshot->has_keys ? datastore_revision(s) : 0;
    int rc = output == OUTPUT_JSON ? render_keys_json(s->snapshot, revision, &out, err)
                                   : render_keys_text(s->snapshot, revision, &out, err);
    return rc < 0 ? rc : result_text(&out) ? 0 : ERR_IO;
}

static int run(const struct args *args)
{
    return session_show(args, show);
}

const struct command command_keys = {
    .name = "keys",
    .flags = FLAG_JSON,
    .summary = "list active, readable and retired keys",
    .example = "secrets-encrypt keys\n"
               "secrets-encrypt keys -o json",
    .help = "A line a key: its age, since when it is in its state, how many writes there were under it at "
            "most, how many values\n"
            "the last scan counted under it, and until when a retired one is kept in escrow. `keys restore "
            "NAME` makes a\n"
            "retired key readable again.\n",
    .run = run,
};
