/* A process with keys in use is aborted, and the core that the kernel writes is searched for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/file.h>
#include <base/secret_heap.h>
#include <crypto/crypto.h>
#include <elf.h>
#include <encryption/config.h>
#include <encryption/envelope.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KEYS 3
static const char *const kinds[KEYS] = {"aescbc", "aesgcm", "secretbox"};

/* Made at run time, and held as secrets are: so that the child's copies are what the search is about. */
static struct secret *raw[KEYS], *text[KEYS], *json, *yaml;
static char marker[33];
static char folder[] = "/tmp/se-core-XXXXXX";

static void add(struct secret *s, const char *part)
{
    assert_int_equal(secret_add(s, part, strlen(part), NULL), 0);
}

static int set_up(void **state)
{
    uint8_t random[16];
    (void)state;
    assert_true(crypto_guard_memory()); /* nothing of OpenSSL was used yet */
    assert_non_null(mkdtemp(folder));
    assert_int_equal(crypto_random(random, sizeof(random), NULL), 0);
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(marker + 2 * i, 3, "%02x", random[i]);
    json = secret_new(4096);
    yaml = secret_new(4096);
    add(json,
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":["
        "{\"resources\":[\"secrets\"],\"providers\":[");
    add(yaml, "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n"
              "- resources: [secrets]\n  providers:\n");
    for (size_t i = 0; i < KEYS; i++) {
        /* What begins in one of these ways may be a number to YAML: "0…", "9…", "+…". */
        static const unsigned char first[KEYS] = {52 << 2, 61 << 2, 62 << 2};
        assert_int_equal(crypto_random_secret(32, &raw[i], NULL), 0);
        raw[i]->data[0] = (unsigned char)(first[i] | (raw[i]->data[0] & 3));
        assert_int_equal(crypto_base64_encode(raw[i]->data, raw[i]->len, &text[i], NULL), 0);
        const char *parts[] = {i ? ",{\"" : "{\"", kinds[i], "\":{\"keys\":[{\"name\":\"k\",\"secret\":\"",
                               (char *)text[i]->data, "\"}]}}"};
        for (size_t p = 0; p < array_len(parts); p++)
            add(json, parts[p]);
        const char *lines[] = {"  - ", kinds[i],
                               ":\n      keys:\n      - name: k\n        secret: ", (char *)text[i]->data,
                               "\n"};
        for (size_t p = 0; p < array_len(lines); p++)
            add(yaml, lines[p]);
    }
    add(json, "]}]}");
    return 0;
}

static int tear_down(void **state)
{
    char path[64];
    (void)state;
    snprintf(path, sizeof(path), "%s/core", folder);
    unlink(path);
    rmdir(folder);
    for (size_t i = 0; i < KEYS; i++) {
        secret_free(raw[i]);
        secret_free(text[i]);
    }
    secret_free(json);
    secret_free(yaml);
    return 0;
}

/* Everything that the programs do with keys, and all of it still at work. */
static void use_keys(const struct secret *file)
{
    struct encryption_config *c = NULL, *edited = NULL;
    struct secret *emitted = NULL, *plain = NULL, *other = NULL;
    struct buf out = BUF_INIT(4096);
    char id[65];
    const char *names[] = {"secrets"};
    struct resource_set managed = {names, 1};
    if (encryption_config_parse(file->data, file->len, "it", &c, NULL) < 0 ||
        crypto_random_secret(32, &other, NULL) < 0 ||
        encryption_append_key(c, managed, PROVIDER_AESCBC, "next", other, &edited, NULL) < 0 ||
        encryption_config_emit(edited, &emitted, NULL) < 0 || encryption_config_id(edited, id, NULL) < 0)
        _exit(3);
    static const enum provider providers[KEYS] = {PROVIDER_AESCBC, PROVIDER_AESGCM, PROVIDER_SECRETBOX};
    struct envelope_codec *codec = NULL;
    if (envelope_codec_new(edited, "secrets", &codec, NULL) < 0)
        _exit(4);
    for (size_t i = 0; i < KEYS; i++) {
        buf_reset(&out);
        if (envelope_encrypt_with(edited, "secrets", providers[i], "k", "/registry/x", "plain", 5, &out,
                                  NULL) < 0 ||
            envelope_codec_decrypt(codec, "/registry/x", out.data, out.len, &plain, NULL) < 0)
            _exit(5);
    }
}

static void die(const struct secret *file, bool guarded, bool careless)
{
    struct rlimit core = {RLIM_INFINITY, RLIM_INFINITY};
    char *loose = malloc(1000);
    if (chdir(folder) < 0 || !loose)
        _exit(2);
    if (guarded)
        secret_guard_process();
    else if (setrlimit(RLIMIT_CORE, &core) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        _exit(2);
    snprintf(loose, 1000, "%s", marker);
    if (careless)
        memcpy(loose + 100, text[0]->data, text[0]->len);
    use_keys(file);
    (void)signal(SIGABRT, SIG_DFL);
    abort();
}

/* Aborts a child; *ret is the core's bytes, mapped, or NULL when none was written. */
static size_t core_of(const struct secret *file, bool guarded, bool careless, char **ret)
{
    char path[64];
    int status = 0;
    struct stat st;
    snprintf(path, sizeof(path), "%s/core", folder);
    unlink(path);
    pid_t pid = fork();
    if (pid == 0)
        die(file, guarded, careless);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (!WIFSIGNALED(status))
        fail_msg("the child ended with %d", WEXITSTATUS(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    *ret = NULL;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
        return 0;
    *ret = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(*ret, MAP_FAILED);
    return (size_t)st.st_size;
}

/* Where the memory begins. In front of it stand the registers, in whose widest ones the last copy of 32 bytes
 * may stand until the next; nothing can be kept out of those. */
static size_t memory_at(const char *core, size_t size)
{
    const Elf64_Ehdr *e = (const Elf64_Ehdr *)core;
    assert_true(size > sizeof(*e) && memcmp(e->e_ident, ELFMAG, SELFMAG) == 0);
    const Elf64_Phdr *p = (const Elf64_Phdr *)(core + e->e_phoff);
    for (size_t i = 0; i < e->e_phnum; i++)
        if (p[i].p_type == PT_LOAD)
            return p[i].p_offset;
    fail_msg("no memory in the core");
    return 0;
}

static size_t found(const char *core, size_t size)
{
    size_t hits = 0, at = memory_at(core, size);
    core += at;
    size -= at;
    for (size_t i = 0; i < KEYS; i++) {
        hits += memmem(core, size, raw[i]->data, 16) != NULL; /* halves, too: an AES-256 schedule begins so */
        hits += memmem(core, size, raw[i]->data + 16, 16) != NULL;
        hits += memmem(core, size, text[i]->data, 20) != NULL;
        hits += memmem(core, size, text[i]->data + 20, 20) != NULL;
    }
    return hits;
}

/* Cores go to the working folder as "core", and this program is not one in which blocks are plain memory. */
static void need_cores(void)
{
    char pattern[64] = "";
    FILE *f = fopen("/proc/sys/kernel/core_pattern", "re");
    if (f) {
        (void)!fgets(pattern, sizeof(pattern), f);
        fclose(f);
    }
    struct rlimit core;
    void *probe = NULL;
    {
        _secret_heap_;
        probe = secret_heap_alloc(1);
    }
    bool heap = probe != NULL;
    secret_heap_free(probe);
    if (strcmp(pattern, "core\n") != 0 || getrlimit(RLIMIT_CORE, &core) < 0 ||
        core.rlim_max != RLIM_INFINITY || !heap)
        skip();
}

static void no_key_in_a_core(void **state)
{
    (void)state;
    need_cores();
    const struct secret *files[] = {json, yaml};
    for (size_t i = 0; i < array_len(files); i++) {
        char *core = NULL;
        size_t size = core_of(files[i], false, false, &core);
        assert_non_null(core);
        assert_non_null(memmem(core, size, marker, 32)); /* it is the child's memory */
        assert_int_equal(found(core, size), 0);
        munmap(core, size);
    }
}

static void the_search_finds_a_key(void **state)
{
    char *core = NULL;
    (void)state;
    need_cores();
    size_t size = core_of(json, false, true, &core);
    assert_non_null(core);
    assert_true(found(core, size) > 0);
    munmap(core, size);
}

static void a_guarded_process_leaves_none(void **state)
{
    char *core = NULL;
    (void)state;
    assert_int_equal(core_of(json, true, true, &core), 0);
    assert_null(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_key_in_a_core),
        cmocka_unit_test(the_search_finds_a_key),
        cmocka_unit_test(a_guarded_process_leaves_none),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
