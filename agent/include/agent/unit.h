/* What systemd says of a unit, and what that means for a restart: pure, from properties to text. */
#ifndef AGENT_UNIT_H
#define AGENT_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include <agent/service.h>

#define UNIT_WORD_MAX 48
#define UNIT_TEXT_MAX 256

/* Properties by systemd's own names; "" and 0 where it gave none. */
struct unit_state {
    char load_state[UNIT_WORD_MAX];
    char load_error[UNIT_TEXT_MAX]; /* LoadError's text */
    char active_state[UNIT_WORD_MAX];
    char sub_state[UNIT_WORD_MAX];
    char result[UNIT_WORD_MAX];
    char type[UNIT_WORD_MAX];
    int64_t main_pid;
    int64_t main_code;   /* ExecMainCode: CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: it has not ended */
    int64_t main_status; /* ExecMainStatus */
    int64_t restarts;    /* NRestarts */
    int64_t condition;   /* ConditionResult: 0 or 1 */
    int64_t no_start;    /* RefuseManualStart */
    int64_t no_stop;     /* RefuseManualStop */
    int64_t left_us;     /* InactiveExitTimestampMonotonic: when it last began to start */
    int64_t changed_us;  /* StateChangeTimestampMonotonic */
    int64_t limit_burst; /* StartLimitBurst */
};

/* One property as D-Bus has it: `s` of a text, else `number` (a boolean is 0 or 1). Others are ignored. */
void unit_set(struct unit_state *u, const char *property, const char *s, int64_t number);

/* D-Bus' type of a property that unit_set knows: 's', 'u', 'i', 't', 'b'; 'e' for LoadError (ss); 0: not
 * known. */
char unit_type(const char *property);

/* From the output of `systemctl show`: lines of NAME=VALUE. */
void unit_parse(struct unit_state *u, const char *text);

/* The names, separated by commas, for `systemctl show -p`. */
const char *unit_properties(void);

/* "kube-apiserver" -> "kube-apiserver.service"; ERR_INVALID as service_unit_check. */
int unit_name(const char *unit, char out[SERVICE_UNIT_MAX + 1], struct error *err) _must_check_;

/* The unit can be restarted: there is one, not masked, not broken. Names are with ".service". */
int unit_judge_load(const char *unit, const struct unit_state *u, struct error *err) _must_check_;

/* What came of the call RestartUnit itself: D-Bus' error name and text. Never 0. */
int unit_judge_refusal(const char *unit, const char *name, const char *text, struct error *err) _must_check_;

/* Was it right: before and after the restart, with the job's result ("done", …; "" where it is not known). 0:
 * it runs as far as systemd sees. */
int unit_judge(const char *unit, const char *job, const struct unit_state *before,
               const struct unit_state *after, struct error *err) _must_check_;

/* Its start does not say by itself that the program works: only that there is a process. */
bool unit_needs_watching(const struct unit_state *u);

/* Does the process that stood at `then` still stand? */
int unit_judge_steady(const char *unit, const struct unit_state *then, const struct unit_state *now,
                      struct error *err) _must_check_;

/* The deadline passed while it was still stopping or starting. */
int unit_judge_late(const char *unit, const struct unit_state *now, int64_t timeout_s,
                    struct error *err) _must_check_;

#endif
