#include <cli/args.h>

#include <getopt.h>

#include <base/buf.h>
#include <base/text.h>
#include <config/nearest.h>

#include "args_flags.h"

#define COMMANDS_MAX 32
#define TIMEOUT_MAX  (7 * 24 * 3600)
#define RATE_MAX     1000000000
#define TTL_MAX      (7 * 24 * 3600)

_Static_assert(FLAGS <= 64, "a bit for each, in what was seen");

static const struct flag *find_flag(int value)
{
    for (size_t i = 0; i < FLAGS; i++)
        if (args_flags[i].value == value)
            return &args_flags[i];
    return NULL;
}

static void make_options(struct option long_options[FLAGS + 1], char short_options[2 * FLAGS + 2])
{
    char *s = short_options;
    *s++ = ':'; /* a missing value is told from an unknown flag */
    memset(long_options, 0, (FLAGS + 1) * sizeof(*long_options));
    for (size_t i = 0, n = 0; i < FLAGS; i++) {
        if (&args_flags[i] != find_flag(args_flags[i].value)) /* the same name again, with another meaning */
            continue;
        long_options[n++] =
            (struct option){args_flags[i].name, args_flags[i].takes ? required_argument : no_argument, NULL,
                            args_flags[i].value};
        if (args_flags[i].value > 255)
            continue;
        *s++ = (char)args_flags[i].value;
        if (args_flags[i].takes)
            *s++ = ':';
    }
    *s = 0;
}

static int unknown_flag(const char *word, struct error *err)
{
    if (optopt > 0 && find_flag(optopt)) /* "--force=yes" */
        return error_set(err, ERR_INVALID, "--%s takes no value", find_flag(optopt)->name);
    if (optopt > 0)
        return error_set(err, ERR_INVALID, "unknown flag -%c; see --help", optopt);
    /* Without what follows a '=': it may be a misspelt flag's token. */
    char shown[48] = "";
    size_t len = strcspn(word + 2, "=");
    memcpy(shown, word + 2, len < sizeof(shown) ? len : sizeof(shown) - 1);
    const char *names[FLAGS];
    for (size_t i = 0; i < FLAGS; i++)
        names[i] = args_flags[i].name;
    const char *near = nearest_word(shown, names, FLAGS);
    if (near)
        return error_set(err, ERR_INVALID, "unknown flag --%s; did you mean --%s?", shown, near);
    return error_set(err, ERR_INVALID, "unknown flag --%s; see --help", shown);
}

static int take_token(struct args *a, char *value, struct error *err)
{
    size_t len = strlen(value);
    secret_free(a->token);
    a->token = secret_copy(value, len);
    explicit_bzero(value, len); /* so that it leaves /proc/self/cmdline */
    return a->token ? 0 : error_no_memory(err);
}

static const char *const output_words[] = {
    [OUTPUT_TEXT] = "text", [OUTPUT_JSON] = "json", [OUTPUT_WIDE] = "wide"};

/* A format, or the name of a file: the command decides, which may come later. */
static void take_output(struct args *a, const char *value)
{
    bool known = false;
    for (size_t i = 0; i < array_len(output_words); i++)
        if (strcasecmp(output_words[i], value) == 0) {
            a->output = (enum output)i;
            known = true;
        }
    if (!known)
        a->file = value;
}

static int check_output(struct args *a, bool file, struct error *err)
{
    if (file && a->output == OUTPUT_WIDE && !a->file) { /* no format there: a file */
        a->file = output_words[OUTPUT_WIDE];
        a->output = OUTPUT_TEXT;
    }
    if (file || !a->file)
        return 0;
    const char *value = a->file;
    a->file = NULL;
    return error_set(err, ERR_INVALID, "--output %.32s: not one of text, json, wide", value);
}

bool args_want_json(int argc, char *const *argv)
{
    static const char *const heads[] = {"--output=", "-o"};
    bool json = false;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = NULL;
        if ((strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0) && i + 1 < argc)
            value = argv[i + 1];
        for (size_t k = 0; !value && k < array_len(heads); k++)
            if (strncmp(argv[i], heads[k], strlen(heads[k])) == 0)
                value = argv[i] + strlen(heads[k]);
        json |= value && strcasecmp(value, "json") == 0;
    }
    return json;
}

int args_rate(const char *value, int64_t *ret, struct error *err)
{
    return text_int(value, 0, RATE_MAX, ret, err);
}

static int take_rate(struct args *a, const char *value, struct error *err)
{
    int rc = args_rate(value, &a->max_rate, err);
    return rc < 0 ? error_prefix(err, rc, "--max-rate") : 0;
}

static int take_engine(struct args *a, const char *value, struct error *err)
{
    if (strcmp(value, "api") != 0 && strcmp(value, "datastore") != 0)
        return error_set(err, ERR_INVALID, "--engine %.32s: not one of api, datastore", value);
    a->engine = value;
    return 0;
}

static int take_timeout(struct args *a, const char *value, struct error *err)
{
    int rc = text_int(value, 1, TIMEOUT_MAX, &a->timeout_s, err);
    return rc < 0 ? error_prefix(err, rc, "--timeout") : 0;
}

static int take_server(struct args *a, const char *value, struct error *err)
{
    if (a->servers_count == array_len(a->servers))
        return error_set(err, ERR_INVALID, "--server: more than %d of them", ARGS_SERVERS_MAX);
    a->servers[a->servers_count++] = value;
    return 0;
}

static int take_ttl(struct args *a, const char *value, struct error *err)
{
    int rc = text_int(value, 5, TTL_MAX, &a->ttl_s, err);
    return rc < 0 ? error_prefix(err, rc, "--ttl") : 0;
}

static int take_flag(struct args *a, int value, char *argument, struct error *err)
{
    switch (value) {
    case 'o':
        take_output(a, argument);
        return 0;
    case 'q':
        a->quiet = true;
        return 0;
    case OPT_CHECK:
        a->check = true;
        return 0;
    case OPT_WATCH:
        a->watch = true;
        return 0;
    case OPT_DRY_RUN:
        a->dry_run = true;
        return 0;
    case OPT_JUNIT:
        a->junit = argument;
        return 0;
    case OPT_CLUSTER:
        a->cluster = argument;
        return 0;
    case OPT_YES:
        a->yes = true;
        return 0;
    case OPT_ROOT:
        a->root = argument;
        return 0;
    case 'f':
        a->force = true;
        return 0;
    case OPT_SKIP:
        a->skip = true;
        return 0;
    case OPT_NO_RESTART:
        a->no_restart = true;
        return 0;
    case OPT_NO_WAIT:
        a->no_wait = true;
        return 0;
    case OPT_WAIT:
        a->wait = true;
        return 0;
    case OPT_TIMEOUT:
        return take_timeout(a, argument, err);
    case OPT_ENGINE:
        return take_engine(a, argument, err);
    case OPT_OFFLINE:
        a->offline = true;
        return 0;
    case OPT_MAX_RATE:
        return take_rate(a, argument, err);
    case OPT_CONFIG:
        a->config = argument;
        return 0;
    case 'd':
        a->data_dir = argument;
        return 0;
    case 't':
        return take_token(a, argument, err);
    case 's':
        return take_server(a, argument, err);
    case OPT_REASON:
        a->reason = argument;
        return 0;
    case OPT_NOW:
        a->now = true;
        return 0;
    case OPT_COORDINATOR:
        a->coordinator = argument;
        return 0;
    case OPT_CA:
        a->ca = argument;
        return 0;
    case OPT_CERT:
        a->cert = argument;
        return 0;
    case OPT_KEY:
        a->key = argument;
        return 0;
    case OPT_IDEMPOTENCY_KEY:
        a->idempotency_key = argument;
        return 0;
    case OPT_TTL:
        return take_ttl(a, argument, err);
    case 'h':
        a->help = true;
        return 0;
    case OPT_VERSION:
        a->version = true;
        return 0;
    default:
        return error_set(err, ERR_INTERNAL, "flag %d is in the table and not handled", value);
    }
}

/* The command whose name the words begin with: of two words, where there is such a one. */
static const struct command *match_command(char *const *words, int count, const struct command *commands,
                                           size_t commands_count, int *ret_used)
{
    char two[64] = "";
    const struct command *found = NULL;
    if (count > 1)
        snprintf(two, sizeof(two), "%.30s %.30s", words[0], words[1]);
    for (size_t i = 0; i < commands_count; i++) {
        if (*two && strcmp(commands[i].name, two) == 0) {
            *ret_used = 2;
            return &commands[i];
        }
        if (strcmp(commands[i].name, words[0]) == 0)
            found = &commands[i];
    }
    *ret_used = 1;
    return found;
}

static int unknown_command(const char *word, const struct command *commands, size_t count, struct error *err)
{
    const char *names[COMMANDS_MAX];
    size_t n = count < array_len(names) ? count : array_len(names);
    for (size_t i = 0; i < n; i++)
        names[i] = commands[i].name;
    const char *near = nearest_word(word, names, n);
    if (near)
        return error_set(err, ERR_INVALID, "unknown command '%.32s'; did you mean %s?", word, near);
    return error_set(err, ERR_INVALID, "unknown command '%.32s'; see --help", word);
}

/* "keys restor": the command that was meant, where its two words are near. */
static int extra_argument(const struct command *c, const char *word, const struct command *commands,
                          size_t count, struct error *err)
{
    char two[96];
    const char *names[COMMANDS_MAX];
    size_t n = 0, len = strlen(c->name);
    for (size_t i = 0; i < count && n < array_len(names); i++)
        if (strncmp(commands[i].name, c->name, len) == 0 && commands[i].name[len] == ' ')
            names[n++] = commands[i].name;
    snprintf(two, sizeof(two), "%s %.32s", c->name, word);
    const char *near = n > 0 ? nearest_word(two, names, n) : NULL;
    if (near)
        return error_set(err, ERR_INVALID, "%s takes no argument '%.32s'; did you mean %s?", c->name, word,
                         near);
    return error_set(err, ERR_INVALID, "%s takes no argument '%.32s'", c->name, word);
}

/* The words that are left once the flags are taken out: the command, and its argument where it has one. */
static int take_words(char *const *words, int count, const struct command *commands, size_t commands_count,
                      struct args *a, const struct command **ret, struct error *err)
{
    int used = 0;
    const struct command *c = match_command(words, count, commands, commands_count, &used);
    *ret = c;
    if (!c)
        return unknown_command(words[0], commands, commands_count, err);
    if (c->operand && used < count)
        a->operand = words[used++];
    bool two = c->operand && strchr(c->operand, ' ');
    if (two && a->operand && used < count)
        a->operand2 = words[used++];
    if (used < count)
        return extra_argument(c, words[used], commands, commands_count, err);
    if (two && a->operand && !a->operand2 && !a->help)
        return error_set(err, ERR_INVALID, "%s needs two servers or none", c->name);
    bool optional = c->operand && c->operand[0] == '[';
    const char *example = c->example ? c->example : c->name;
    if (c->operand && !optional && !a->help && (!a->operand || !*a->operand))
        return error_set(err, ERR_INVALID, "%s needs %s, as in `%.*s`", c->name, c->operand,
                         (int)strcspn(example, "\n"), example);
    return 0;
}

/* The command takes a flag of that value, in one meaning or the other. */
static bool takes(const struct command *c, int value)
{
    for (size_t i = 0; i < FLAGS; i++)
        if (args_flags[i].value == value && (args_flags[i].of == EVERYWHERE || (c->flags & args_flags[i].of)))
            return true;
    return false;
}

/* `seen` has a bit for each row of `flags` that was given (of two of one name, the first). */
static int check_taken(const struct command *c, uint64_t seen, const struct command *commands, size_t count,
                       struct error *err)
{
    for (size_t i = 0; i < FLAGS; i++) {
        if (!(seen & (UINT64_C(1) << i)) || takes(c, args_flags[i].value))
            continue;
        char takers[160] = "";
        size_t used = 0;
        for (size_t k = 0; k < count && used < sizeof(takers); k++)
            if (takes(&commands[k], args_flags[i].value))
                used += (size_t)snprintf(takers + used, sizeof(takers) - used, "%s%s", used ? ", " : "",
                                         commands[k].name);
        return error_set(err, ERR_INVALID, "--%s is not a flag of %s, but of %s", args_flags[i].name, c->name,
                         takers);
    }
    return 0;
}

/* The token may stand after the flag that is refused. */
static void wipe_tokens_left(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--token=", 8) == 0)
            explicit_bzero(argv[i] + 8, strlen(argv[i] + 8));
        else if ((strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "--token") == 0) && i + 1 < argc)
            explicit_bzero(argv[i + 1], strlen(argv[i + 1]));
        else if (strncmp(argv[i], "-t", 2) == 0)
            explicit_bzero(argv[i] + 2, strlen(argv[i] + 2));
    }
}

static int parse_flags(int argc, char **argv, struct args *a, uint64_t *seen, struct error *err)
{
    struct option long_options[FLAGS + 1];
    char short_options[2 * FLAGS + 2];
    make_options(long_options, short_options);
    optind = 0; /* GNU: start anew */
    opterr = 0;
    for (;;) {
        int value = getopt_long(argc, argv, short_options, long_options, NULL);
        if (value == -1)
            return 0;
        if (value == '?')
            return unknown_flag(argv[optind - 1], err);
        if (value == ':')
            return error_set(err, ERR_INVALID, "--%s needs a value (%s)", find_flag(optopt)->name,
                             find_flag(optopt)->takes);
        int rc = take_flag(a, value, optarg, err);
        if (rc < 0)
            return rc;
        *seen |= UINT64_C(1) << (find_flag(value) - args_flags);
    }
}

bool args_follow(const struct args *a, const struct command *c)
{
    return (c->flags & FLAG_TIMEOUT) || (c->flags & FLAG_WAIT ? a->wait : !a->no_wait);
}

/* Flags that need, or exclude, one another. */
static int check_together(const struct args *a, const struct command *c, struct error *err)
{
    if (a->offline && (!a->engine || strcmp(a->engine, "datastore") != 0))
        return error_set(err, ERR_INVALID, "--offline needs --engine datastore");
    if (a->output == OUTPUT_WIDE && !(c->flags & FLAG_OUTPUT))
        return error_set(err, ERR_INVALID, "--output wide: %s knows text and json", c->name);
    if (a->watch && (a->check || a->output == OUTPUT_JSON))
        return error_set(err, ERR_INVALID, "--watch and %s exclude one another",
                         a->check ? "--check" : "--output json");
    if (a->wait && a->no_wait)
        return error_set(err, ERR_INVALID, "--wait and --no-wait exclude one another");
    if (a->junit && a->dry_run)
        return error_set(err, ERR_INVALID, "--junit and --dry-run exclude one another: nothing is done");
    if (a->junit && !args_follow(a, c))
        return error_set(err, ERR_INVALID, "--junit needs %s: it tells how each phase went",
                         a->no_wait ? "that --no-wait is left out" : "--wait");
    return 0;
}

/* Where the words behind "--" begin, when the command before it runs them; argc: nowhere. */
static int run_begins(int argc, char **argv, const struct command *commands, size_t count)
{
    const struct command *c = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return c ? i : argc;
        for (size_t k = 0; !c && k < count; k++)
            if ((commands[k].flags & FLAG_RUN) && strcmp(commands[k].name, argv[i]) == 0)
                c = &commands[k];
    }
    return argc;
}

int args_parse(int argc, char **argv, const struct command *commands, size_t count, struct args *ret,
               const struct command **ret_command, struct error *err)
{
    uint64_t seen = 0;
    memset(ret, 0, sizeof(*ret));
    ret->max_rate = -1;
    *ret_command = NULL;
    int words = run_begins(argc, argv, commands, count);
    if (words + 1 < argc)
        ret->run = argv + words + 1;
    argc = words;
    int rc = parse_flags(argc, argv, ret, &seen, err);
    if (rc < 0) {
        wipe_tokens_left(argc, argv);
        return rc;
    }
    if (optind >= argc)
        return check_output(ret, false, err);
    rc = take_words(argv + optind, argc - optind, commands, count, ret, ret_command, err);
    if (rc == 0)
        rc = check_output(ret, (*ret_command)->flags & FLAG_INIT, err);
    if (rc < 0)
        return rc;
    rc = check_taken(*ret_command, seen, commands, count, err);
    return rc == 0 ? check_together(ret, *ret_command, err) : rc;
}

void args_free(struct args *a)
{
    secret_free(a->token);
    a->token = NULL;
}
