/* Shared by the parts of the order machine. */
#ifndef AGENT_JOB_H
#define AGENT_JOB_H

#include <agent/agent.h>

/* Formats a reason, cut to fit. `out` may be among the arguments. */
void agent_note(char out[CLUSTER_TEXT_MAX], const char *format, ...) _printf_(2, 3);

/* An order against a state, as decide_order wants it (`sync` asks the same). */
void agent_order_view(const struct agent_state *s, const struct version *present,
                      const struct cluster_order *o, struct order_view *ret);

/* The actions that touch the world. Each returns 0 or a code with the reason; ERR_UNAVAILABLE and the other
 * transient codes mean: again later. */
int apply_fetch(struct agent *a, struct error *err) _must_check_;
/* The same for an order that is not the one at work (`sync`). */
int apply_fetch_order(struct agent *a, const struct cluster_order *o, struct error *err) _must_check_;
/* Under the lock: writes the order's file (in hand: work.text) over the one that was looked at last. A repair
 * keeps a copy of one that nobody issued. */
int apply_write_locked(struct agent *a, const struct cluster_order *o, struct error *err) _must_check_;
int apply_write(struct agent *a, struct error *err) _must_check_;
int apply_put_back(struct agent *a, struct error *err) _must_check_;

/* The previous file is not needed any more. */
void apply_forget(struct agent *a);
int apply_restart(struct agent *a, struct error *err) _must_check_;
int apply_adopt(struct agent *a, struct error *err) _must_check_;
/* Seals `text` as what `described` says of it, and remembers that it is the present file. */
int apply_seal_text(struct agent *a, struct cluster_bundle *described, const struct secret *text,
                    struct error *err) _must_check_;
/* Keeps a copy of the present file in the state folder, where nobody issued it. */
int apply_keep_copy(struct agent *a, struct error *err) _must_check_;
/* CALL: checks that the present file is what the server was asked to make of generation `from`, and seals it.
 */
int apply_seal(struct agent *a, struct error *err) _must_check_;

/* Whether the API server takes the file up by itself, and is waited for instead of restarted; and that it
 * has. */
bool apply_reloads(const struct agent *a);
void apply_reloaded(struct agent *a);

/* The version that the order at work asks for. */
struct version apply_target(const struct agent *a);

/* Proof 1a, once a file and generation: do the keys of the present file open that generation's test vector?
 */
void agent_check_vector(struct agent *a);

/* Looks at the file alone (hash, change time, config id), without a word to anybody. */
void agent_look_file(struct agent *a);

#endif
