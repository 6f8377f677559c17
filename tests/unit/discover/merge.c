/* What etcd says, merged into what was found; and the text that comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <discover/discover.h>

static struct discover_facts *facts(enum discover_kind kind, const char *server, const char *advertise)
{
    struct discover_facts *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->kind = kind;
    f->port = 6443;
    f->etcd_on_servers = true;
    text_copy(f->cluster, sizeof(f->cluster), "kubernetes");
    text_copy(f->server, sizeof(f->server), server);
    text_copy(f->advertise, sizeof(f->advertise), advertise);
    text_copy(f->endpoints[f->endpoints_count++], DISCOVER_URL_MAX, "https://127.0.0.1:2379");
    return f;
}

/* "s1=10.0.0.1 s2=10.0.0.2" */
static void assert_servers(struct discover_facts *f, const char *own, const char *wanted)
{
    char text[2048] = "";
    for (size_t i = 0; i < f->servers_count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s=%s", i ? " " : "",
                 f->servers[i].name, f->servers[i].host);
    assert_string_equal(text, wanted);
    assert_string_equal(f->server, own);
    free(f);
}

static void k3s_members_are_its_servers(void **state)
{
    (void)state;
    static const struct discover_member members[] = {{"s10-0a1b2c3d", "https://10.0.0.3:2379"},
                                                     {"s2-deadbeef", "https://10.0.0.2:2379/"},
                                                     {"s1-01234567", "https://10.0.0.1:2379"}};
    struct discover_facts *f = facts(DISCOVER_K3S, "s2", "");
    discover_merge(f, members, 3, NULL, 0);
    assert_int_equal(f->endpoints_count, 4);
    assert_string_equal(f->endpoints[2], "https://10.0.0.2:2379");
    assert_servers(f, "s2", "s1=10.0.0.1 s2=10.0.0.2 s10=10.0.0.3");
}

static void kubeadm_keeps_member_names(void **state)
{
    (void)state;
    static const struct discover_member members[] = {{"cp-deadbeef", "https://10.0.0.1:2379"}};
    struct discover_facts *f = facts(DISCOVER_KUBEADM, "cp-deadbeef", "10.0.0.1");
    discover_merge(f, members, 1, NULL, 0);
    assert_servers(f, "cp-deadbeef", "cp-deadbeef=10.0.0.1");
}

/* API servers that are alive decide; members give them names. A member without one (split roles) is no
 * server; an API server without a member is named by its address. */
static void live_api_servers_decide(void **state)
{
    (void)state;
    static const struct discover_member members[] = {
        {"e1-00000001", "https://10.0.0.1:2379"}, {"s2-00000002", "https://10.0.0.2:2379"}, {"", ""}};
    static const char addresses[][64] = {"10.0.0.2", "10.0.0.7", "fd00::8", "127.0.0.1"};
    struct discover_facts *f = facts(DISCOVER_K3S, "s2", "");
    discover_merge(f, members, 3, addresses, 4);
    assert_servers(f, "s2", "10.0.0.7=10.0.0.7 fd00--8=fd00::8 s2=10.0.0.2");
}

/* External etcd: its members' names mean nothing. This server is found by its address. */
static void external_etcd(void **state)
{
    (void)state;
    static const struct discover_member members[] = {{"etcd-a", "https://10.1.0.1:2379"}};
    static const char addresses[][64] = {"10.0.0.2", "10.0.0.1"};
    struct discover_facts *f = facts(DISCOVER_SERVICE, "master", "");
    f->etcd_on_servers = false;
    f->locals_count = 1;
    text_copy(f->locals[0], sizeof(f->locals[0]), "10.0.0.1");
    discover_merge(f, members, 1, addresses, 2);
    assert_servers(f, "master", "10.0.0.2=10.0.0.2 master=10.0.0.1");
}

static void alone(void **state)
{
    (void)state;
    struct discover_facts *f = facts(DISCOVER_KUBEADM, "cp1", "10.0.0.9");
    discover_merge(f, NULL, 0, NULL, 0);
    assert_servers(f, "cp1", "cp1=10.0.0.9");
    f = facts(DISCOVER_SERVICE, "cp1", ""); /* where it is to be reached nobody knows */
    discover_merge(f, NULL, 0, NULL, 0);
    assert_servers(f, "cp1", "");
}

static void more_than_fit(void **state)
{
    (void)state;
    static char addresses[40][64];
    static struct discover_member members[16];
    for (int i = 0; i < 40; i++)
        snprintf(addresses[i], 64, "10.0.0.%d", i + 1);
    for (int i = 0; i < 16; i++)
        snprintf(members[i].url, sizeof(members[i].url), "https://10.0.0.%d:2379", i + 1);
    struct discover_facts *f = facts(DISCOVER_K3S, "s", "");
    discover_merge(f, members, 16, (const char(*)[64])addresses, 40);
    assert_int_equal(f->servers_count, CONFIG_SERVERS_MAX);
    assert_int_equal(f->endpoints_count, CONFIG_ENDPOINTS_MAX);
    free(f);
}

/* --- rendering --- */

static size_t render(const struct discover_facts *f, struct buf *out)
{
    size_t missing = 99;
    struct error err = ERROR_INIT;
    assert_int_equal(discover_render(f, "/etc/secrets-encrypt/token", out, &missing, &err), 0);
    return missing;
}

static void nothing_found_is_all_comments(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    struct discover_facts *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    text_copy(f->cluster, sizeof(f->cluster), "kubernetes");
    assert_int_equal(render(f, &out), 6);
    static const char *const wanted[] = {
        "# FILL IN server: ",     "# FILL IN servers: ", "# FILL IN state_store: ",
        "# FILL IN kubernetes: ", "# FILL IN driver: ",  "# FILL IN encryption_config: "};
    for (size_t i = 0; i < array_len(wanted); i++)
        assert_non_null(strstr(buf_str(&out), wanted[i]));
    struct config *c = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(config_parse(buf_str(&out), out.len, "x", CONFIG_FOR_CLI, &c, &err), ERR_INVALID);
    free(f);
}

/* Whatever stands in names and paths: it comes back as it was. */
static void odd_texts_are_quoted(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    static const struct discover_member members[] = {{"yes", "https://[fd00::1]:2379"}};
    struct discover_facts *f = facts(DISCOVER_KUBEADM, "yes", "fd00::1");
    text_copy(f->cluster, sizeof(f->cluster), "0x10");
    text_copy(f->etcd_ca, sizeof(f->etcd_ca), "/etc/a \"b\": #c\\d");
    text_copy(f->etcd_cert, sizeof(f->etcd_cert), "/c");
    text_copy(f->etcd_key, sizeof(f->etcd_key), "/k");
    text_copy(f->kube_ca, sizeof(f->kube_ca), "/ca");
    text_copy(f->kube_token, sizeof(f->kube_token), "/t");
    text_copy(f->encryption_config, sizeof(f->encryption_config), "/e");
    text_copy(f->driver, sizeof(f->driver), "static-pod");
    discover_merge(f, members, 1, NULL, 0);
    assert_int_equal(render(f, &out), 0);
    struct config *c = NULL;
    struct error err = ERROR_INIT;
    if (config_parse(buf_str(&out), out.len, "x", CONFIG_FOR_AGENT, &c, &err) < 0)
        fail_msg("%s\n%s", err.text, buf_str(&out));
    assert_string_equal(c->cluster, "0x10");
    assert_string_equal(c->servers[0].name, "yes");
    assert_string_equal(c->servers[0].api, "https://[fd00::1]:6443");
    assert_string_equal(c->state_store.ca_file, "/etc/a \"b\": #c\\d");
    assert_string_equal(c->state_store.endpoints[1], "https://[fd00::1]:2379");
    config_free(c);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(k3s_members_are_its_servers),
        cmocka_unit_test(kubeadm_keeps_member_names),
        cmocka_unit_test(live_api_servers_decide),
        cmocka_unit_test(external_etcd),
        cmocka_unit_test(alone),
        cmocka_unit_test(more_than_fit),
        cmocka_unit_test(nothing_found_is_all_comments),
        cmocka_unit_test(odd_texts_are_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
