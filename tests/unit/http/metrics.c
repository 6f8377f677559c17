/* What /metrics is made of: the snapshot, the process, and what the agents found when they looked last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>
#include <http/metrics.h>

static void assert_says(const struct buf *out, const char *line, bool says)
{
    if (!strstr(buf_str(out), line) == says)
        fail_msg("%s: %s\n%.3000s", says ? "not said" : "said", line, buf_str(out));
}

static void preflight_is_told(void **state)
{
    static struct config config;
    static struct feed_checks checks;
    _cleanup_free_ struct cluster_snapshot *s = calloc(1, sizeof(*s));
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    (void)state;
    s->now_ms = clock_wall_ms();
    s->has_spec = true;
    s->servers_count = s->spec.servers_count = 1;
    s->servers[0].in_spec = true;
    text_copy(s->servers[0].name, sizeof(s->servers[0].name), "s1");
    text_copy(s->spec.servers[0].name, sizeof(s->spec.servers[0].name), "s1");
    checks.count = 2;
    checks.items[0] = (struct metrics_preflight){"s1", s->now_ms - 5000, {10, 0, 2}};
    checks.items[1] = (struct metrics_preflight){"gone", s->now_ms, {1, 0, 0}};
    assert_int_equal(page_metrics(&config, s, &checks, &out, NULL), 0);
    assert_says(&out, "secrets_encrypt_preflight_checks{server=\"s1\",result=\"fail\"} 2\n", true);
    assert_says(&out, "secrets_encrypt_preflight_age_seconds{server=\"s1\"} 5", true);
    assert_says(&out, "gone", false); /* no series for a server that there is not */
    /* What was found before the store went away is not told as if it were so now. */
    buf_reset(&out);
    s->now_ms -= METRICS_STALE_MS + 1000;
    assert_int_equal(page_metrics(&config, s, &checks, &out, NULL), 0);
    assert_says(&out, "preflight", false);
    buf_reset(&out);
    assert_int_equal(page_metrics(&config, NULL, NULL, &out, NULL), 0);
    assert_says(&out, "preflight", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(preflight_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
