/* The editor of a static pod's manifest: what comes out, byte for byte, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <agent/manifest.h>
#include <base/file.h>

#define CONFIG "/etc/kubernetes/enc/config.json"
#define TIME   "2026-11-27T21:00:00.000Z"

static int edit(const char *text, size_t len, const char *config, struct buf *out, bool *added,
                struct error *err)
{
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    int rc = manifest_parse(text, len, "the manifest", &m, err);
    return rc < 0 ? rc : manifest_edit(m, config, TIME, out, added, err);
}

static void must_edit(const char *before, size_t len, const char *after, bool adds)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(MANIFEST_MAX), again = BUF_INIT(MANIFEST_MAX);
    struct error err = ERROR_INIT;
    bool added = !adds;
    if (edit(before, len, CONFIG, &out, &added, &err) < 0)
        fail_msg("%s\n%s", before, err.text);
    assert_string_equal(buf_str(&out), after);
    assert_int_equal(added, adds);
    /* What stands there is not added again. */
    assert_int_equal(edit(buf_str(&out), out.len, CONFIG, &again, &added, &err), 0);
    assert_string_equal(buf_str(&again), after);
    assert_false(added);
}

static void must_refuse_at(const char *text, const char *config, int code, const char *why)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(MANIFEST_MAX);
    struct error err = ERROR_INIT;
    bool added = false;
    int rc = edit(text, strlen(text), config, &out, &added, &err);
    if (rc != code || !strstr(err.text, why))
        fail_msg("%s\nrc %d, '%s', and not '%s'", text, rc, err.text, why);
    assert_int_equal(out.len, 0);
}

static void must_refuse(const char *text, int code, const char *why)
{
    must_refuse_at(text, CONFIG, code, why);
}

static void as_kubeadm_writes_it(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf before = BUF_INIT(MANIFEST_MAX), after = BUF_INIT(MANIFEST_MAX);
    const char *folder = TEST_SOURCE_DIR "/unit/agent/manifests/";
    char path[4096];
    snprintf(path, sizeof(path), "%skubeadm.yaml", folder);
    assert_int_equal(file_read(path, MANIFEST_MAX, &before, NULL), 0);
    snprintf(path, sizeof(path), "%skubeadm.encrypted.yaml", folder);
    assert_int_equal(file_read(path, MANIFEST_MAX, &after, NULL), 0);
    must_edit(before.data, before.len, after.data, true);
}

#define HEAD    "apiVersion: v1\nkind: Pod\n"
#define FLAG    "--encryption-provider-config=" CONFIG
#define STAMP   "secrets-encrypt.io/restarted-at: \"" TIME "\"\n"
#define J_STAMP "\"secrets-encrypt.io/restarted-at\":\"" TIME "\""
#define MOUNTED "    volumeMounts:\n    - {name: enc, mountPath: /etc/kubernetes/enc, readOnly: true}\n"
#define VOLUME  "  volumes:\n  - name: enc\n    hostPath: {path: /etc/kubernetes/enc}\n"
#define NAMED   "metadata:\n  name: kube-apiserver\n"
#define J_MOUNT                                                                                              \
    "{\"mountPath\":\"/etc/kubernetes/enc\",\"name\":\"secrets-encrypt-config\",\"readOnly\":true}"
#define J_VOLUME                                                                                             \
    "{\"hostPath\":{\"path\":\"/etc/kubernetes/enc\",\"type\":\"DirectoryOrCreate\"},"                       \
    "\"name\":\"secrets-encrypt-config\"}"

static const struct {
    const char *before, *after;
    bool adds;
} edits[] = {
    /* Nothing but the annotation: made, added to others, changed. */
    {HEAD NAMED "spec:\n  containers:\n  - name: a\n    command:\n    - kube-apiserver\n    - " FLAG
                "\n" MOUNTED VOLUME,
     HEAD NAMED "  annotations:\n    " STAMP
                "spec:\n  containers:\n  - name: a\n    command:\n    - kube-apiserver\n    - " FLAG
                "\n" MOUNTED VOLUME,
     false},
    {HEAD "metadata:\n    annotations: # of mine\n        a: b   # why\n\n# end\nspec:\n  containers:\n  - "
          "command: "
          "[kube-apiserver, " FLAG "]\n" MOUNTED VOLUME,
     HEAD "metadata:\n    annotations: # of mine\n        a: b   # why\n        " STAMP
          "\n# end\nspec:\n  containers:\n  - command: [kube-apiserver, " FLAG "]\n" MOUNTED VOLUME,
     false},
    {HEAD "metadata:\n  annotations: {secrets-encrypt.io/restarted-at: 'once', x: y}\nspec:\n  containers:\n "
          " - command: "
          "[kube-apiserver, --encryption-provider-config, \"" CONFIG "\"]\n" MOUNTED VOLUME,
     HEAD
     "metadata:\n  annotations: {secrets-encrypt.io/restarted-at: \"" TIME
     "\", x: y}\nspec:\n  containers:\n  - command: [kube-apiserver, --encryption-provider-config, \"" CONFIG
     "\"]\n" MOUNTED VOLUME,
     false},
    /* A block scalar ends who knows where: something goes before it. */
    {HEAD "metadata:\n  annotations:\n    a: |\n      long\n\n  name: n\nspec:\n  containers:\n  - command: "
          "[kube-apiserver, "
          "" FLAG "]\n" MOUNTED VOLUME,
     HEAD "metadata:\n  annotations:\n    " STAMP
          "    a: |\n      long\n\n  name: n\nspec:\n  containers:\n  - command: [kube-apiserver, " FLAG
          "]\n" MOUNTED VOLUME,
     false},
    /* A path under another name in the container, and a file mounted alone, are fine. */
    {HEAD "metadata: {annotations: {}}\nspec:\n  containers:\n  - command: [kube-apiserver, "
          "--encryption-provider-config=/enc/config.json]\n    volumeMounts:\n    - {name: enc, mountPath: "
          "/enc/}\n" VOLUME,
     HEAD "metadata: {annotations: {" J_STAMP "}}\nspec:\n  containers:\n  - command: [kube-apiserver, "
          "--encryption-provider-config=/enc/config.json]\n    volumeMounts:\n    - {name: enc, mountPath: "
          "/enc/}\n" VOLUME,
     false},
    {HEAD "metadata: {annotations: {}}\nspec:\n  containers:\n  - command: [kube-apiserver, " FLAG
          "]\n    volumeMounts:\n    - {name: enc, mountPath: " CONFIG
          "}\n  volumes:\n  - name: enc\n    hostPath: {path: " CONFIG ", type: File}\n",
     HEAD "metadata: {annotations: {" J_STAMP "}}\nspec:\n  containers:\n  - command: [kube-apiserver, " FLAG
          "]\n    volumeMounts:\n    - {name: enc, mountPath: " CONFIG
          "}\n  volumes:\n  - name: enc\n    hostPath: {path: " CONFIG ", type: File}\n",
     false},
    /* The mount is there, the flag is not; with args; no newline at the end. */
    {HEAD NAMED "spec:\n  containers:\n  - args:\n      - --a=1\n      - \"--b\" # last\n    command: "
                "[kube-apiserver]\n" MOUNTED
                "  volumes:\n  - name: enc\n    hostPath: {path: /etc/kubernetes/enc}",
     HEAD NAMED "  annotations:\n    " STAMP
                "spec:\n  containers:\n  - args:\n      - --a=1\n      - \"--b\" # last\n      - " FLAG
                "\n    command: [kube-apiserver]\n" MOUNTED
                "  volumes:\n  - name: enc\n    hostPath: {path: /etc/kubernetes/enc}",
     true},
    /* Everything is missing, and three changes fall on one place. */
    {HEAD NAMED "spec:\n  containers:\n  - name: kube-apiserver\n    args: [\"--x\",\"y\"]",
     HEAD NAMED
     "  annotations:\n    " STAMP
     "spec:\n  containers:\n  - name: kube-apiserver\n    args: [\"--x\",\"y\", \"" FLAG
     "\"]\n    volumeMounts:\n      - mountPath: /etc/kubernetes/enc\n        name: secrets-encrypt-config\n"
     "        readOnly: true\n  volumes:\n    - hostPath:\n        path: /etc/kubernetes/enc\n"
     "        type: DirectoryOrCreate\n      name: secrets-encrypt-config",
     true},
    /* Keys without values. */
    {HEAD "metadata:\n  annotations:\n  name: n\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n  "
          "  volumeMounts:   # "
          "none\n  volumes:\n",
     HEAD "metadata:\n  annotations:\n    " STAMP
          "  name: n\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    - " FLAG
          "\n    volumeMounts:   # none\n      - mountPath: /etc/kubernetes/enc\n        name: "
          "secrets-encrypt-config\n"
          "        readOnly: true\n  volumes:\n    - hostPath:\n        path: /etc/kubernetes/enc\n"
          "        type: DirectoryOrCreate\n      name: secrets-encrypt-config\n",
     true},
    /* The volume's name is taken; another container is left alone; characters of several bytes. */
    {HEAD "metadata:\n  name: n\n  annotations: {ä: 'ö€😀'}\nspec:\n  containers:\n  - name: other\n    "
          "command: [sleep]\n"
          "  - command:\n    - /usr/bin/kube-apiserver\n    name: x # ü\n    volumeMounts: []\n  volumes: "
          "[{\"name\": \"secrets-encrypt-config\", emptyDir: {}}] # ß\n",
     HEAD
     "metadata:\n  name: n\n  annotations: {ä: 'ö€😀', " J_STAMP
     "}\nspec:\n  containers:\n  - name: other\n    command: [sleep]\n  - command:\n    - "
     "/usr/bin/kube-apiserver\n    - " FLAG
     "\n    name: x # ü\n    volumeMounts: [{\"mountPath\":\"/etc/kubernetes/enc\",\"name\":"
     "\"secrets-encrypt-config-2\",\"readOnly\":true}]\n  volumes: [{\"name\": \"secrets-encrypt-config\", "
     "emptyDir: {}}, {\"hostPath\":{\"path\":\"/etc/kubernetes/enc\",\"type\":\"DirectoryOrCreate\"},"
     "\"name\":\"secrets-encrypt-config-2\"}] # ß\n",
     true},
    /* JSON. */
    {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"n\"},\"spec\":{\"containers\":[{"
     "\"name\":\"a\","
     "\"command\":[\"kube-apiserver\"]}]}}",
     "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"n\", \"annotations\":{" J_STAMP
     "}},\"spec\":{\"containers\":[{\"name\":\"a\",\"command\":[\"kube-apiserver\", \"" FLAG
     "\"], \"volumeMounts\":[" J_MOUNT "]}], \"volumes\":[" J_VOLUME "]}}",
     true},
    {"{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"metadata\": {\n\t\t\"annotations\": "
     "{}\n\t},\n\t\"spec\": {\n\t\t"
     "\"containers\": [ { \"command\": [ \"kube-apiserver\" ], \"volumeMounts\": null } ]\n\t}\n}\n",
     NULL, true},
};

static void before_and_after(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(edits); i++)
        if (edits[i].after)
            must_edit(edits[i].before, strlen(edits[i].before), edits[i].after, edits[i].adds);
        else /* a null that is spelled out is somebody's decision */
            must_refuse(edits[i].before, ERR_UNSUPPORTED, "volumeMounts: neither a list");
}

/* Windows' line ends, in what is added as well. */
static void carriage_returns(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf before = BUF_INIT(MANIFEST_MAX), after = BUF_INIT(MANIFEST_MAX);
    for (int k = 0; k < 2; k++) {
        struct buf *b = k ? &after : &before;
        for (const char *p = k ? edits[8].after : edits[8].before; *p; p++)
            assert_int_equal(buf_add(b, *p == '\n' ? "\r\n" : p, *p == '\n' ? 2 : 1, NULL), 0);
    }
    must_edit(before.data, before.len, after.data, true);
}

static void the_annotation_alone(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(MANIFEST_MAX);
    struct error err = ERROR_INIT;
    bool added = true;
    const char *rest = "spec:\n  containers:\n  - command: [kube-apiserver]\n";
    char text[1024], due[1024];
    snprintf(text, sizeof(text), HEAD NAMED "%s", rest);
    snprintf(due, sizeof(due), HEAD NAMED "  annotations:\n    " STAMP "%s", rest);
    assert_int_equal(edit(text, strlen(text), NULL, &out, &added, &err), 0);
    assert_string_equal(buf_str(&out), due);
    assert_false(added);
}

#define POD(container) HEAD NAMED "spec:\n  containers:\n  - " container "\n"

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *why;
    } rows[] = {
        {"", ERR_UNSUPPORTED, "the manifest: not a Pod"},
        {"kind: Pod\nmetadata: {}\nspec: {}\n", ERR_UNSUPPORTED, "not a Pod of apiVersion v1"},
        {"apiVersion: v1\nkind: ConfigMap\n", ERR_UNSUPPORTED, "not a Pod"},
        {"apiVersion: v1\nkind: Pod\nspec: {}\n", ERR_UNSUPPORTED, "without metadata"},
        {HEAD NAMED "spec:\n  containers: []\n", ERR_UNSUPPORTED, "no container runs kube-apiserver"},
        {POD("command: [etcd]\n    name: etcd"), ERR_UNSUPPORTED, "no container runs kube-apiserver"},
        {POD("command: [kube-apiserver]\n  - name: kube-apiserver"), ERR_UNSUPPORTED, "several containers"},
        {POD("name: kube-apiserver\n    command: [/bin/sh, -c, kube-apiserver --x]"), ERR_UNSUPPORTED,
         "starts it through '/bin/sh'"},
        {POD("name: kube-apiserver"), ERR_UNSUPPORTED, "neither command nor args"},
        {POD("command: [kube-apiserver, 7]"), ERR_UNSUPPORTED, "command holds something that is no string"},
        {POD("command: kube-apiserver\n    name: kube-apiserver"), ERR_UNSUPPORTED, "command is not a list"},
        {POD("command: [kube-apiserver]") "---\na: b\n", ERR_INVALID, "more than one document"},
        {POD("command: &c [kube-apiserver]"), ERR_INVALID, "anchors and aliases are not supported"},
        {POD("command: [kube-apiserver]\n    volumeMounts: *c"), ERR_INVALID, ""},
        {POD("command: [kube-apiserver]\n    command: [kube-apiserver]"), ERR_INVALID, "one key twice"},
        {POD("command: [kube-apiserver"), ERR_INVALID, "not valid YAML at line"},
        {HEAD "metadata:\n  uid: abc\nspec:\n  containers:\n  - command: [kube-apiserver]\n", ERR_UNSUPPORTED,
         "metadata.uid is set"},
        {POD("command: [kube-apiserver, --encryption-provider-config=/x/y]\n" MOUNTED) VOLUME, ERR_CONFLICT,
         "--encryption-provider-config=/x/y is mounted from nowhere on this machine, but encryption_config "
         "is " CONFIG},
        {POD("command: [kube-apiserver, --encryption-provider-config=/etc/kubernetes/enc/other]\n" MOUNTED)
             VOLUME,
         ERR_CONFLICT, "/etc/kubernetes/enc/other is /etc/kubernetes/enc/other on this machine"},
        {POD("command: [kube-apiserver, " FLAG
             "]\n    volumeMounts: [{name: enc, mountPath: /etc/kubernetes}]") VOLUME,
         ERR_CONFLICT, "is /etc/kubernetes/enc/enc/config.json on this machine"},
        {POD("command: [kube-apiserver]\n    volumeMounts: [{name: e, mountPath: /etc/kubernetes}]") "  "
                                                                                                     "volumes"
                                                                                                     ": "
                                                                                                     "[{name:"
                                                                                                     " e, "
                                                                                                     "emptyDi"
                                                                                                     "r: "
                                                                                                     "{}}]\n",
         ERR_UNSUPPORTED, "volume 'e', which is no folder of this machine"},
        {POD("command: [kube-apiserver, " FLAG ", " FLAG "]"), ERR_UNSUPPORTED, "stands there twice"},
        {POD("command: [kube-apiserver, --encryption-provider-config]"), ERR_UNSUPPORTED, "has no value"},
        {POD("command:\n    - kube-apiserver\n    - |\n      --x"), ERR_UNSUPPORTED,
         "ends with a block scalar"},
        {POD("command: [kube-apiserver]\n    volumeMounts: {}"), ERR_UNSUPPORTED,
         "volumeMounts: neither a list"},
    };
    for (size_t i = 0; i < array_len(rows); i++)
        must_refuse(rows[i].text, rows[i].code, rows[i].why);
    static const char *const paths[] = {"config.json", "/config.json", "/etc/enc/", "/etc//enc/c",
                                        "/a/../b/c",   "/etc/$(X)/c",  "/etc/a:b/c"};
    for (size_t i = 0; i < array_len(paths); i++)
        must_refuse_at(POD("command: [kube-apiserver]"), paths[i], ERR_INVALID, "encryption_config: ");
}

/* A path that YAML would read as something else is quoted. */
static void paths_in_quotes(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(MANIFEST_MAX);
    struct error err = ERROR_INIT;
    bool added = false;
    const char *text = POD("command:\n    - kube-apiserver");
    assert_int_equal(edit(text, strlen(text), "/srv/a #b/c \"d\"", &out, &added, &err), 0);
    assert_non_null(strstr(buf_str(&out), "    - \"--encryption-provider-config=/srv/a #b/c \\\"d\\\"\"\n"));
    assert_non_null(strstr(buf_str(&out), "mountPath: \"/srv/a #b\"\n"));
}

static void argument_lists(void **state)
{
    (void)state;
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    _cleanup_(buf_freep) struct buf words = BUF_INIT(1000);
    const char *text = POD("command: [kube-apiserver, --a]\n    args: ['--b', c d]");
    assert_int_equal(manifest_parse(text, strlen(text), "m", &m, NULL), 0);
    assert_false(manifest_encrypts(m));
    assert_int_equal(manifest_arguments(m, &words, NULL), 0);
    assert_int_equal(words.len, sizeof("kube-apiserver\0--a\0--b\0c d"));
    assert_memory_equal(words.data, "kube-apiserver\0--a\0--b\0c d", words.len);
    manifest_free(m);
    m = NULL;
    text = POD("command: [kube-apiserver, --encryption-provider-config-automatic-reload=true]");
    assert_int_equal(manifest_parse(text, strlen(text), "m", &m, NULL), 0);
    assert_false(manifest_encrypts(m));
    manifest_free(m);
    m = NULL;
    text = POD("command: [kube-apiserver]\n    args: [--encryption-provider-config, /x]");
    assert_int_equal(manifest_parse(text, strlen(text), "m", &m, NULL), 0);
    assert_true(manifest_encrypts(m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_kubeadm_writes_it),
        cmocka_unit_test(before_and_after),
        cmocka_unit_test(carriage_returns),
        cmocka_unit_test(the_annotation_alone),
        cmocka_unit_test(refusals),
        cmocka_unit_test(paths_in_quotes),
        cmocka_unit_test(argument_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
