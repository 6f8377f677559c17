"""The driver openrc on a booted machine with the real OpenRC: a restart that works, and each way in which one does
not. The service is a small script; what is tested is what the driver makes of OpenRC's answers."""
import unittest

from service_machine import LAST_WORDS, ServiceMachineTest, main

SCRIPT = """#!/sbin/openrc-run
command=/usr/bin/test-service
{more}
depend() {{
    {depend}
}}
"""
IN_BACKGROUND = """command_background=yes
pidfile=/run/$RC_SVCNAME.pid
output_log=/var/log/$RC_SVCNAME.log
error_log=/var/log/$RC_SVCNAME.log
retry=KILL/5
"""
SUPERVISED = """supervisor=supervise-daemon
pidfile=/run/$RC_SVCNAME.pid
output_log=/var/log/$RC_SVCNAME.log
error_log=/var/log/$RC_SVCNAME.log
respawn_delay=1
retry=KILL/5
"""


class ServiceOpenrcTest(ServiceMachineTest):
    INIT = "openrc"

    def service(self, name, more=IN_BACKGROUND, depend=":"):
        """Writes a service, which is not started."""
        self.mode("run")
        self.machine.write(f"/etc/init.d/{name}", SCRIPT.format(more=more, depend=depend), 0o755)

    def start(self, name, more=IN_BACKGROUND, depend=":"):
        self.service(name, more, depend)
        self.machine.run("rc-service", name, "start")
        return self.pids()

    def status(self, name):
        return self.machine.complete("rc-service", name, "status", timeout=20).returncode

    def pids(self):
        """Of all services of this test that run now."""
        return set(self.machine.run("pgrep", "-f", "^sleep 1000000$", check=False).split())

    def stop(self, name):
        self.machine.run("rc-service", name, "stop")

    # --- it works ---

    def test_restart(self):
        before = self.start("works")
        self.check_says("works")
        self.assertEqual(self.pids(), before, "check restarts nothing")
        self.restart_works("works")
        after = self.pids()
        self.assertEqual((len(before), len(after), before & after), (1, 1, set()))
        self.restart_works("works.service")
        self.assertFalse(self.pids() & after)
        self.stop("works")

    def test_restart_under_a_supervisor(self):
        before = self.start("supervised", SUPERVISED)
        self.restart_works("supervised")
        after = self.pids()
        self.assertEqual((len(before), len(after), before & after), (1, 1, set()))
        self.stop("supervised")

    def test_restart_of_one_that_is_down(self):
        self.service("down")
        self.restart_works("down")
        self.assertEqual(self.status("down"), 0)
        self.stop("down")

    def test_default_service(self):
        before = self.start("kube-apiserver")
        self.restart_works("")
        self.assertFalse(self.pids() & before)
        self.stop("kube-apiserver")

    # --- the start fails ---

    def test_failed_start(self):
        self.start("fails", "start_pre() { [ ! -e /tmp/fail ] || { eerror 'no such etcd'; return 1; }; }\n" + IN_BACKGROUND)
        self.machine.write("/tmp/fail", "")
        self.restart_fails("fails", "fails: stopped", "no such etcd", "ERROR: fails failed to start")

    def test_crashes_at_once(self):
        self.start("crashes")
        self.mode("die")
        output = self.restart_fails("crashes", "crashes: crashed")
        self.assertIn(LAST_WORDS, output)

    def test_crashes_after_a_moment(self):
        self.start("later")
        self.mode("die-later")
        output = self.restart_fails("later", "later: crashed", "ended at once after its start", "/var/log/later.log")
        self.assertIn(LAST_WORDS, output)

    def test_crashes_under_a_supervisor(self):
        self.start("respawned", SUPERVISED)
        self.mode("die-later")
        self.restart_fails("respawned", "respawned: ", "ended at once after its start")
        self.stop("respawned")

    def test_waits_for_its_start(self):
        """start-stop-daemon --wait looks back itself."""
        self.start("waits", IN_BACKGROUND + "start_stop_daemon_args='--wait 1500'\n")
        self.mode("die-later")
        self.restart_fails("waits", "waits: stopped", "failed to start")

    def test_time_limit(self):
        self.start("slow")
        self.service("slow", IN_BACKGROUND + "start_pre() { einfo 'waiting for etcd'; sleep 30; }\n")
        self.restart_fails("slow", "took longer than 2 s (service.timeout) and was ended", "waiting for etcd",
                           "rc-service slow status", timeout=2)
        self.service("slow")
        self.restart_works("slow")
        self.stop("slow")

    def test_needs_another(self):
        self.service("etcd-broken", "start() { eerror 'disk full'; return 1; }\n")
        self.service("needs", depend="need etcd-broken")
        self.restart_fails("needs", "needs: stopped", "cannot start needs as etcd-broken would not start")

    # --- there is nothing to restart ---

    def test_missing(self):
        for call in (self.restart_fails, self.check_says):
            call("missing", "missing: OpenRC has no such service", "/etc/init.d/missing", "service.unit")

    def test_not_executable(self):
        self.service("plain")
        self.machine.path("/etc/init.d/plain").chmod(0o644)
        for call in (self.restart_fails, self.check_says):
            call("plain", "plain: OpenRC has no such service")

    def test_names(self):
        for name in ("../evil", "-H", "kube*", "a b", "x" * 256):
            for call in (self.restart_fails, self.check_says):
                call(name, "service.unit")


if __name__ == "__main__":
    main(ServiceOpenrcTest.INIT)
