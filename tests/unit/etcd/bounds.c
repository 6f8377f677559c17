/* Key spaces of many shapes, cut into parts as the pager does: every key is in one part, and the parts are of
 * about a page. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bounds.h"

#define PREFIX   "/registry/secrets/"
#define KEYS_MAX 60000

static uint64_t seed;

static uint64_t draw(void) /* xorshift64 */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ---------- shapes: the i-th key behind the prefix; any order, doubles are left out ---------- */

static int decimal(char *out, int i)
{
    return snprintf(out, 300, "team-a/secret-%06d", i);
}

static int short_decimal(char *out, int i) /* 1, 10, 100, 1000 … in the order of texts */
{
    return snprintf(out, 300, "default/s%d", i);
}

static int uuids(char *out, int i)
{
    (void)i;
    return snprintf(out, 300, "prod/%08" PRIx64 "-%04x-%012" PRIx64, draw() & 0xffffffff,
                    (unsigned)(draw() & 0xffff), draw() & 0xffffffffffff);
}

static int helm(char *out, int i)
{
    static const char *apps[] = {"ingress-nginx", "a", "cert-manager", "kube-prometheus-stack", "argo", "z9"};
    return snprintf(out, 300, "team-%d/sh.helm.release.v1.%s-%d.v%d", i / 3000, apps[draw() % 6],
                    (int)(draw() % 40), i % 200);
}

static int one_a_namespace(char *out, int i)
{
    return snprintf(out, 300, "ns-%x/ca", (unsigned)(i * 2654435761u));
}

static int generated(char *out, int i) /* Kubernetes's own alphabet for generateName */
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    int n = snprintf(out, 300, "%s/default-token-",
                     i % 3 ? "kube-system" : "a-namespace-with-a-very-long-name-1");
    for (int k = 0; k < 5; k++)
        out[n++] = letters[draw() % (sizeof(letters) - 1)];
    return n;
}

static int uneven(char *out, int i) /* nine tenths under one name, the rest all over */
{
    return i % 10 ? snprintf(out, 300, "big/object-%d", i)
                  : snprintf(out, 300, "%c%c%c/x", 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 676 % 26);
}

static int bytes(char *out, int i) /* any byte but NUL, which a key of ours ends at */
{
    (void)i;
    int len = 1 + (int)(draw() % 12);
    for (int k = 0; k < len; k++)
        out[k] = (char)(1 + draw() % 255);
    return len;
}

static int long_names(char *out, int i) /* alike for longer than bounds look */
{
    memset(out, 'n', 200);
    return 200 + snprintf(out + 200, 300, "%05d", i);
}

static int few(char *out, int i)
{
    return snprintf(out, 300, "k%d", i % 7);
}

/* ---------- a key space ---------- */

static struct etcd_kv keys[KEYS_MAX];
static size_t keys_count;

static int compare(const void *a, const void *b)
{
    const struct etcd_kv *x = a, *y = b;
    size_t len = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key, y->key, len);
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static void forget(void)
{
    for (size_t i = 0; i < keys_count; i++)
        free(keys[i].key);
    keys_count = 0;
}

static void make(int (*shape)(char *, int), int count)
{
    char text[600];
    seed = 88172645463325252u;
    forget();
    for (int i = 0; i < count; i++) {
        size_t len = strlen(PREFIX) + (size_t)shape(text + strlen(PREFIX), i);
        memcpy(text, PREFIX, strlen(PREFIX));
        text[len] = 0;
        keys[i] = (struct etcd_kv){.key = strdup(text), .key_len = len};
        assert_non_null(keys[i].key);
    }
    keys_count = (size_t)count;
    qsort(keys, keys_count, sizeof(keys[0]), compare);
    size_t kept = 0;
    for (size_t i = 0; i < keys_count; i++)
        if (kept > 0 && compare(&keys[kept - 1], &keys[i]) == 0)
            free(keys[i].key);
        else
            keys[kept++] = keys[i];
    keys_count = kept;
}

/* The first key that is not smaller than the text. */
static size_t find(const char *text, size_t len)
{
    struct etcd_kv at = {.key = (char *)text, .key_len = len};
    size_t low = 0, high = keys_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (compare(&keys[mid], &at) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---------- reading it in parts ---------- */

struct reading {
    size_t requests, seen;
    double behind; /* keys that were there to the end of the part, of all requests: what etcd goes through */
};

/* Where the part ends that begins at a place, within a claim that ends at `to`. */
static size_t cut(const struct bounds *b, const char *from, size_t from_len, size_t to)
{
    char end[ETCD_KEY_MAX];
    size_t len = 0;
    size_t at = bounds_next(b, from, from_len, end, &len) ? find(end, len) : to;
    return at < to ? at : to;
}

/* One claim, in pages. Returns the key that the next one begins at. */
static size_t part(struct bounds *b, size_t from, size_t to, int64_t limit, bool gives_back,
                   struct reading *r)
{
    size_t at = from, until = to;
    do {
        struct span used = b->span;
        size_t count = until - at < (size_t)limit ? until - at : (size_t)limit;
        struct etcd_range page = {
            .kvs = &keys[at], .count = count, .more = at + count < until, .total = (int64_t)(until - at)};
        bounds_learn(b, &used, &page, limit);
        r->requests++;
        r->behind += (double)(until - at);
        r->seen += count;
        at += count;
        if (gives_back)
            return at; /* what follows is claimed again */
        if (at < to) {
            char behind[ETCD_KEY_MAX + 1];
            memcpy(behind, keys[at - 1].key, keys[at - 1].key_len + 1);
            until = cut(b, behind, keys[at - 1].key_len + 1, to);
            until = until > at ? until : to;
        }
    } while (at < to);
    return at;
}

/* `alone`: nobody claims what is behind a part before its page is there, so that it can be claimed anew. */
static struct reading read_all(int64_t limit, bool alone)
{
    struct bounds b;
    struct reading r = {0};
    char from[ETCD_KEY_MAX + 1] = PREFIX, end[ETCD_KEY_MAX];
    size_t from_len = strlen(PREFIX), at = 0;
    bounds_begin(&b, from_len);
    for (bool last = false; !last;) {
        size_t len = 0;
        last = !bounds_next(&b, from, from_len, end, &len);
        size_t to = last ? keys_count : find(end, len);
        if (!last) {
            assert_memory_equal(end, PREFIX, strlen(PREFIX));
            struct etcd_kv f = {.key = from, .key_len = from_len}, e = {.key = end, .key_len = len};
            assert_true(compare(&f, &e) < 0); /* always further */
        }
        assert_int_equal(at, find(from, from_len)); /* nothing between two parts */
        at = part(&b, at, to, limit, alone || last, &r);
        if (at < to) {
            last = false;
            from_len = keys[at - 1].key_len + 1;
            memcpy(from, keys[at - 1].key, from_len);
        } else if (!last) {
            from_len = len;
            memcpy(from, end, len);
        }
        assert_true(r.requests < 3 * KEYS_MAX);
    }
    return r;
}

static void parts_are_of_about_a_page(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*shape)(char *, int);
        int count;
        double requests; /* for each page that there is to read, at most */
        double behind;   /* for each key, while pages are a small part of all; 0: no limit */
    } cases[] = {
        {"decimal", decimal, KEYS_MAX, 1.6, 3},
        {"short decimal", short_decimal, KEYS_MAX, 2.0, 3},
        {"uuids", uuids, KEYS_MAX, 1.6, 4},
        {"helm", helm, KEYS_MAX, 4.0, 9},
        {"one a namespace", one_a_namespace, KEYS_MAX, 1.8, 4},
        {"generated", generated, KEYS_MAX, 1.8, 12},
        {"uneven", uneven, KEYS_MAX, 2.5, 4},
        {"bytes", bytes, KEYS_MAX, 2.5, 0},
        {"long names", long_names, KEYS_MAX, 2.5, 0},
        {"few", few, 7, 1, 0},
        {"one", few, 1, 1, 0},
        {"none", few, 0, 1, 0},
    };
    static const int64_t limits[] = {1, 100, 500, 4000, 100000};
    for (size_t i = 0; i < array_len(cases); i++)
        for (size_t l = 0; l < 2 * array_len(limits); l++) {
            int64_t limit = limits[l / 2];
            bool alone = l % 2 == 0;
            make(cases[i].shape, limit == 1 ? cases[i].count / 100 : cases[i].count);
            struct reading r = read_all(limit, alone);
            size_t pages = (keys_count + (size_t)limit - 1) / (size_t)limit;
            print_message("%s%s, pages of %" PRId64
                          ": %zu keys, %zu pages, %zu requests, %.1f times each key\n",
                          cases[i].name, alone ? ", alone" : "", limit, keys_count, pages, r.requests,
                          r.behind / (double)(keys_count + 1));
            assert_int_equal(r.seen, keys_count);
            if (limit > 1)
                assert_true((double)r.requests <= cases[i].requests * (double)pages + 30);
            if (alone && limit < 1000 && limit > 1 &&
                cases[i].behind > 0) /* pages alone: half of all, for each page */
                assert_true(r.behind <= cases[i].behind * (double)keys_count);
        }
    forget();
}

/* A bound stays behind the prefix also where the last keys' bytes are the largest there are. */
static void ends_with_the_prefix(void **state)
{
    (void)state;
    struct bounds b;
    char end[ETCD_KEY_MAX];
    size_t len;
    struct etcd_kv two[] = {{.key = (char *)PREFIX "\xfe", .key_len = strlen(PREFIX) + 1},
                            {.key = (char *)PREFIX "\xff", .key_len = strlen(PREFIX) + 1}};
    struct etcd_range page = {.kvs = two, .count = 2, .more = true, .total = 100};
    bounds_begin(&b, strlen(PREFIX));
    assert_false(bounds_next(&b, PREFIX, strlen(PREFIX), end, &len)); /* nothing is known yet */
    bounds_learn(&b, &b.span, &page, 2);
    assert_true(b.span.known);
    assert_false(bounds_next(&b, two[1].key, two[1].key_len, end, &len));
    /* a key longer than bounds look at, and one that ends before they do */
    char key[ETCD_KEY_MAX] = PREFIX;
    memset(key + strlen(PREFIX), 'k', 400);
    (void)bounds_next(&b, key, strlen(PREFIX) + 400, end, &len);
    (void)bounds_next(&b, PREFIX "\0", strlen(PREFIX) + 1, end, &len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_of_about_a_page),
        cmocka_unit_test(ends_with_the_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
