#!/usr/bin/python3
"""The stand-in behaves as K3s's documentation and sources say: the documented procedures typed by hand on booted
machines, with the statuses in between, and each switch of trouble.json seen to strike.

    test_stand_in.py HighAvailability|SingleServer|ExternalDatastore|SplitRoles
"""
import hashlib
import json
import re
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cluster" / "system"))
sys.path.insert(0, str(HERE.parent / "machines"))
sys.path.insert(0, str(HERE))
import namespaces  # noqa: E402

import cluster as clusters  # noqa: E402
import lab as labs  # noqa: E402
import support  # noqa: E402
from support import say, status_text  # noqa: E402

SEED, SECRETS = "k3s", 60
OLD = "aescbckey"
ALL = ("s1", "s2", "s3")
KEY_NAME = re.compile(r"^aescbckey-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
FOLDER = None


class StandIn(unittest.TestCase):
    """Tests on one cluster; the test methods of a class go on where the one before ended."""

    maxDiff = None
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.cluster = clusters.Cluster(FOLDER, **cls.options)
        cls.addClassCleanup(cls.cluster.__exit__)
        began = time.monotonic()
        cls.cluster.start()
        say(f"{len(cls.cluster.servers)} machines are up, {time.monotonic() - began:.1f} s")
        cls.cluster.make_secrets(SEED, SECRETS)

    # --- typing and looking ---

    def k3s(self, *args, server="s1", code=0, says=None):
        began = time.monotonic()
        result = self.cluster.run_k3s(server, *args)
        say(f"{server}$ k3s secrets-encrypt {' '.join(args)} -> {result.returncode}, {time.monotonic() - began:.1f} s")
        self.assertEqual(code, result.returncode, result.stdout + result.stderr)
        if says:
            self.assertEqual(says + "\n", result.stdout)
        return result

    def refused(self, why, *args, server="s1"):
        """The user sees a number, and the log has the reason under it."""
        result = self.k3s(*args, server=server, code=1)
        number = re.search(r"see server log for details: secret-encrypt error ID (\d{5})", result.stderr)
        self.assertTrue(number, result.stderr)
        self.wait_log(server, f"secret-encrypt error ID {number.group(1)}: {why}")

    def wait_log(self, server, text, seconds=10):
        labs.wait_for(f"{server} logs {text}", lambda: text in self.cluster.journal(server), seconds, 0.2)

    def restart(self, *names):
        began = time.monotonic()
        self.cluster.restart(*names)
        say(f"{', '.join(names)} restarted, {time.monotonic() - began:.1f} s")

    def status(self, stage, rows, server="s1", seconds=0, **more):
        """The status text is K3s's, byte for byte; within `seconds` where something goes on in the background."""
        wanted, deadline = status_text(stage, rows, **more), time.monotonic() + seconds
        while True:
            result = self.cluster.run_k3s(server, "status")
            if result.stdout == wanted or time.monotonic() >= deadline:
                break
            time.sleep(0.3)
        self.assertEqual(wanted, result.stdout, result.stderr)
        self.assertEqual(0, result.returncode)

    def names(self, server="s1"):
        return [name for name, _ in support.files.keys_in(self.cluster.server(server).encryption_config.read_text())]

    def new_name(self):
        found, = [name for name in self.names() if name not in self.before]
        self.assertRegex(found, KEY_NAME)
        return found

    def hash(self, server="s1"):
        return hashlib.sha256(self.cluster.server(server).encryption_config.read_bytes()).hexdigest()

    def assert_published(self, server, stage):
        """Annotation, state file and file agree."""
        wanted = f"{stage}-{self.hash(server)}"
        self.assertEqual(wanted, self.cluster.annotation(server))
        self.assertEqual(wanted, self.cluster.server(server).state.read_text())

    def assert_readable(self):
        self.assertEqual([], self.cluster.read_errors(SEED, SECRETS)[:5])

    def assert_only(self, key):
        """Every value stands under one key."""
        counts = {k: n for k, n in self.cluster.count_by_key().items() if n}
        self.assertEqual({key: SECRETS}, counts)

    def age(self, name):
        """Until a change of the file counts as newer than the datastore's copy."""
        path = self.cluster.server(name).encryption_config
        time.sleep(max(0.0, path.stat().st_mtime + 11 - time.time()))

    def newer_than_datastore(self, name):
        """The start fails again and again until the file is removed; then it comes from the datastore."""
        config = self.cluster.paths.config
        self.wait_log(name, f"{config} newer than datastore and could cause cluster outage. Remove the file from "
                            "disk and restart to be recreated from datastore.", 30)
        self.assertNotEqual("active", self.cluster.unit_state(name))
        self.cluster.server(name).encryption_config.unlink()
        self.cluster.wait_up(name)

    # --- the documented procedures ---

    def rows(self, *names):
        return [(i == 0, "AES-CBC", name) for i, name in enumerate(names)]

    def round(self, first="s1", others=()):
        """The first server, and once it is up the others."""
        self.restart(first)
        if others:
            self.restart(*others)

    def rotate_by_hand(self, others=()):
        """prepare, rotate, reencrypt, each followed by the restarts; returns the new key's name."""
        mismatch = {"mismatch": f"s1 and {others[0]}"} if others else {}
        old, self.before = self.names()[0], set(self.names())
        self.k3s("prepare", says="prepare completed successfully")
        new = self.new_name()
        self.status("prepare", self.rows(old, new), **mismatch)
        self.assert_published("s1", "prepare")
        if others:
            self.refused("hash does not match between s1 and s2", "rotate")
        self.round("s1", others)
        self.status("prepare", self.rows(old, new))
        self.k3s("rotate", says="rotate completed successfully")
        self.status("rotate", self.rows(new, old), **mismatch)
        self.round("s1", others)
        self.status("rotate", self.rows(new, old))
        self.k3s("reencrypt", says="reencryption started")
        self.status("reencrypt_finished", self.rows(new), seconds=30, **mismatch)
        self.assert_only(f"aescbc:{new}")
        self.round("s1", others)
        self.status("reencrypt_finished", self.rows(new))
        for server in ("s1", *others):
            self.assert_published(server, "reencrypt_finished")
        self.assert_readable()
        return new

    def switch(self, command, key, enabled, others=()):
        """disable or enable, the restarts, and reencrypt --force --skip. The stage stays what it was."""
        stage = self.cluster.annotation("s1").partition("-")[0]
        rows = [(enabled == "Enabled", "AES-CBC", key.partition(":")[2] or self.names()[0])]
        self.k3s(command, says=f"secrets-encryption {command}d")
        self.status(stage, rows, enabled=enabled)
        self.round("s1", others)
        self.k3s("reencrypt", "--force", "--skip", says="reencryption started")
        # No status tells the end: with another server's hash beside it the stage changes and comes back.
        labs.wait_for("the re-encryption ends",
                      lambda: {k for k, n in self.cluster.count_by_key().items() if n} == {key}, 30, 0.3)
        self.status(stage, rows, enabled=enabled, seconds=10)
        self.assert_readable()


class HighAvailability(StandIn):
    """S1, S2, S3 with embedded etcd."""

    def test_1_rotation(self):
        self.status("start", self.rows(OLD))
        for server in ALL:
            self.assert_published(server, "start")
        for command in ("rotate", "reencrypt"):
            self.refused("incorrect stage: start found on node s1", command)
        self.rotate_by_hand(("s2", "s3"))

    def test_2_disable_and_enable(self):
        key, = self.names()
        self.switch("disable", "plain", "Disabled", ("s2", "s3"))
        self.switch("enable", f"aescbc:{key}", "Enabled", ("s2", "s3"))

    def test_3_troubles_of_prepare(self):
        """One rotation, and at each step something goes wrong."""
        self.before = set(self.names())
        old, = self.names()
        self.cluster.trouble("s1", bad_request=1)
        self.refused("Operation cannot be fulfilled on nodes", "prepare")
        self.status("reencrypt_finished", self.rows(old))

        self.cluster.trouble("s1", prepare_crash=True)
        self.age("s1")
        self.k3s("prepare", code=1)
        self.newer_than_datastore("s1")
        self.assertEqual([old], self.names(), "the key that was only on the disk")
        self.status("reencrypt_finished", self.rows(old))

        self.cluster.trouble("s1", bad_request_done=1)
        self.refused("Operation cannot be fulfilled on nodes", "prepare")
        new = self.new_name()
        self.status("prepare", self.rows(old, new), mismatch="s1 and s2")

        self.cluster.trouble("s2", hash_lag=5)
        self.cluster.trouble("s3", follower_stays=1)
        self.restart("s2", "s3")
        self.status("prepare", self.rows(old, new), mismatch="s1 and s2")
        self.status("prepare", self.rows(old, new), mismatch="s1 and s3", seconds=15)
        self.assertEqual([old], self.names("s3"))
        self.cluster.trouble("s2", hash_lag=None)
        self.restart("s1", "s3")
        self.status("prepare", self.rows(old, new))

    def test_4_troubles_of_rotate(self):
        old, new = self.names()
        self.k3s("rotate", says="rotate completed successfully")
        self.cluster.trouble("s1", slow_start=4)
        began = time.monotonic()
        self.restart("s1")
        self.assertGreater(time.monotonic() - began, 4)
        self.cluster.trouble("s1", slow_start=None)
        self.cluster.trouble("s2", fail_start=1)
        self.cluster.trouble("s3", newer=True)
        self.assertEqual(2, len(self.cluster.restart("s2", "s3", check=False)), "systemctl tells that they failed")
        self.wait_log("s2", "fail_start is set")
        self.cluster.wait_up("s2")  # systemd starts it again
        self.newer_than_datastore("s3")
        self.status("rotate", self.rows(new, old))

    def test_5_troubles_of_reencrypt(self):
        new, old = self.names()
        self.cluster.trouble("s1", active_forever=1)
        self.k3s("reencrypt", says="reencryption started")
        time.sleep(3)
        self.status("reencrypt_active", self.rows(new, old), mismatch="s1 and s2")
        counts = self.cluster.count_by_key()
        self.assertEqual((20, SECRETS - 20), (counts[f"aescbc:{new}"], counts[f"aescbc:{old}"]))
        self.refused("hash does not match between s1 and s2", "reencrypt")
        self.restart("s1")  # the stage in the state file is the one before, and nothing goes on
        self.status("rotate", self.rows(new, old))
        self.k3s("reencrypt", says="reencryption started")
        self.status("reencrypt_finished", self.rows(new), seconds=30, mismatch="s1 and s2")
        self.assert_only(f"aescbc:{new}")
        self.restart("s2", "s3")
        self.status("reencrypt_finished", self.rows(new))
        self.assert_readable()


class SingleServer(StandIn):
    """One server with embedded etcd."""

    options = {"servers": 1}

    def test_1_rotation(self):
        self.status("start", self.rows(OLD))
        self.rotate_by_hand()

    def test_2_disable_and_enable(self):
        key, = self.names()
        self.switch("disable", "plain", "Disabled")
        self.refused("invalid hash: ", "prepare")  # what is published is the hash of the file before
        self.switch("enable", f"aescbc:{key}", "Enabled")

    def test_3_who_may(self):
        """The token is needed, and a request is refused before the server is up."""
        result = self.cluster.run_k3s("s1", "status", "--token", "wrong")
        self.assertEqual(1, result.returncode)
        self.assertIn("Unauthorized", result.stderr)
        self.cluster.trouble("s1", slow_start=6)
        process = self.cluster.server("s1").machine.enter("systemctl", "restart", "k3s")
        self.wait_log("s1", "the API server begins 6 s later", 30)
        result = self.cluster.run_k3s("s1", "prepare")
        self.assertEqual(1, result.returncode)
        self.assertIn("runtime core not ready", result.stderr)
        self.assertEqual("activating", self.cluster.unit_state("s1"))
        self.assertEqual(0, process.wait(60))
        self.cluster.trouble("s1", slow_start=None)

    def test_4_json_and_rotate_keys(self):
        state = json.loads(self.cluster.run_k3s("s1", "status", "-o", "json").stdout)
        name, = self.names()
        self.assertEqual({"stage": "reencrypt_finished", "activekey": f"AES-CBC {name}", "enable": True,
                          "hashmatch": True}, state)
        self.cluster.trouble("s1", reload_wait=1)
        self.refused("context deadline exceeded: apiserver has not reloaded encryption configuration", "rotate-keys")
        self.assertEqual(2, len(self.names()), "the new key is on the disk")

    def test_5_reencryption_that_does_not_end(self):
        """One that dropped the key and told nobody; one that begins again with the server."""
        self.restart_from_datastore()
        self.before, old = set(self.names()), self.names()[0]
        self.k3s("prepare")
        new = self.new_name()
        self.restart("s1")
        self.k3s("rotate")
        self.restart("s1")
        self.age("s1")
        self.cluster.trouble("s1", active_forever="removed", reencrypt_rate=50)
        self.k3s("reencrypt", says="reencryption started")
        self.status("reencrypt_active", self.rows(new), seconds=10)  # the key is gone, the stage is not told
        self.cluster.trouble("s1", active_forever=None, reencrypt_rate=None)
        self.assertEqual(1, len(self.cluster.restart("s1", check=False)))
        self.newer_than_datastore("s1")
        self.status("rotate", self.rows(new, old))
        self.cluster.trouble("s1", active_forever=1, state_request=True)
        self.k3s("reencrypt", says="reencryption started")
        self.status("reencrypt_active", self.rows(new, old), seconds=5)
        self.assertTrue(self.cluster.server("s1").state.read_text().startswith("reencrypt_request-"))
        self.restart("s1")
        self.status("reencrypt_finished", self.rows(new), seconds=30)
        self.assert_only(f"aescbc:{new}")
        self.assert_readable()

    def restart_from_datastore(self):
        """Takes the server back to what was saved last."""
        self.cluster.server("s1").encryption_config.unlink()
        self.restart("s1")


class ExternalDatastore(StandIn):
    """Two servers on an etcd that is none of K3s's."""

    options = {"servers": 2, "external": True}

    def test_rotation(self):
        self.status("start", self.rows(OLD))
        self.rotate_by_hand(("s2",))


class SplitRoles(StandIn):
    """s1 is only a member of etcd, s2 and s3 are only control plane."""

    options = {"servers": 3, "roles": {"s1": "etcd", "s2": "control-plane", "s3": "control-plane"}}

    def test_prepare(self):
        cluster, self.before = self.cluster, {OLD}
        self.status("start", self.rows(OLD), server="s2")
        result = cluster.run_k3s("s1", "prepare")
        self.assertEqual(1, result.returncode)
        self.assertIn("apiserver disabled", result.stderr)
        self.k3s("prepare", server="s2", says="prepare completed successfully")
        new = self.names("s2")[1]
        self.assertEqual([OLD], self.names("s1"))
        self.restart("s1")  # a member of etcd has the file too
        self.assertEqual([OLD, new], self.names("s1"))
        self.status("prepare", self.rows(OLD, new), server="s2", mismatch="s2 and s3", seconds=30)
        self.restart("s2")
        self.restart("s3")
        self.status("prepare", self.rows(OLD, new), server="s2")
        self.assert_readable()

    def test_rotate_in_the_wrong_order(self):
        """Where the control plane is told by the etcd server what is new, that one has to be restarted first."""
        old, new = self.names("s2")
        self.cluster.trouble("s2", bootstrap_from_server=True)
        self.age("s1")
        self.k3s("rotate", server="s2", says="rotate completed successfully")
        self.assertEqual(1, len(self.cluster.restart("s2", check=False)))
        self.wait_log("s2", "newer than datastore and could cause cluster outage")
        self.restart("s1")
        self.cluster.wait_up("s2")
        self.status("rotate", self.rows(new, old), server="s2", mismatch="s2 and s3")


if __name__ == "__main__":
    FOLDER = namespaces.enter()
    support.main()
