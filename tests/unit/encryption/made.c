/* What a server made of its config, against what it was asked for. */
#include "fixture.h"

#define A      KEY("aescbckey", KA)
#define B      KEY("aescbckey-2026-01-02T03:04:05Z", KB)
#define C      KEY("aescbckey-2026-05-06T07:08:09Z", KC)
#define B_D    KEY("aescbckey-2026-01-02T03:04:05Z", KD) /* the same name, another key */
#define A_D    KEY("aescbckey", KD)
#define K(k)   ONE(CBC(k) "," IDENTITY)
#define OFF(k) ONE(IDENTITY "," CBC(k))

struct made {
    const char *what, *call, *before, *after;
};

static int check(const struct made *m, struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *before = must_parse(m->before);
    _cleanup_(encryption_config_freep) struct encryption_config *after = must_parse(m->after);
    return encryption_check_made(before, after, secrets, m->call, err);
}

static void as_asked(void **state)
{
    (void)state;
    static const struct made rows[] = {
        {"the first new key", "prepare", K(A), K(A "," B)},
        {"a new key behind two", "prepare", K(B "," A), K(B "," A "," C)},
        {"the last key writes", "rotate", K(A "," B), K(B "," A)},
        {"the last of three writes", "rotate", K(B "," A "," C), K(C "," B "," A)},
        {"the old key goes", "reencrypt", K(B "," A), K(B)},
        {"the last of three goes", "reencrypt", K(C "," B "," A), K(C "," B)},
        {"plain text writes", "disable", K(A), OFF(A)},
        {"the key writes again", "enable", OFF(A), K(A)},
        {"a key of another provider", "prepare", K(A), ONE(CBC(A) "," BOX(B) "," IDENTITY)},
        {"that one writes", "rotate", ONE(CBC(A) "," BOX(B) "," IDENTITY),
         ONE(BOX(B) "," CBC(A) "," IDENTITY)},
        {"by secretbox", "prepare", ONE(BOX(A) "," IDENTITY), ONE(BOX(A "," B) "," IDENTITY)},
        {"secretbox, rotated", "rotate", ONE(BOX(A "," B) "," IDENTITY), ONE(BOX(B "," A) "," IDENTITY)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = ERROR_INIT;
        if (check(&rows[i], &err) < 0)
            fail_msg("%s: %s", rows[i].what, err.text);
    }
}

/* Layout is no difference, and the name of a key is the server's to choose. */
static void other_layout(void **state)
{
    (void)state;
    static const char yaml[] =
        "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n"
        "resources:\n- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n"
        "      - {name: aescbckey, secret: " KA "}\n      - {name: new, secret: " KB "}\n"
        "  - identity: {}\n";
    const struct made m = {"yaml", "prepare", K(A), yaml};
    struct error err = ERROR_INIT;
    if (check(&m, &err) < 0)
        fail_msg("%s", err.text);
}

static void something_else(void **state)
{
    (void)state;
    static const struct made rows[] = {
        /* prepare */
        {"nothing changed", "prepare", K(A), K(A)},
        {"two keys came", "prepare", K(A), K(A "," B "," C)},
        {"another key went", "prepare", K(A), K(B)},
        {"another of two went", "prepare", K(B "," A), K(B "," C)},
        {"the new key writes", "prepare", K(A), K(B "," A)},
        {"the order of the others changed", "prepare", K(B "," A), K(A "," B "," C)},
        {"a key's value changed", "prepare", K(A), K(A_D "," B)},
        {"plain text is not readable any more", "prepare", K(A), ONE(CBC(A "," B))},
        {"plain text writes", "prepare", K(A), OFF(A "," B)},
        {"another resource came", "prepare", K(A), TWO(CBC(A "," B) "," IDENTITY, CBC(A) "," IDENTITY)},
        /* rotate */
        {"nothing changed", "rotate", K(A "," B), K(A "," B)},
        {"the other key went", "rotate", K(A "," B), K(B)},
        {"the new key went", "rotate", K(A "," B), K(A)},
        {"another came", "rotate", K(A "," B), K(B "," A "," C)},
        {"the wrong one writes", "rotate", K(A "," B "," C), K(B "," A "," C)},
        {"the order of the others changed", "rotate", K(B "," A "," C), K(C "," A "," B)},
        {"the new key's value changed", "rotate", K(A "," B), K(B_D "," A)},
        {"the old key's value changed", "rotate", K(A "," B), K(B "," A_D)},
        {"plain text writes", "rotate", K(A "," B), OFF(B "," A)},
        /* reencrypt */
        {"nothing changed", "reencrypt", K(B "," A), K(B "," A)},
        {"the key that writes went", "reencrypt", K(B "," A), K(A)},
        {"two went", "reencrypt", K(C "," B "," A), K(C)},
        {"another one went", "reencrypt", K(C "," B "," A), K(C "," A)},
        {"the one that stays has another value", "reencrypt", K(B "," A), K(B_D)},
        {"one came for it", "reencrypt", K(B "," A), K(B "," C)},
        {"the only one", "reencrypt", K(A), K(A)},
        /* enable, disable */
        {"nothing changed", "disable", K(A), K(A)},
        {"the key went", "disable", K(A), ONE(IDENTITY)},
        {"another value", "disable", K(A), OFF(A_D)},
        {"nothing changed", "enable", OFF(A), OFF(A)},
        {"another key", "enable", OFF(A), K(B)},
        {"another order", "enable", OFF(A "," B), K(B "," A)},
        /* no such thing */
        {"an unknown call", "rotate-keys", K(A), K(A)},
        {"none", "", K(A), K(A)},
    };
    static const char *const values[] = {KA, KB, KC, KD};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = ERROR_INIT;
        if (check(&rows[i], &err) == 0)
            fail_msg("%s, %s: passed over", rows[i].call, rows[i].what);
        if (!strstr(err.text, "what the server made of its encryption config is not"))
            fail_msg("%s, %s: '%s'", rows[i].call, rows[i].what, err.text);
        for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++)
            if (strstr(err.text, values[k]))
                fail_msg("%s, %s: a key stands in the text", rows[i].call, rows[i].what);
    }
}

/* A resource that is not managed keeps its keys too. */
static void others_are_carried_over(void **state)
{
    (void)state;
    const struct made good = {"", "prepare", TWO(CBC(A) "," IDENTITY, CBC(C)),
                              TWO(CBC(A "," B) "," IDENTITY, CBC(C))};
    const struct made bad = {"", "prepare", TWO(CBC(A) "," IDENTITY, CBC(C)),
                             TWO(CBC(A "," B) "," IDENTITY, CBC(A))};
    struct error err = ERROR_INIT;
    if (check(&good, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(check(&bad, &err), ERR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_asked),
        cmocka_unit_test(other_layout),
        cmocka_unit_test(something_else),
        cmocka_unit_test(others_are_carried_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
