/* A real etcd and real kube-apiservers on loopback, for tests: free ports, a temp folder of their own, keys
 * and certificates made on the spot. All ends with the fixture, and with the test's process at the latest.
 *
 * Functions that return false or NULL have said why on stderr. */
#ifndef TESTS_APISERVER_FIXTURE_H
#define TESTS_APISERVER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <base/buf.h>
#include <kube/kube.h>

#define APIFIX_SERVERS 3

struct apifix;

/* Makes folder and certificates and starts etcd. The kube-apiserver is $KUBE_APISERVER, or the one that
 * deploy/lab/get-kube-apiserver.sh builds; NULL with a clear text when there is none. */
struct apifix *apifix_new(void);
void apifix_free(struct apifix *f);

/* Starts server i (0 to APIFIX_SERVERS - 1) with this encryption config (NULL: none) and waits until it is
 * ready; each server keeps its port. */
bool apifix_start(struct apifix *f, size_t i, const char *encryption_config);
/* Sends the signal and waits for the end. */
void apifix_stop(struct apifix *f, size_t i, int signal_number);
void apifix_signal(struct apifix *f, size_t i, int signal_number);

const char *apifix_url(const struct apifix *f, size_t i);
const char *apifix_etcd_url(const struct apifix *f);
const char *apifix_dir(const struct apifix *f);
/* "<dir>/<name>"; valid until the fixture ends. There: ca.pem, other-ca.pem, admin.token, admin.pem,
 * admin.key */
const char *apifix_path(struct apifix *f, const char *name);
/* Server i with the admin's token. */
struct kube_options apifix_options(struct apifix *f, size_t i);
bool apifix_write(struct apifix *f, const char *name, const char *text);

/* Runs a program; `input` (may be NULL) is its standard input, its output is appended to `out` (may be NULL).
 */
bool apifix_run(const char *const argv[], const void *input, size_t input_len, struct buf *out);
/* etcdctl against the fixture's etcd; args end with NULL. */
bool apifix_etcdctl(struct apifix *f, const char *const args[], const void *input, size_t input_len,
                    struct buf *out);
/* How many values under the key prefix begin with `head`; -1 when etcd did not answer. */
int apifix_count(struct apifix *f, const char *key_prefix, const char *head);

#endif
