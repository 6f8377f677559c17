/* What closes, in which words, and how often anybody is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include <string.h>

#include <base/clock.h>

#include "fake_api.h"
#include "maintenance.h"

#define SAT_0000       INT64_C(1795824000000) /* 2026-11-28, UTC */
#define HOUR           INT64_C(3600000)
#define VECTOR(result) "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" result "]}}"
#define ALERT(name)    "{\"metric\":{\"alertname\":\"" name "\"},\"value\":[1,\"1\"]}"

static char none[] = "", query[] = "ALERTS", sat[] = "sat", from[] = "02:00", to[] = "05:00", utc[] = "UTC";

static struct config windows_alone(void)
{
    struct config c = {.alert_url = none, .rotate_every = none, .alert_query = query, .alert_timeout_s = 1};
    c.alert_ca_file = c.alert_cert_file = c.alert_key_file = c.alert_token_file = none;
    c.windows[0] = (struct config_window){sat, from, to, utc};
    c.windows_count = 1;
    return c;
}

static void test_windows(void **state)
{
    (void)state;
    struct config c = windows_alone();
    struct maintenance m;
    char out[CLUSTER_TEXT_MAX];
    assert_int_equal(maintenance_init(&m, &c, NULL), 0);
    maintenance_closed(&m, &c, false, SAT_0000, out);
    assert_string_equal(out, "outside the maintenance window until Sat 02:00 UTC");
    maintenance_closed(&m, &c, true, SAT_0000, out);
    assert_string_equal(out, "");
    maintenance_closed(&m, &c, false, SAT_0000 + 3 * HOUR, out);
    assert_string_equal(out, "");
    maintenance_closed(&m, &c, false, SAT_0000 + 5 * HOUR, out);
    assert_string_equal(out, "outside the maintenance window until 2026-12-05 02:00 UTC");
    maintenance_clear(&m);
    c.windows_count = 0;
    assert_int_equal(maintenance_init(&m, &c, NULL), 0);
    maintenance_closed(&m, &c, false, SAT_0000, out);
    assert_string_equal(out, "");
    maintenance_clear(&m);
}

static void test_bad_zone(void **state)
{
    (void)state;
    struct config c = windows_alone();
    struct maintenance m;
    static char nowhere[] = "Europe/Nowhere";
    c.windows[0].time_zone = nowhere;
    assert_int_equal(maintenance_init(&m, &c, NULL), ERR_NOT_FOUND);
}

/* Whoever asked may have given up before the answer was begun. */
static pthread_mutex_t reply_lock = PTHREAD_MUTEX_INITIALIZER;

static void answer(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    (void)q;
    pthread_mutex_lock(&reply_lock);
    *a = *(struct fake_reply *)arg;
    pthread_mutex_unlock(&reply_lock);
}

static void say(struct fake_reply *reply, struct fake_reply what)
{
    pthread_mutex_lock(&reply_lock);
    *reply = what;
    pthread_mutex_unlock(&reply_lock);
}

static void look(struct maintenance *m, const struct config *c, int64_t now, char out[CLUSTER_TEXT_MAX])
{
    m->asked_ms = m->asked_ms ? 1 : 0; /* long ago */
    maintenance_closed(m, c, false, now, out);
}

static void test_alerts(void **state)
{
    (void)state;
    struct fake_reply reply = {.status = 200, .body = VECTOR("")};
    struct fake_api *f = fake_start(answer, &reply);
    struct kube_options o = fake_options(f);
    struct config c = windows_alone();
    struct maintenance m;
    char out[CLUSTER_TEXT_MAX];
    _cleanup_free_ char *url = strdup(o.url), *ca = strdup(o.ca_file), *token = strdup(o.token_file);
    c.alert_url = url; /* the server ends before its last use */
    c.alert_ca_file = ca;
    c.alert_token_file = token;
    assert_int_equal(maintenance_init(&m, &c, NULL), 0);

    look(&m, &c, SAT_0000, out); /* the window is enough of a reason */
    assert_string_equal(out, "outside the maintenance window until Sat 02:00 UTC");
    assert_int_equal(fake_requests(f), 0);

    const int64_t now = SAT_0000 + 3 * HOUR;
    look(&m, &c, now, out);
    assert_string_equal(out, "");
    assert_int_equal(fake_requests(f), 1);
    for (int i = 0; i < 5; i++)
        maintenance_closed(&m, &c, false, now, out); /* within ten seconds */
    assert_int_equal(fake_requests(f), 1);

    reply.body = VECTOR(ALERT("NodeDown"));
    maintenance_closed(&m, &c, true, now, out);
    assert_string_equal(out, "");
    look(&m, &c, now, out);
    assert_string_equal(out, "alert NodeDown is firing");
    maintenance_closed(&m, &c, true, SAT_0000, out); /* --now ignores windows alone */
    assert_string_equal(out, "alert NodeDown is firing");
    reply.body = VECTOR(ALERT("A") "," ALERT("B") "," ALERT("C") "," ALERT("D"));
    look(&m, &c, now, out);
    assert_string_equal(out, "alerts A, B, C and 1 more are firing");

    say(&reply, (struct fake_reply){.status = 503, .body = "no"});
    look(&m, &c, now, out);
    assert_non_null(strstr(out, "the alerts cannot be asked: it answers HTTP 503"));
    say(&reply, (struct fake_reply){.status = 200, .body = VECTOR(""), .delay_ms = 2000});
    look(&m, &c, now, out);
    assert_non_null(strstr(out, "the alerts cannot be asked: "));
    say(&reply, (struct fake_reply){.status = 200, .body = VECTOR("")});
    look(&m, &c, now, out);
    assert_string_equal(out, "");
    fake_stop(f);
    look(&m, &c, now, out);
    assert_non_null(strstr(out, "the alerts cannot be asked: "));
    maintenance_clear(&m);
}

static void test_files_that_are_not_there(void **state)
{
    (void)state;
    struct config c = windows_alone();
    struct maintenance m;
    char out[CLUSTER_TEXT_MAX];
    static char url[] = "https://127.0.0.1:1", missing[] = "/nowhere/ca.pem";
    c.alert_url = url;
    c.alert_ca_file = missing;
    assert_int_equal(maintenance_init(&m, &c, NULL), 0);
    look(&m, &c, SAT_0000 + 3 * HOUR, out);
    assert_non_null(
        strstr(out, "the alerts cannot be asked: alert_gate: CA file /nowhere/ca.pem cannot be read"));
    maintenance_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_bad_zone),
        cmocka_unit_test(test_alerts),
        cmocka_unit_test(test_files_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
