/* Whose certificate lets in, and as whom. */
#include "house.h"

#include <poll.h>

/* What the client is told, which it learns of when it reads. */
static void refused_with(struct house *h, const char *cert, const char *ca, const char *told)
{
    char why[256] = "", got[8];
    struct tls_client_options o = {.dir = h->dir, .ca = ca, .cert = cert};
    struct tls_client *c = tls_client_open(house_port(h), &o, why);
    if (c && tls_client_read(c, got, sizeof(got), why) > 0)
        fail_msg("was let in");
    if (!strstr(why, told))
        fail_msg("wanted to be told \"%s\", was told: %s", told, why);
    tls_client_close(c);
    assert_int_equal(house_taken_count(h), 0);
}

static void noted(struct house *h, enum door_note_kind kind, const char *why)
{
    struct house_note n = house_note(h, kind);
    if (!strstr(n.why, why))
        fail_msg("wanted \"%s\", got: %s", why, n.why);
    assert_int_equal(strncmp(n.from, "127.0.0.1:", 10), 0);
    assert_string_equal(n.subject, ""); /* nobody's: it was not verified */
}

static void one_of_the_ca_is_let_in(void **state)
{
    struct house *h = *state;
    struct door_peer peer;
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "ci");
    int fd = house_taken(h, 0, &peer);
    assert_string_equal(tls_client_version(c), "TLSv1.3");
    assert_string_equal(tls_client_protocol(c), "h2");
    assert_int_equal(peer.kind, DOOR_TLS);
    assert_int_equal(strncmp(peer.from, "127.0.0.1:", 10), 0);
    assert_string_equal(peer.tls.subject, "O=team, CN=ci");
    assert_string_equal(peer.tls.common_name, "ci");
    assert_int_equal(peer.tls.groups_count, 1);
    assert_string_equal(peer.tls.groups[0], "team");
    house_check_both_ways(c, fd);
    assert_false(tls_client_has_ticket(c)); /* one would have come before the answer */
    tls_client_close(c);
}

static void another_protocol_is_not_agreed(void **state)
{
    struct house *h = *state;
    char why[256];
    house_open(h, (struct door_limits){0});
    struct tls_client_options o = {.dir = h->dir, .ca = "ca", .cert = "ci", .protocol = "http/1.1"};
    struct tls_client *c = tls_client_open(house_port(h), &o, why);
    assert_non_null(c);
    assert_string_equal(tls_client_protocol(c), "");
    house_check_both_ways(c, house_taken(h, 0, NULL));
    tls_client_close(c);
}

static void none_at_all(void **state)
{
    struct house *h = *state;
    house_open(h, (struct door_limits){0});
    refused_with(h, NULL, "ca", "certificate required");
    noted(h, DOOR_NOTE_CERTIFICATE, "it sent no certificate");
}

/* A client that goes on talking, as HTTP/2's do, is not reset before it could read why. */
static void the_reason_is_not_taken_away(void **state)
{
    struct house *h = *state;
    char why[256] = "", got[8];
    house_open(h, (struct door_limits){0});
    struct tls_client *c =
        tls_client_open(house_port(h), &(struct tls_client_options){.dir = h->dir, .ca = "ca"}, why);
    assert_non_null(c);
    house_note(h, DOOR_NOTE_CERTIFICATE);
    assert_int_equal(tls_client_write(c, "PRI", 3, why), 3);
    struct pollfd p = {.fd = tls_client_fd(c), .events = 0}; /* errors alone */
    assert_int_equal(poll(&p, 1, 500), 0);
    assert_int_equal(tls_client_read(c, got, sizeof(got), why), -1);
    assert_non_null(strstr(why, "certificate required"));
    tls_client_close(c);
}

static void of_another_ca(void **state)
{
    struct house *h = *state;
    tls_make_ca(h->dir, "other");
    tls_make(h->dir, "other", "stranger", &(struct tls_made){.subject = "O=team,CN=ci"});
    house_open(h, (struct door_limits){0});
    refused_with(h, "stranger", "ca", "unknown ca");
    noted(h, DOOR_NOTE_CERTIFICATE, "its certificate (O=team, CN=ci) is refused: unable to get local issuer");
}

static void ended_and_not_begun(void **state)
{
    struct house *h = *state;
    tls_make(h->dir, "ca", "old", &(struct tls_made){.subject = "CN=old", .from_s = -7200, .until_s = -60});
    tls_make(h->dir, "ca", "new", &(struct tls_made){.subject = "CN=new", .from_s = 3600, .until_s = 7200});
    house_open(h, (struct door_limits){0});
    refused_with(h, "old", "ca", "certificate expired");
    noted(h, DOOR_NOTE_CERTIFICATE, "its certificate (CN=old) is refused: certificate has expired");
    refused_with(h, "new", "ca", "bad certificate");
    house_noted(h, DOOR_NOTE_CERTIFICATE, 2);
    assert_non_null(
        strstr(h->notes[h->notes_count - 1].why, "(CN=new) is refused: certificate is not yet valid"));
}

static void a_servers_own_is_none_for_clients(void **state)
{
    struct house *h = *state;
    tls_make(h->dir, "ca", "web", &(struct tls_made){.subject = "CN=web", .usage = "serverAuth"});
    house_open(h, (struct door_limits){0});
    refused_with(h, "web", "ca", "certificate");
    noted(h, DOOR_NOTE_CERTIFICATE, "(CN=web) is refused: unsuitable certificate purpose");
}

static void a_name_with_a_nul(void **state)
{
    struct house *h = *state;
    tls_make(h->dir, "ca", "nul",
             &(struct tls_made){.subject = "O=team", .raw_name = "admin\0.evil", .raw_name_len = 11});
    house_open(h, (struct door_limits){0});
    refused_with(h, "nul", "ca", "");
    noted(h, DOOR_NOTE_CERTIFICATE, "a control character (0x00)");
}

static void tls_1_2(void **state)
{
    struct house *h = *state;
    char why[256] = "";
    house_open(h, (struct door_limits){0});
    struct tls_client_options o = {.dir = h->dir, .ca = "ca", .cert = "ci", .old = true};
    assert_null(tls_client_open(house_port(h), &o, why));
    assert_non_null(strstr(why, "protocol version"));
    noted(h, DOOR_NOTE_HANDSHAKE, "nothing newer than TLS 1.2");
}

static void a_client_that_does_not_trust_the_server(void **state)
{
    struct house *h = *state;
    char why[256] = "";
    tls_make_ca(h->dir, "other");
    house_open(h, (struct door_limits){0});
    struct tls_client_options o = {.dir = h->dir, .ca = "other", .cert = "ci"};
    assert_null(tls_client_open(house_port(h), &o, why));
    noted(h, DOOR_NOTE_CERTIFICATE, "it does not trust this server's certificate");
}

static void it_ends_while_connected(void **state)
{
    struct house *h = *state;
    char why[256] = "", got[8];
    tls_make(h->dir, "ca", "brief", &(struct tls_made){.subject = "CN=brief", .from_s = -60, .until_s = 2});
    house_open(h, (struct door_limits){0});
    struct tls_client *c = house_client(h, "brief");
    int fd = house_taken(h, 0, NULL), rc = 1;
    house_check_both_ways(c, fd);
    for (int i = 0; i < 100 && rc > 0; i++) { /* for 10 s: something is said every 100 ms */
        rc = tls_client_write(c, "?", 1, why);
        struct pollfd p = {.fd = tls_client_fd(c), .events = POLLIN};
        if (poll(&p, 1, 100) == 1)
            rc = tls_client_read(c, got, sizeof(got), why);
    }
    assert_true(rc <= 0);
    struct house_note n = house_note(h, DOOR_NOTE_EXPIRED);
    assert_string_equal(n.subject, "CN=brief");
    tls_client_close(c);
}

static void reads_changed_files(void **state)
{
    struct house *h = *state;
    char why[256] = "";
    house_open(h, (struct door_limits){0});
    struct tls_client *before = house_client(h, "ci");
    int fd = house_taken(h, 0, NULL);
    int64_t until_ms = door_certificate_until_ms(h->door);

    /* Another one of the server's alone: whoever is in stays. */
    tls_make(h->dir, "ca", "server", &(struct tls_made){.subject = "CN=server3", .sans = "IP:127.0.0.1"});
    door_reload(h->door);
    house_noted(h, DOOR_NOTE_RELOADED, 1);
    house_check_both_ways(before, fd);

    /* A CA that is nobody's: the set from before goes on. */
    assert_int_equal(truncate(h->ca, 0), 0);
    door_reload(h->door);
    struct house_note n = house_note(h, DOOR_NOTE_RELOAD);
    assert_non_null(strstr(n.why, "ca.crt: holds no certificate"));
    struct tls_client *c =
        tls_client_open(house_port(h), &(struct tls_client_options){.dir = h->dir, .cert = "ci"}, why);
    assert_non_null(c);
    house_taken(h, 1, NULL);
    tls_client_close(c);

    /* A new CA: whom the old one signed is out. */
    tls_make_ca(h->dir, "ca");
    tls_make(h->dir, "ca", "ci2", &(struct tls_made){.subject = "CN=ci2"});
    tls_make(
        h->dir, "ca", "server",
        &(struct tls_made){.subject = "CN=server2", .sans = "IP:127.0.0.1", .from_s = -5, .until_s = 99999});
    door_reload(h->door);
    house_noted(h, DOOR_NOTE_RELOADED, 2);
    assert_int_not_equal(door_certificate_until_ms(h->door), until_ms);
    c = house_client(h, "ci2");
    house_check_both_ways(c, house_taken(h, 2, NULL));
    tls_client_close(c);
    n = house_note(h, DOOR_NOTE_CERTIFICATE);
    assert_string_equal(n.subject, "O=team, CN=ci");
    assert_non_null(strstr(n.why, "of none of the clients' CAs any more"));
    assert_true(tls_client_read(before, why, sizeof(why), why) <= 0);
    tls_client_close(before);
}

static void looks_at_the_files_by_itself(void **state)
{
    struct house *h = *state;
    house_open(h, (struct door_limits){.reload_ms = 50});
    tls_make(h->dir, "ca", "server", &(struct tls_made){.subject = "CN=server2", .sans = "IP:127.0.0.1"});
    house_note(h, DOOR_NOTE_RELOADED);
    struct tls_client *c = house_client(h, "ci");
    house_check_both_ways(c, house_taken(h, 0, NULL));
    tls_client_close(c);
}

static int setup(void **state)
{
    *state = house_new();
    return 0;
}

static int teardown(void **state)
{
    house_free(*state);
    return 0;
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(one_of_the_ca_is_let_in),
        test(another_protocol_is_not_agreed),
        test(none_at_all),
        test(the_reason_is_not_taken_away),
        test(of_another_ca),
        test(ended_and_not_begun),
        test(a_servers_own_is_none_for_clients),
        test(a_name_with_a_nul),
        test(tls_1_2),
        test(a_client_that_does_not_trust_the_server),
        test(it_ends_while_connected),
        test(reads_changed_files),
        test(looks_at_the_files_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
