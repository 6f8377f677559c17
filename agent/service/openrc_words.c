#include <agent/openrc_words.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include <base/cleanup.h>

#define WORDS_LINES 3

struct span {
    const char *at;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* " * Starting kube-apiserver ... [ !! ]" -> "Starting kube-apiserver ..." */
static struct span trim(struct span s)
{
    while (s.len > 0 && (is_blank(s.at[0]) || s.at[0] == '*')) {
        s.at++;
        s.len--;
    }
    if (s.len > 6 && s.at[s.len - 1] == ']' && s.at[s.len - 6] == '[')
        s.len -= 6;
    while (s.len > 0 && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

void openrc_words(const char *output, char *out, size_t size)
{
    struct span last[WORDS_LINES] = {{0}};
    for (const char *p = output; *p;) {
        size_t len = strcspn(p, "\n");
        struct span s = trim((struct span){p, len});
        if (s.len > 0) {
            memmove(last, last + 1, sizeof(last) - sizeof(last[0]));
            last[WORDS_LINES - 1] = s;
        }
        p += len + (p[len] == '\n');
    }
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < WORDS_LINES; i++) {
        if (last[i].len == 0)
            continue;
        int n = snprintf(out + used, size - used, "%s%.*s", used ? " / " : "", (int)last[i].len, last[i].at);
        used = n > 0 && (size_t)n < size - used ? used + (size_t)n : size - 1;
    }
}

static const struct {
    int status; /* exit status of `rc-service NAME status` */
    int code;
    const char *word;
    const char *advice;
} states[] = {
    {3, ERR_IO, "stopped", "mend the cause, then `rc-service %s start`"},
    {4, ERR_TIMEOUT, "stopping", "`rc-service %s status` says when that is over"},
    {8, ERR_TIMEOUT, "starting", "`rc-service %s status` says when that is over"},
    {16, ERR_STATE, "inactive", "it waits for another service: `rc-service %s ineed` names what it needs"},
    {32, ERR_IO, "crashed", "its log has its last words; `rc-service %s restart` once the cause is mended"},
    {64, ERR_IO, "unsupervised", "its supervisor is gone; `rc-service %s restart`"},
};

int openrc_judge(const char *service, int restart_status, int status, const char *words, struct error *err)
{
    char advice[512];
    if (status == 0 && restart_status == 0)
        return 0;
    if (status == 0)
        return error_set(err, ERR_IO, "%s: rc-service restart failed (exit status %d), it is started: %s",
                         service, restart_status, words);
    for (size_t i = 0; i < array_len(states); i++) {
        if (states[i].status != status)
            continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(advice, sizeof(advice), states[i].advice, service);
#pragma GCC diagnostic pop
        return error_set(err, states[i].code, "%s: %s after rc-service restart: %s; %s", service,
                         states[i].word, words[0] ? words : "OpenRC says no more", advice);
    }
    return error_set(err, ERR_IO, "%s: rc-service restart ended with %d, status with %d: %s", service,
                     restart_status, status, words);
}
