/* Real etcd members for tests: loopback ports that stay theirs while they are down, data in a temp folder, ended by their process ids. They
 * also end with the test's main thread, however that ends (PR_SET_PDEATHSIG). Start and free on one thread.
 */
#ifndef TEST_ETCD_FIXTURE_H
#define TEST_ETCD_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include <etcd/etcd.h>

#define FIXTURE_MEMBERS_MAX 5

struct etcd_fixture;

struct etcd_fixture_options {
    size_t members;                /* 1 to FIXTURE_MEMBERS_MAX */
    bool tls;                      /* https with required client certificates */
    const char *const *extra_args; /* NULL-terminated, for every member; may be NULL */
};

/* Starts the members and waits until each answers and knows a leader. 0, or -1 after printing why. */
int etcd_fixture_start(const struct etcd_fixture_options *options, struct etcd_fixture **ret);

/* Ends every member and removes the folder. NULL is safe. */
void etcd_fixture_free(struct etcd_fixture *f);

size_t etcd_fixture_members(const struct etcd_fixture *f);
const char *etcd_fixture_endpoint(const struct etcd_fixture *f, size_t member); /* "http://127.0.0.1:port" */

/* Options for a client of all members (or of one); valid as long as the fixture. */
struct etcd_options etcd_fixture_options(const struct etcd_fixture *f);
struct etcd_options etcd_fixture_options_one(const struct etcd_fixture *f, size_t member);

/* Opens a client of all members, or NULL after printing why. */
struct etcd *etcd_fixture_client(const struct etcd_fixture *f);

/* A file of the fixture's folder: "ca.crt", "client.crt", "client.key", "other-ca.crt" (TLS only), or any
 * name that a test wants to use. The text is overwritten by the next call. */
const char *etcd_fixture_path(struct etcd_fixture *f, const char *name);

void etcd_fixture_kill(struct etcd_fixture *f, size_t member);   /* SIGKILL, and waits */
int etcd_fixture_restart(struct etcd_fixture *f, size_t member); /* same data and ports; does not wait */
void etcd_fixture_wipe(struct etcd_fixture *f, size_t member);   /* removes a killed member's data */
void etcd_fixture_pause(struct etcd_fixture *f, size_t member);  /* it hangs, its connections stay */
void etcd_fixture_resume(struct etcd_fixture *f, size_t member); /* also of one that was not paused */

/* The member that leads, by asking all that run; waits up to timeout_ms. -1: none. */
int etcd_fixture_leader(struct etcd_fixture *f, int timeout_ms);

#endif
