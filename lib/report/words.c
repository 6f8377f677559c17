#include <report/words.h>

#include <inttypes.h>

#include <base/cleanup.h>

static const struct {
    const char *claim;
    const char *verb, *object; /* object NULL: "that <claim>" */
} phases[] = {
    [PHASE_ADOPT] = {"the servers' present config is taken over"},
    [PHASE_OPENS] = {"every stored value opens with the servers' keys", "checking"},
    [PHASE_BACKUP] = {"the datastore is saved", "saving", "the datastore"},
    [PHASE_APPEND] = {"every server has the new key"},
    [PHASE_READABLE] = {"every server reads the new key", "proving"},
    [PHASE_PROMOTE] = {"every server has the config that writes with the new key"},
    [PHASE_WRITTEN] = {"every server writes with the new key", "proving"},
    [PHASE_REWRITE] = {"every value is rewritten"},
    [PHASE_VERIFY] = {"no value is under another key", "verifying", "counting the datastore's values by key"},
    [PHASE_BACKUP_DROP] = {"the datastore is saved once more", "saving", "the datastore once more"},
    [PHASE_DROP] = {"the old key is gone from every server"},
    [PHASE_FINAL] = {"no value is under the dropped key", "verifying",
                     "counting the datastore's values once more"},
    [PHASE_IDENTITY] = {"every server reads plain values"},
    [PHASE_SWITCH] = {"every server has the config that writes otherwise"},
    [PHASE_RESTORE] = {"every server has the retired key"},
    [PHASE_REVERT] = {"every server has the config that writes with the old key"},
    [PHASE_RETURN] = {"the new key is gone from every server"},
    [PHASE_BRING_BACK] = {"every server has the dropped key again"},
    [PHASE_RESTART] = {"every server that is to restart has done so"},
    [PHASE_DONE] = {"it is over"},
};
_Static_assert(sizeof(phases) / sizeof(phases[0]) == PHASE_DONE + 1, "words for each phase");

/* Where the operation makes it another key. */
static const struct {
    enum operation_kind kind;
    enum phase phase;
    const char *claim;
} special[] = {
    {OP_ENABLE, PHASE_READABLE, "every server reads the key"},
    {OP_ENABLE, PHASE_WRITTEN, "every server encrypts what it writes"},
    {OP_DISABLE, PHASE_WRITTEN, "every server writes plain values"},
    {OP_RESTORE_KEY, PHASE_READABLE, "every server reads the restored key"},
    {OP_ABORT, PHASE_WRITTEN, "every server writes with the old key"},
};

const char *phase_claim(enum operation_kind kind, enum phase phase)
{
    for (size_t i = 0; i < array_len(special); i++)
        if (special[i].kind == kind && special[i].phase == phase)
            return special[i].claim;
    return (size_t)phase < array_len(phases) ? phases[phase].claim : "?";
}

const char *phase_verb(enum phase phase)
{
    return (size_t)phase < array_len(phases) ? phases[phase].verb : NULL;
}

void phase_object(enum operation_kind kind, enum phase phase, char out[PHASE_TEXT_MAX])
{
    const char *own = (size_t)phase < array_len(phases) ? phases[phase].object : NULL;
    if (own)
        snprintf(out, PHASE_TEXT_MAX, "%s", own);
    else
        snprintf(out, PHASE_TEXT_MAX, "that %s", phase_claim(kind, phase));
}

void phase_doing(enum operation_kind kind, enum phase phase, char out[PHASE_TEXT_MAX])
{
    char object[PHASE_TEXT_MAX];
    bool is_sentence = phase == PHASE_VERIFY || phase == PHASE_FINAL; /* "counting …" */
    phase_object(kind, phase, object);
    if (is_sentence || !phase_verb(phase))
        snprintf(out, PHASE_TEXT_MAX, "%s", object);
    else
        snprintf(out, PHASE_TEXT_MAX, "%s %s", phase_verb(phase), object);
}

void operation_object(const struct cluster_snapshot *s, char out[PHASE_TEXT_MAX])
{
    enum phase phase = s->rotation.op.phase;
    phase_object(s->rotation.op.kind, phase, out);
    if (s->spec.not_raw && phase == PHASE_VERIFY)
        snprintf(out, PHASE_TEXT_MAX, "rewriting every object a second time");
    if (s->spec.not_raw && phase == PHASE_FINAL)
        snprintf(out, PHASE_TEXT_MAX, "listing every object once more");
}

void operation_doing(const struct cluster_snapshot *s, char out[PHASE_TEXT_MAX])
{
    enum phase phase = s->rotation.op.phase;
    if (s->spec.not_raw && (phase == PHASE_VERIFY || phase == PHASE_FINAL))
        operation_object(s, out);
    else
        phase_doing(s->rotation.op.kind, phase, out);
}

bool phase_asks_servers(enum phase phase)
{
    return phase == PHASE_READABLE || phase == PHASE_WRITTEN;
}

const struct cluster_proof *proof_of_phase(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct cluster_proof *p = s->has_rotation ? snapshot_proof(s, op->phase) : NULL;
    return p && p->step == op->step ? p : NULL;
}

const struct cluster_server_proof *proof_of_server(const struct cluster_proof *p, const char *server)
{
    for (size_t i = 0; p && i < p->servers_count; i++)
        if (strcmp(p->servers[i].server, server) == 0)
            return &p->servers[i];
    return NULL;
}

void format_size(int64_t bytes, char out[SIZE_TEXT_MAX])
{
    int64_t mib = bytes / (1024 * 1024);
    snprintf(out, SIZE_TEXT_MAX, "%" PRId64 " MiB", mib > 0 ? mib : 1);
}

const char *proof_not_made_by(const struct cluster_proof *p)
{
    static const struct {
        enum phase phase;
        const char *rule;
    } rules[] = {
        {PHASE_OPENS, "decrypting"}, {PHASE_READABLE, "canary"}, {PHASE_WRITTEN, "canary"},
        {PHASE_VERIFY, "scan"},      {PHASE_FINAL, "scan"},
    };
    bool otherwise = strcmp(p->method, "list") == 0 || strcmp(p->method, "read") == 0;
    for (size_t i = 0; i < array_len(rules) && otherwise && p->state == PROOF_MADE; i++)
        if (rules[i].phase == p->phase)
            return rules[i].rule;
    return NULL;
}

const char *proof_word(const struct cluster_proof *p, enum proof_state state)
{
    return state == PROOF_MADE && proof_not_made_by(p) ? "otherwise" : proof_state_name(state);
}

int proof_trouble(const struct cluster_proof *p, struct buf *out, struct error *err)
{
    const char *name = phase_name(p->phase), *why = *p->why ? p->why : "no reason is given";
    const char *method = *p->method ? p->method : "no method";
    const char *otherwise = proof_not_made_by(p);
    if (p->state == PROOF_UNMADE)
        return buf_addf(out, err, "Proof not made: %s (%s): %s\n", name, method, why);
    if (p->state == PROOF_FAILED)
        return buf_addf(out, err, "Proof failed: %s (%s): %s\n", name, method, why);
    if (otherwise)
        return buf_addf(out, err, "Proof not made by %s: %s (%s)%s%s\n", otherwise, name, method,
                        *p->why ? ": " : "", p->why);
    return 0;
}
