"""The driver systemd on a booted machine with the real systemd: a restart that works, and each way in which one does
not. The unit is a small script; what is tested is what the driver makes of systemd's answers."""
from service_machine import LAST_WORDS, ServiceMachineTest, main

UNIT = """[Unit]
Description=stands in for an API server
{head}
[Service]
ExecStart=/usr/bin/test-service
{more}
"""


class ServiceSystemdTest(ServiceMachineTest):
    INIT = "systemd"

    def unit(self, name, more="", head="StartLimitIntervalSec=0"):
        """Writes a unit, which is not started."""
        self.mode("run")
        self.machine.write(f"/etc/systemd/system/{name}.service", UNIT.format(head=head, more=more))
        self.machine.run("systemctl", "daemon-reload")

    def start(self, name, more="", head="StartLimitIntervalSec=0"):
        self.unit(name, more, head)
        self.machine.run("systemctl", "start", name)
        return self.pid(name)

    def show(self, name, *properties):
        text = self.machine.run("systemctl", "show", "-p", ",".join(properties), name)
        return dict(line.split("=", 1) for line in text.splitlines())

    def pid(self, name):
        return int(self.show(name, "MainPID")["MainPID"])

    # --- it works ---

    def test_restart(self):
        before = self.start("works")
        self.check_says("works")
        self.assertEqual(self.pid("works"), before, "check restarts nothing")
        self.restart_works("works")
        after = self.pid("works")
        self.assertNotEqual(after, before)
        self.restart_works("works.service")
        self.assertNotIn(self.pid("works"), (0, before, after))

    def test_restart_of_one_that_is_down(self):
        self.unit("down", "Type=exec")
        self.restart_works("down")
        self.assertNotEqual(self.pid("down"), 0)

    def test_by_the_bus(self):
        """Without any program to fall back to."""
        before = self.start("bus")
        status, output, _ = self.agent("service-restart", "bus", path="/nowhere")
        self.assertEqual(status, 0, output)
        self.assertNotIn(self.pid("bus"), (0, before))

    def test_default_unit(self):
        before = self.start("kube-apiserver")
        self.restart_works("")
        self.assertNotIn(self.pid("kube-apiserver"), (0, before))

    # --- the start fails ---

    def test_failed_start(self):
        self.start("fails")
        self.mode("die")
        output = self.restart_fails("fails", "fails.service: failed", "exit-code", "status=3", "journalctl -u fails")
        self.assertIn(LAST_WORDS, output)

    def test_dies_after_a_moment(self):
        self.start("dies")
        self.mode("die-later")
        self.restart_fails("dies", "dies.service", "exit-code", "status=3")

    def test_is_started_again_and_again(self):
        self.start("again", "Restart=always\nRestartSec=30")
        self.mode("die-later")
        self.restart_fails("again", "activating (auto-restart)", "exit-code", "status=3")

    def test_is_started_again_at_once(self):
        self.start("respawns", "Restart=always\nRestartSec=0")
        self.mode("die-later")
        self.restart_fails("respawns", "respawns.service", "journalctl -u respawns")

    def test_no_such_program(self):
        self.start("program")
        self.unit("program", "ExecStart=\nExecStart=/usr/bin/no-such-program\nType=exec")
        self.restart_fails("program", "status=203/EXEC")

    def test_fails_before_its_main_process(self):
        self.start("before")
        self.unit("before", "ExecStartPre=/bin/false")
        self.restart_fails("before", "Result=exit-code", "its main process was not started (ExecStartPre")

    def test_ended_by_a_signal(self):
        self.start("killed")
        self.unit("killed", "ExecStart=\nExecStart=/bin/sh -c 'kill -9 $$$$'")
        self.restart_fails("killed", "Result=signal", "status=9/KILL")

    def test_start_limit(self):
        self.start("limited", head="StartLimitIntervalSec=3600\nStartLimitBurst=3")
        self.restart_works("limited")
        self.restart_works("limited")
        self.restart_fails("limited", "start-limit-hit", "StartLimitBurst=3", "systemctl reset-failed limited")
        self.machine.run("systemctl", "reset-failed", "limited")
        self.restart_works("limited")

    def test_start_limit_after_failures(self):
        self.start("exhausted", head="StartLimitIntervalSec=3600\nStartLimitBurst=2")
        self.mode("die")
        self.restart_fails("exhausted", "exit-code", "status=3")
        self.restart_fails("exhausted", "start-limit-hit", "systemctl reset-failed exhausted")

    def test_time_limit_of_the_unit(self):
        self.start("slow")
        self.unit("slow", "Type=notify\nTimeoutStartSec=2")
        self.restart_fails("slow", "slow.service: failed", "Result=timeout", "TimeoutStartSec")

    def test_time_limit_of_ours(self):
        self.start("slower")
        self.unit("slower", "Type=notify\nTimeoutStartSec=60")
        self.restart_fails("slower", "still activating (start) after 2 s", "systemctl status slower", timeout=2)
        self.assertEqual(self.show("slower", "ActiveState")["ActiveState"], "activating", "systemd goes on with it")
        self.machine.run("systemctl", "stop", "slower")

    def test_dependency(self):
        self.unit("needed", "ExecStart=\nExecStart=/bin/false\nType=oneshot")
        self.unit("needs", head="Requires=needed.service\nAfter=needed.service\nStartLimitIntervalSec=0")
        self.restart_fails("needs", "job dependency", "a unit that it requires failed")

    def test_condition(self):
        self.start("conditional")
        self.unit("conditional", head="ConditionPathExists=/no/such/file\nStartLimitIntervalSec=0")
        self.restart_fails("conditional", "not started", "Condition")

    # --- for other drivers ---

    def test_probe(self):
        pid = self.start("probed")
        self.assertEqual(self.probe("probed")[0], f"active {pid}")
        self.machine.run("systemctl", "stop", "probed.service")
        self.assertEqual(self.probe("probed.service")[0], "inactive 0")
        self.mode("die")
        self.restart_fails("probed", "exit-code")
        first, log = self.probe("probed", 100)
        self.assertEqual(first, "inactive 0")
        self.assertIn(LAST_WORDS, log)
        self.assertEqual(len(self.probe("probed", 2)[1]), 2)
        self.probe_fails("missing", "missing.service: not-found")

    # --- there is nothing to restart ---

    def test_masked(self):
        self.machine.run("systemctl", "mask", "masked")
        for call in (self.restart_fails, self.check_says):
            call("masked", "masked.service: masked", "`systemctl unmask masked`")

    def test_missing(self):
        for call in (self.restart_fails, self.check_says):
            call("missing", "missing.service: not-found", "service.unit")

    def test_bad_setting(self):
        self.machine.write("/etc/systemd/system/broken.service", "[Service]\nType=simple\n")
        self.machine.run("systemctl", "daemon-reload")
        for call in (self.restart_fails, self.check_says):
            call("broken", "broken.service: bad-setting", "systemd-analyze verify broken.service")

    def test_refuses_a_manual_start(self):
        self.unit("manual", head="RefuseManualStart=yes")
        for call in (self.restart_fails, self.check_says):
            call("manual", "RefuseManualStart=yes")

    def test_names(self):
        for name in ("../evil", "-H", "kube*", "a b", "x" * 256):
            for call in (self.restart_fails, self.check_says):
                call(name, "service.unit")


if __name__ == "__main__":
    main(ServiceSystemdTest.INIT)
