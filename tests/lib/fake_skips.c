/* Tests of a program that need more of etcd than a fake one has (snapshots, a quota) are not run: FAKE_SKIPS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

__attribute__((constructor)) static void leave_out(void)
{
    cmocka_set_skip_filter(FAKE_SKIPS);
}
