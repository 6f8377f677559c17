/* What a certificate's names come to: roles hang on them, so nothing is cut and nothing is guessed. */
#include "house.h"

static struct door_peer let_in(struct house *h, const struct tls_made *m)
{
    struct door_peer peer;
    size_t n = house_taken_count(h);
    tls_make(h->dir, "ca", "client", m);
    struct tls_client *c = house_client(h, "client");
    house_taken(h, n, &peer);
    tls_client_close(c);
    return peer;
}

static void refused(struct house *h, const struct tls_made *m, const char *expected)
{
    char why[256] = "", got[4];
    size_t n = house_taken_count(h);
    tls_make(h->dir, "ca", "client", m);
    struct tls_client *c = house_client(h, "client"); /* OpenSSL has no objection: this room has */
    assert_true(tls_client_read(c, got, sizeof(got), why) <= 0);
    tls_client_close(c);
    assert_int_equal(house_taken_count(h), n);
    struct house_note note = house_note(h, DOOR_NOTE_CERTIFICATE);
    if (!strstr(note.why, expected))
        fail_msg("wanted \"%s\", got: %s", expected, note.why);
    assert_string_equal(note.subject, "");
}

static void groups_are_o_and_ou(void **state)
{
    struct door_peer p =
        let_in(*state, &(struct tls_made){.subject = "C=DE,O=team,OU=night shift,O=Grüße,CN=a b"});
    assert_string_equal(p.tls.subject, "C=DE, O=team, OU=night shift, O=Grüße, CN=a b");
    assert_string_equal(p.tls.common_name, "a b");
    assert_int_equal(p.tls.groups_count, 3);
    assert_string_equal(p.tls.groups[0], "team");
    assert_string_equal(p.tls.groups[1], "night shift");
    assert_string_equal(p.tls.groups[2], "Grüße");
}

static void alternative_names_of_all_kinds(void **state)
{
    struct door_peer p = let_in(
        *state,
        &(struct tls_made){.subject = "CN=x",
                           .sans = "DNS:ci.example,URI:spiffe://a/b,email:a@b.example,IP:10.0.0.7,IP:fd00::7,"
                                   "RID:1.2.3.4"});
    static const char *const expected[] = {"dns:ci.example", "uri:spiffe://a/b", "email:a@b.example",
                                           "ip:10.0.0.7", "ip:fd00::7"};
    assert_int_equal(p.tls.sans_count, array_len(expected));
    for (size_t i = 0; i < array_len(expected); i++)
        assert_string_equal(p.tls.sans[i], expected[i]);
}

static void without_a_subject(void **state)
{
    struct door_peer p = let_in(*state, &(struct tls_made){.subject = "", .sans = "URI:spiffe://a/b"});
    assert_string_equal(p.tls.subject, "");
    assert_string_equal(p.tls.common_name, "");
    assert_int_equal(p.tls.groups_count, 0);
    assert_int_equal(p.tls.sans_count, 1);
}

/* A value cannot pass for two parts of a subject: no certificate looks like another. */
static void a_value_with_a_comma_is_quoted(void **state)
{
    struct door_peer p = let_in(
        *state, &(struct tls_made){.subject = "O=team", .raw_name = "ci, O=admins", .raw_name_len = 12});
    assert_string_equal(p.tls.subject, "O=team, CN=\"ci, O=admins\"");
    assert_int_equal(p.tls.groups_count, 1);
}

static void nuls_and_controls(void **state)
{
    refused(*state, &(struct tls_made){.subject = "O=team", .raw_name = "a\0b", .raw_name_len = 3},
            "a control character (0x00)");
}

static void a_line_break(void **state)
{
    refused(*state, &(struct tls_made){.subject = "O=team", .raw_name = "a\nb", .raw_name_len = 3},
            "a control character (0x0a)");
}

static void a_nul_in_an_alternative_name(void **state)
{
    refused(*state, &(struct tls_made){.subject = "CN=x", .raw_dns = "ci.example\0.evil", .raw_dns_len = 16},
            "a control character (0x00)");
}

static void an_alternative_name_that_is_no_text(void **state)
{
    refused(*state, &(struct tls_made){.subject = "CN=x", .raw_dns = "\xff\xfe", .raw_dns_len = 2},
            "not UTF-8");
}

static void an_empty_alternative_name(void **state)
{
    refused(*state, &(struct tls_made){.subject = "CN=x", .raw_dns = "", .raw_dns_len = 0}, "has 0 bytes");
}

static void a_long_alternative_name(void **state)
{
    char name[TLS_SAN_MAX];
    memset(name, 'a', sizeof(name));
    refused(*state, &(struct tls_made){.subject = "CN=x", .raw_dns = name, .raw_dns_len = TLS_SAN_MAX - 4},
            "has 252 bytes; 1 to 251 are allowed");
}

static void two_common_names(void **state)
{
    refused(*state, &(struct tls_made){.subject = "CN=viewer,CN=admin"}, "two common names");
}

static void a_long_subject(void **state)
{
    static char subject[1024];
    int len = 0;
    for (int i = 0; i < 6; i++)
        len += snprintf(subject + len, sizeof(subject) - (size_t)len, "%sO=%060d", i ? "," : "", i);
    refused(*state, &(struct tls_made){.subject = subject}, "subject is longer than 255 bytes");
}

static void seventeen_groups(void **state)
{
    refused(
        *state,
        &(struct tls_made){.subject = "O=1,O=2,O=3,O=4,O=5,O=6,O=7,O=8,O=9,O=a,O=b,O=c,O=d,O=e,O=f,O=g,OU=h"},
        "more than 16 groups");
}

static void thirty_three_names(void **state)
{
    char sans[1024];
    int len = 0;
    for (int i = 0; i < 33; i++)
        len += snprintf(sans + len, sizeof(sans) - (size_t)len, "%sDNS:a%d", i ? "," : "", i);
    refused(*state, &(struct tls_made){.subject = "CN=x", .sans = sans}, "more than 32 alternative names");
}

static int setup(void **state)
{
    struct house *h = house_new();
    house_open(h, (struct door_limits){0});
    *state = h;
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
        test(groups_are_o_and_ou),
        test(alternative_names_of_all_kinds),
        test(without_a_subject),
        test(a_value_with_a_comma_is_quoted),
        test(nuls_and_controls),
        test(a_line_break),
        test(a_nul_in_an_alternative_name),
        test(an_alternative_name_that_is_no_text),
        test(an_empty_alternative_name),
        test(a_long_alternative_name),
        test(two_common_names),
        test(a_long_subject),
        test(seventeen_groups),
        test(thirty_three_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
