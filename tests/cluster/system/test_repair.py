"""A file that is truncated, garbage, has a key that nobody issued, or is gone: found within seconds, named, and
put right by `repair`, or by policy. Nothing else starts meanwhile. What stood there is kept."""
import json
import stat
import time

import support
from support import LabTest, files, labs, say

SECRETS = 30
SOON = 5  # seconds until it shows; a loaded machine needs some


class RepairTest(LabTest):
    def test_repair(self):
        with self.lab(SECRETS, servers=2, members=1) as lab:
            self.s2 = lab.server("s2")
            self.good = self.s2.encryption_config.read_bytes()
            self.refused(lab, "s2 needs no repair", "repair", "s2")
            self.refused(lab, "did you mean s2", "repair", "s22", code=1)
            self.wait_report(lab, "s2", "knows the generation that S1 adopted", lambda r: r["loaded_generation"] == 1, 60)
            foreign = json.loads(self.good)
            foreign["resources"][0]["providers"][0]["aescbc"]["keys"].append(files.new_key("foreign"))
            damages = {"truncated": self.good[:len(self.good) // 2], "garbage": b"\x00\xff what?\n",
                       "a foreign key": json.dumps(foreign).encode(), "deleted": None}
            for what, content in damages.items():
                self.damage_is_named(lab, what, content)
                self.mend(lab, content)
            self.assertEqual([], lab.restarts(), "the API servers ran with the right config all the time")
            self.a_server_that_runs_with_it(lab, damages["a foreign key"])
            self.by_policy(lab, damages["truncated"])
            self.assert_readable(lab, SECRETS)

    def put(self, content):
        if content is None:
            self.s2.encryption_config.unlink()
        else:
            support.processes.write_atomic(self.s2.encryption_config, content)

    def damage_is_named(self, lab, what, content):
        good, began = support.hash_of(self.good.decode()), time.monotonic()
        self.put(content)
        self.wait_report(lab, "s2", "says so", lambda r: r["hash"] != good and "repair s2" in r["file_why"], SOON)
        say(f"s2's file is {what}; {time.monotonic() - began:.1f} s later s2 says so")
        wide, explain = lab.cli("status", "-o", "wide").stdout, lab.cli("explain").stdout
        self.assertTrue(any(line.startswith("s2 ") and "repair s2" in line for line in wide.splitlines()), wide)
        blocked = [line for line in explain.splitlines() if line.startswith("A rotation could not start now")]
        self.assertEqual(1, len(blocked), explain)
        self.assertIn("s2", blocked[0])
        say(blocked[0])
        self.refused(lab, "s2", "rotate-keys", code=3)
        self.assertEqual(1, lab.record("rotation")["issued"])

    def mend(self, lab, content):
        before = self.copies(lab)
        self.said(self.run_cli(lab, "repair", "s2", "--wait"), "s2 repaired")
        self.assertEqual(self.good, self.s2.encryption_config.read_bytes())
        self.assertEqual(0o600, stat.S_IMODE(self.s2.encryption_config.stat().st_mode))
        self.assert_status(lab, 10, stage="start", rows=[(True, "AES-CBC", "aescbckey")])
        new = [path for path in self.copies(lab) if path not in before]
        self.assertEqual([content] if content else [], [path.read_bytes() for path in new])
        self.assertEqual({0o600} if new else set(), {stat.S_IMODE(path.stat().st_mode) for path in new})

    def copies(self, lab):
        return sorted((self.s2.dir / "state").glob("replaced-*"))

    def a_server_that_runs_with_it(self, lab, content):
        """Its API server was restarted with the foreign key: values may stand under it, so that --force is needed.
        Not while another server is down: only one at a time."""
        self.put(content)
        lab.restart("s2")
        self.wait_report(lab, "s2", "runs with it", lambda r: r["ready"] and r["hash"] == r["loaded_hash"] and
                         r["hash"] == support.hash_of(content.decode()))
        self.refused(lab, "was not issued here, and may have stored values", "repair", "s2")
        s1 = lab.server("s1")
        support.processes.end(s1.entry(), 10)
        self.wait_report(lab, "s1", "is down", lambda r: not r["ready"])
        self.refused(lab, "s1 is not ready: one server at a time", "repair", "s2", "--force")
        self.assertEqual(content, self.s2.encryption_config.read_bytes())
        lab._run_restart("s1", "--start")
        lab.wait_ready(s1)
        self.wait_report(lab, "s1", "is back", lambda r: r["ready"])
        restarts = lab.restarts()
        self.said(self.run_cli(lab, "repair", "s2", "--force", "--wait"), "s2 repaired")
        self.assertEqual(restarts + ["s2"], lab.restarts())
        self.assertEqual(self.good, self.s2.encryption_config.read_bytes())
        self.assert_status(lab, 10, stage="start", rows=[(True, "AES-CBC", "aescbckey")])

    def by_policy(self, lab, content):
        """`repair: auto`: without being asked, where the API server runs with the right config."""
        lab.settings["repair"] = "auto"
        for server in lab.servers:
            support.processes.write_atomic(server.config, files.yaml(files.program_config(lab, server)))
            server.coordinator.stop()
        for server in lab.servers:
            server.coordinator.start()
        labs.wait_for("the policy is published", lambda: (lab.record("spec") or {}).get("auto_repair"), 30)
        restarts = lab.restarts()
        self.put(content)
        labs.wait_for("s2's file is put right", lambda: self.s2.encryption_config.read_bytes() == self.good, 20)
        say("s2's file was put right by policy")
        self.assert_status(lab, 10, stage="start", rows=[(True, "AES-CBC", "aescbckey")])
        self.assertEqual(restarts, lab.restarts())


if __name__ == "__main__":
    support.main()
