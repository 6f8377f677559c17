/* What is shown of a cluster while memory runs out, and the configuration that `init` writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <discover/discover.h>
#include <report/explain.h>
#include <report/keys.h>
#include <report/status.h>
#include <rotation/forecast.h>

#include "fail.h"
#include "fixture.h" /* tests/unit/cli: snapshots made by hand */

#define OUT_MAX (1024 * 1024)

static struct cluster_snapshot *cluster, *idle;
static struct key_table keys;
static struct discover_facts *facts;

/* Whole lines or none: what is shown to somebody, or read by a program, is never half of it. */
static int lines(int rc, const struct buf *out)
{
    assert_true(rc == 0 ? out->len > 0 && out->data[out->len - 1] == '\n' : true);
    return rc;
}

#define RENDERS(name, call)                                                                                  \
    static int name(struct error *err)                                                                       \
    {                                                                                                        \
        _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);                                             \
        return lines(call, &out);                                                                            \
    }

RENDERS(status_text, render_status_text(cluster, &keys, &out, err))
RENDERS(status_json, render_status_json(cluster, &keys, &out, err))
RENDERS(status_wide, render_status_wide(cluster, &keys, &out, err))
RENDERS(keys_text, render_keys_text(cluster, 9000, &out, err))
RENDERS(keys_json, render_keys_json(cluster, 9000, &out, err))
RENDERS(proofs, render_proofs(cluster, &out, err))
RENDERS(explain_text, render_explain_text(cluster, &out, err))
RENDERS(explain_json, render_explain_json(cluster, &out, err))
RENDERS(table, rotation_table_dump(&out, err))
RENDERS(drawing, rotation_draw(&out, err))

static int forecast(struct error *err)
{
    struct cluster_request r = {.kind = OP_ROTATE_KEYS, .restart = true};
    struct forecast f = {0};
    int rc = rotation_forecast(idle, &r, &f, err);
    assert_true(rc < 0 || f.count > 0);
    forecast_free(&f);
    return rc;
}

static int configuration(struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    size_t missing = 0;
    return lines(discover_render(facts, "/etc/secrets-encrypt/token", &out, &missing, err), &out);
}

static int make(void)
{
    facts = calloc(1, sizeof(*facts));
    cluster = fixture_cluster(3, "s%d");
    idle = fixture_cluster(3, "s%d");
    fixture_operation(cluster, OP_ROTATE_KEYS, PHASE_PROMOTE, STAGE_ROTATE);
    fixture_at_target(cluster, 0);
    fixture_order(cluster, 1, ORDER_APPLY, ORDER_TAKEN);
    fixture_server_proof(fixture_proof(cluster, PHASE_READABLE, PROOF_MADE, "canary"), "s1", PROOF_MADE, "");
    fixture_key(cluster, "aescbckey", KEY_ACTIVE);
    keys.known = keys.enabled = true;
    keys.count = 1;
    text_copy(keys.rows[0].name, sizeof(keys.rows[0].name), "aescbckey");
    keys.rows[0].type = "AES-CBC";
    keys.rows[0].active = true;
    return facts ? 0 : -1;
}

int main(void)
{
    static const struct alloc_case cases[] = {
        {"status", status_text, false},         {"status -o json", status_json, false},
        {"status -o wide", status_wide, false}, {"keys", keys_text, false},
        {"keys -o json", keys_json, false},     {"proofs", proofs, false},
        {"explain", explain_text, false},       {"explain -o json", explain_json, false},
        {"rotation_table_dump", table, false},  {"rotation_draw", drawing, false},
        {"rotation_forecast", forecast, false}, {"discover_render", configuration, false},
    };
    alloc_install();
    int rc = make();
    if (rc == 0)
        rc = alloc_cases_main(cases, array_len(cases));
    free(cluster);
    free(idle);
    free(facts);
    return rc != 0;
}
