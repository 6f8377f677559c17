/* Between the files of this room. */
#ifndef DISCOVER_INTERNAL_H
#define DISCOVER_INTERNAL_H

#include <discover/discover.h>
#include <json/json.h>

#define FILE_MAX (1024 * 1024)

struct finder {
    const struct discover_options *o;
    struct discover_facts *f;
};

/* --- read.c: files under the root --- */
bool found_path(const struct finder *d, const char *path, char out[PATH_MAX]); /* false: too long */
bool found_file(const struct finder *d, const char *path);                     /* there is something */
/* NULL where it is not there; what cannot be read or parsed becomes a note. Caller frees. */
struct json *found_yaml(const struct finder *d, const char *path);
struct secret *found_secret(const struct finder *d, const char *path, size_t max);
void note(struct discover_facts *f, const char *format, ...) _printf_(2, 3);
/* The code point of a well-formed sequence of UTF-8 that JSON lets stand in a string, and YAML nowhere (DEL,
 * U+0080 to U+009F, U+FEFF, U+FFFE, U+FFFF), or that is a line break to some readers of it; 0 for others. */
unsigned odd_character(const unsigned char *p, size_t len);
/* What no line of a YAML file can hold (these, control characters, bytes that are no UTF-8) becomes '?'. */
void make_line(char *text);
/* Takes the text over when it fits, is absolute, and can be written into a configuration (UTF-8). */
bool keep_path(char out[DISCOVER_PATH_MAX], const char *path);

/* --- flags.c: a kube-apiserver's arguments --- */
enum api_flag {
    FLAG_CONFIG,
    FLAG_RELOAD,
    FLAG_ETCD_SERVERS,
    FLAG_ETCD_CA,
    FLAG_ETCD_CERT,
    FLAG_ETCD_KEY,
    FLAG_ETCD_PREFIX,
    FLAG_ADVERTISE,
    FLAG_BIND,
    FLAG_PORT,
    FLAG_QUOTA, /* of etcd */
    FLAGS_COUNT
};
struct api_flags {
    char values[FLAGS_COUNT][2 * PATH_MAX]; /* "" : not given; "true" where it has no value */
    int wants;                              /* the flag whose value is the next argument; -1: none */
};
void flags_begin(struct api_flags *a);
void flags_take(struct api_flags *a, const char *argument);
/* Into the facts: all but the paths, which may be a container's. */
void flags_use(const struct api_flags *a, struct discover_facts *f);
/* "https://a:2379,https://b:2379" */
void use_endpoints(struct discover_facts *f, const char *list);

/* --- the platforms: true when it is that one --- */
bool find_k3s(struct finder *d, enum discover_kind kind);
bool find_kubeadm(struct finder *d);
bool find_service(struct finder *d);

/* --- kubeconfig.c, resources.c --- */
/* The login of a kubeconfig's current context; false when it has none. */
bool use_kubeconfig(struct finder *d, const char *path);
/* The resources that the encryption config encrypts. */
void use_resources(struct finder *d);

#endif
