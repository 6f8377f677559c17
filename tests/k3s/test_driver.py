#!/usr/bin/python3
"""This program on K3s's servers: the documented rotation, disable and enable, and each known trouble, over the stand-in
on booted machines. Every trouble ends in success, or in one clear line with every Secret readable.

    test_driver.py HighAvailability|ByHand|Troubles|SingleServer|SplitRoles
"""
import os
import re
import threading
import time

import test_stand_in as stand_in
from test_stand_in import ALL, OLD, SECRETS, SEED, labs, say

class Readers:
    """Reads every Secret through every server that is up, all the while."""

    def __init__(self, cluster):
        self.cluster, self.wrong, self.reads = cluster, [], 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stop.is_set():
            found = [e for e in self.cluster.read_errors(SEED, SECRETS) if not re.search(UNREACHABLE, str(e))]
            self.wrong += found
            self.reads += SECRETS
            self.stop.wait(0.5)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *more):
        self.stop.set()
        self.thread.join()


# A server that is being restarted answers nothing: that is no wrong answer.
UNREACHABLE = r"refused|reset|timed out|closed|EOF|unreachable|Unreachable|Broken|50[034]|401|403"


class Driver(stand_in.StandIn):
    options = {"bin_dir": os.environ.get("SECRETS_ENCRYPT_BIN", "")}

    def cli(self, *args, code=0, timeout=300):
        began = time.monotonic()
        result = self.cluster.cli(*args, timeout=timeout)
        say(f"$ secrets-encrypt {' '.join(args)} -> {result.returncode}, {time.monotonic() - began:.1f} s")
        self.assertEqual(code, result.returncode, result.stdout + result.stderr + self.told())
        return result

    def told(self):
        """What the agents logged of trouble, for people."""
        lines = []
        for server in self.cluster.servers:
            text = server.machine.journal("-u", "secrets-encrypt-agent", "-p", "warning", "-n", "60", "-o", "cat")
            lines += [f"{server.name}: {line}" for line in text.splitlines()]
        return "\n" + "\n".join(lines[-20:])

    def restarts(self):
        """How often K3s was started on each server."""
        return {s.name: s.machine.journal("-u", "k3s", "-o", "cat").count("Started k3s.service") for s in
                self.cluster.servers}

    def our_status(self, stage, rows, seconds=20, **more):
        wanted, deadline = stand_in.status_text(stage, rows, **more), time.monotonic() + seconds
        while True:
            result = self.cluster.cli("status")
            if result.stdout == wanted or time.monotonic() >= deadline:
                break
            time.sleep(0.3)
        self.assertEqual(wanted, result.stdout, result.stderr)

    def assert_finished(self, key):
        """Ours and K3s's own words agree, nothing stands under another key, every server reads everything."""
        rows = self.rows(key)
        self.our_status("reencrypt_finished", rows)
        for server in self.cluster.servers:
            self.status("reencrypt_finished", rows, server=server.name, seconds=20)
            self.assert_published(server.name, "reencrypt_finished")
        self.assert_only(f"aescbc:{key}")
        self.assert_readable()

    def rotate_keys(self):
        before = set(self.names())
        with Readers(self.cluster) as readers:
            said = self.cli("rotate-keys").stdout
        self.assertIn("keys rotated, reencryption finished", said)
        self.assertEqual([], readers.wrong[:5])
        self.assertGreater(readers.reads, 0)
        new, = self.names()
        self.assertNotIn(new, before)
        self.assert_finished(new)
        return new


class HighAvailability(Driver):
    def test_1_rotation(self):
        self.our_status("start", self.rows(OLD))
        before = self.restarts()
        self.rotate_keys()
        after = self.restarts()
        self.assertEqual({name: before[name] + 3 for name in before}, after, "three restarts of each server")

    def test_2_step_by_step(self):
        """K3s's three commands, each with the restarts that its manual asks for, done by this program."""
        old, = self.names()
        self.before = {old}
        self.assertIn("prepare completed successfully", self.cli("prepare").stdout)
        new = self.new_name()
        self.our_status("prepare", self.rows(old, new))
        self.status("prepare", self.rows(old, new))
        self.assertIn("incorrect stage: prepare found on node s1", self.cli("prepare", code=5).stderr)
        self.assertIn("know no way back", self.cli("abort", code=5).stderr)
        self.assertIn("rotate completed successfully", self.cli("rotate").stdout)
        self.our_status("rotate", self.rows(new, old))
        self.assertIn("reencryption finished", self.cli("reencrypt").stdout)
        self.assert_finished(new)
        escrowed = self.cli("keys").stdout
        self.assertIn(old, escrowed)

    def test_3_disable_and_enable(self):
        key, = self.names()
        for command, enabled, left in (("disable", "Disabled", "plain"), ("enable", "Enabled", f"aescbc:{key}")):
            self.assertIn(f"secrets-encryption {command}d", self.cli(command).stdout)
            self.cli("reencrypt", "--force", "--skip")
            rows = [(enabled == "Enabled", "AES-CBC", key)]
            stage = self.cluster.annotation("s1").partition("-")[0]
            self.our_status(stage, rows, enabled=enabled)
            self.status(stage, rows, enabled=enabled, server="s3")
            self.assert_only(left)
            self.assert_readable()

    def test_4_a_cordoned_node_blocks(self):
        server = self.cluster.server("s2")
        self.cordon(server, True)
        labs.wait_for("s2 is reported cordoned", lambda: "cordoned" in self.cluster.cli("status", "-o", "wide").stdout,
                      20, 0.3)
        before = self.restarts()
        refused = self.cli("rotate-keys", code=4).stderr
        self.assertRegex(refused, r"s2.*cordoned")
        self.assertEqual(before, self.restarts())
        self.cordon(server, False)
        labs.wait_for("s2 is ready again", lambda: "cordoned" not in self.cluster.cli("status", "-o", "wide").stdout,
                      20, 0.3)

    @staticmethod
    def cordon(server, value):
        server.kube.call("PATCH", f"/api/v1/nodes/{server.name}", {"spec": {"unschedulable": value or None}},
                         content_type="application/merge-patch+json")


class ByHand(Driver):
    """The operator restarts, as in K3s's manual."""

    def restart_all(self):
        """S2 and S3 at the same time, as the manual has it: for a moment the embedded etcd has no quorum, and our agents
        with it no state store. Nothing is asked for before they are back."""
        self.restart("s1")
        self.restart("s2", "s3")
        labs.wait_for("every server is reported ready", self.all_ready, 60, 0.5)

    def all_ready(self):
        text = self.cluster.cli("status", "-o", "wide").stdout
        return all(re.search(rf"^{s.name} .* yes  +[0-4]s ", text, re.M) for s in self.cluster.servers)

    def step(self, command, says, stage, rows):
        self.assertIn(says, self.cli(command, "--no-restart").stdout)
        self.our_status(stage, rows, mismatch="s1 and s2")
        self.restart_all()
        self.our_status(stage, rows, seconds=60)

    def test_procedure(self):
        self.before = set(self.names())
        self.assertIn("prepare completed successfully", self.cli("prepare", "--no-restart").stdout)
        new = self.new_name()
        self.our_status("prepare", self.rows(OLD, new), mismatch="s1 and s2")
        self.assertIn("hash does not match between s1 and s2", self.cli("rotate", "--no-restart", code=3).stderr)
        self.restart_all()
        self.our_status("prepare", self.rows(OLD, new), seconds=60)
        self.step("rotate", "rotate completed successfully", "rotate", self.rows(new, OLD))
        self.assertIn("reencryption started", self.cli("reencrypt", "--no-restart").stdout)
        self.our_status("reencrypt_finished", self.rows(new), seconds=90, mismatch="s1 and s2")
        self.restart_all()
        self.assert_finished(new)


class Troubles(Driver):
    """Each ends well by itself, but for those that say otherwise."""

    def test_1_prepare_goes_wrong(self):
        """A race answers 400, once before and once after it was done; a follower stays; an annotation comes late."""
        self.cluster.trouble("s1", bad_request=2)
        self.cluster.trouble("s2", hash_lag=4)
        self.cluster.trouble("s3", follower_stays=1)
        self.cli("prepare")
        self.cluster.trouble("s2", hash_lag=None)
        self.cluster.trouble("s1", bad_request_done=1)
        self.cli("rotate")
        self.assertEqual(2, len(self.names("s3")))
        self.cli("reencrypt")
        self.assert_finished(self.names()[0])

    def test_2_a_server_with_a_file_newer_than_the_datastore(self):
        """K3s would have the file removed. Its server starts again without that, and a copy is kept."""
        self.cluster.trouble("s2", newer=True)
        self.cluster.trouble("s3", fail_start=1, slow_start=3)
        self.rotate_keys()
        kept = list(self.cluster.server("s2").machine.path(stand_in.clusters.machine_cluster.STATE).glob("*-newer-*"))
        self.assertTrue(kept, "no copy of the file that was newer")
        self.cluster.trouble("s3", slow_start=None)

    def test_3_a_reencryption_that_never_ends(self):
        """One line, nothing lost; and after a restart it goes on to its end with the same key."""
        old, = self.names()
        self.cluster.trouble("s1", active_forever=1)
        failed = self.cli("rotate-keys", code=7).stderr
        self.assertRegex(failed, r"s1: .*reencrypt is not done after \d+ s")
        self.assert_readable()
        names = self.names("s2")
        self.assertIn(old, names)
        self.restart("s1")
        self.cli("resume", "--wait")
        new, = self.names()
        self.assertIn(new, names)
        self.assert_finished(new)

    def test_4_a_server_that_does_not_start(self):
        """The others are not touched, every Secret stays readable, and the line names server and reason."""
        self.cluster.trouble("s2", fail_start=1000)
        failed = self.cli("rotate-keys", code=7).stderr
        self.assertRegex(failed, r"s2: .*")
        self.assertEqual(1, len(self.names("s3")), "s3 was left alone")
        s1, s3 = self.cluster.server("s1"), self.cluster.server("s3")
        self.assertTrue(s1.kube.ready(5) and s3.kube.ready(5))
        self.cluster.trouble("s2", fail_start=0)
        self.cluster.wait_up("s2")
        self.cli("resume", "--wait")
        self.assert_finished(self.names()[0])

    def test_5_killed_in_the_middle(self):
        """Agent and coordinator of S1 are killed while the server is asked: the same key to the end."""
        child = self.cluster.cli_start(self.cluster.server("s2"), "rotate-keys")
        labs.wait_for("K3s has made a key", lambda: len(self.names()) == 2, 60, 0.05)
        names = set(self.names())
        for unit in ("secrets-encrypt-agent", "secrets-encrypt-coordinator"):
            self.cluster.server("s1").machine.run("systemctl", "kill", "-s", "KILL", unit)
        self.assertEqual(0, child.wait(300))
        new, = self.names()
        self.assertIn(new, names)
        self.assert_finished(new)


class SplitRoles(Driver):
    """s1 is only a member of etcd, s2 and s3 are only control plane: s2 is asked, and s1, the last in the list, restarted first."""

    options = {**Driver.options, "servers": 3, "roles": {"s1": "etcd", "s2": "control-plane", "s3": "control-plane"}}

    def starts(self):
        """The names of the servers whose K3s was started, in the order of that."""
        found = []
        for server in self.cluster.servers:
            server.machine.run("journalctl", "--sync")  # what was logged stands in the files then
            for line in server.machine.journal("-u", "k3s", "-o", "short-unix").splitlines():
                if "Started k3s.service" in line:
                    found.append((float(line.split()[0]), server.name))
        return [name for _, name in sorted(found)]

    def assert_finished(self, key):
        rows = self.rows(key)
        self.our_status("reencrypt_finished", rows)
        for server in ("s2", "s3"):
            self.status("reencrypt_finished", rows, server=server, seconds=20)
            self.assert_published(server, "reencrypt_finished")
        self.assertEqual(f"reencrypt_finished-{self.hash('s2')}", self.cluster.server("s1").state.read_text())
        self.assertEqual(self.hash("s2"), self.hash("s1"))
        self.assert_only(f"aescbc:{key}")
        self.assert_readable()

    def test_rotation(self):
        self.our_status("start", self.rows(OLD))
        before = self.starts()
        self.rotate_keys()
        starts = self.starts()[len(before):]
        if starts != ["s1", "s2", "s3"] * 3:
            for unit in ("k3s", "secrets-encrypt-agent"):
                say(f"s1, {unit}:\n" + self.cluster.server("s1").machine.journal("-u", unit, "-o", "short-precise"))
        self.assertEqual(["s1", "s2", "s3"] * 3, starts)


class SingleServer(Driver):
    options = {**Driver.options, "servers": 1}

    def test_1_rotation(self):
        self.our_status("start", self.rows(OLD))
        self.rotate_keys()

    def test_2_disable_and_enable(self):
        key, = self.names()
        for command, left in (("disable", "plain"), ("enable", f"aescbc:{key}")):
            self.cli(command)
            self.cli("reencrypt", "--force", "--skip")
            self.assert_only(left)
        self.assert_readable()


Troubles.options = {**Driver.options, "settings": {"k3s": {
    "data_dir": str(stand_in.clusters.DATA), "reencrypt_timeout": 40,
    "supervisor": f"https://127.0.0.1:{stand_in.clusters.SUPERVISOR_PORT}"}}}


if __name__ == "__main__":
    stand_in.FOLDER = stand_in.namespaces.enter()
    stand_in.support.main()
