"""The driver openrc on a booted machine with the real OpenRC: a restart that works, and each way in which one does
not. The service is a small script; what is tested is what the driver makes of OpenRC's answers."""
from service_machine import LAST_WORDS, ServiceMachineTest, labs, main

SCRIPT = """#!/sbin/openrc-run
command=/usr/bin/perl
command_args="/usr/bin/test-service $RC_SVCNAME"
{more}
depend() {{
    {depend}
}}
"""
IN_BACKGROUND = """command_background=yes
pidfile=/run/$RC_SVCNAME.pid
retry=KILL/5
"""
SUPERVISED = """supervisor=supervise-daemon
pidfile=/run/$RC_SVCNAME.pid
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
        return self.process(name)

    def status(self, name):
        return self.machine.complete("rc-service", name, "status", timeout=20).returncode

    def process(self, name):
        """Its pid; waits until there is one process of it."""
        def pids():
            return self.machine.run("pgrep", "-f", f"^/usr/bin/perl /usr/bin/test-service {name}$", check=False).split()
        labs.wait_for(f"{name}: one process", lambda: len(pids()) == 1, 10, 0.05)
        return pids()[0]

    def stop(self, name):
        self.machine.run("rc-service", name, "stop")

    # --- it works ---

    def test_restart(self):
        before = self.start("works")
        self.check_says("works")
        self.assertEqual(self.process("works"), before, "check restarts nothing")
        self.restart_works("works")
        after = self.process("works")
        self.assertNotEqual(after, before)
        self.restart_works("works.service")
        self.assertNotEqual(self.process("works"), after)
        self.stop("works")

    def test_restart_under_a_supervisor(self):
        before = self.start("supervised", SUPERVISED)
        self.restart_works("supervised")
        self.assertNotEqual(self.process("supervised"), before)
        self.stop("supervised")

    def test_restart_of_one_that_is_down(self):
        self.service("down")
        self.restart_works("down")
        self.assertEqual(self.status("down"), 0)
        self.stop("down")

    def test_default_service(self):
        before = self.start("kube-apiserver")
        self.restart_works("")
        self.assertNotEqual(self.process("kube-apiserver"), before)
        self.stop("kube-apiserver")

    # --- the start fails ---

    def test_failed_start(self):
        self.start("fails", "start_pre() { [ ! -e /etc/fail ] || { eerror 'no such etcd'; return 1; }; }\n" + IN_BACKGROUND)
        self.machine.write("/etc/fail", "")
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

    # --- for other drivers ---

    def test_probe(self):
        for more in (IN_BACKGROUND, SUPERVISED):
            pid = self.start("probed", more)
            self.machine.write("/var/log/probed.log", "".join(f"line {i}\n" for i in range(20000)))
            self.assertEqual(self.probe("probed", 3), (f"active {pid}", ["line 19997", "line 19998", "line 19999"]))
            self.stop("probed")
            self.assertEqual(self.probe("probed.service", 1), ("inactive 0", ["line 19999"]))
        self.assertEqual(len(self.probe("probed", 100000)[1]), 200, "the number of lines is bounded")
        self.machine.path("/var/log/probed.log").unlink()
        self.probe_fails("probed", "/var/log/probed.log: No such file")
        self.probe_fails("missing", "OpenRC has no such service")

    # --- there is nothing to restart ---

    def test_missing(self):
        for call in (self.restart_fails, self.check_says):
            call("missing", "missing: OpenRC has no such service", "/etc/init.d/missing", "service.unit")

    def test_not_executable(self):
        self.service("plain")
        self.machine.path("/etc/init.d/plain").chmod(0o644)
        for call in (self.restart_fails, self.check_says):
            call("plain", "plain: /etc/init.d/plain is not a program")

    def test_names(self):
        for name in ("../evil", "-H", "kube*", "a b", "x" * 256):
            for call in (self.restart_fails, self.check_says):
                call(name, "service.unit")


if __name__ == "__main__":
    main(ServiceOpenrcTest.INIT)
