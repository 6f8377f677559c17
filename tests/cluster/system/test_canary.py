"""The canary, tried last, bounds the harm to its own few seconds. S3's API server runs with a config without the
new key behind its agent's back: files, hashes, restarts and test vectors all look right. The rotation halts,
names S3, and nothing is rotated; reads through the others never fail. Once S3 was restarted honestly the same
command goes on with the same key.

On the way: pause and resume, and an abort that comes too late."""
import json
import threading
import time

import support
from support import CANARIES, LabTest, labs, names, observe, processes, say
import writers

SECRETS = 120
CANARYS_LIST = "/api/v1/namespaces/kube-system/secrets"


class CanaryTest(LabTest):
    def test_a_server_that_lies(self):
        with self.lab(SECRETS, servers=3, members=1) as lab, observe.Files(lab) as seen, \
                observe.Availability(lab) as availability:
            s3 = lab.server("s3")
            old_file = lab.dir / "old-config.json"
            old_file.write_bytes(s3.encryption_config.read_bytes())
            s3.broken("stale", file=str(old_file))
            with writers.Writers(lab.clients()) as users:
                self.halts_and_names(lab, seen)
                s3.broken()
                lab.restart("s3")
                say("s3 was restarted with the file that everybody sees")
                self.goes_on(lab)
            say(f"users: {users.acknowledged}, {users.retries} retries")
            name = self.assert_rotated(lab, seen)
            self.assert_status(lab, stage="reencrypt_finished", rows=[(True, "AES-CBC", name)])
            self.assert_readable(lab, SECRETS)
            self.assertEqual(([], []), (users.read_errors[:5], users.check()[:5]))
            self.assertEqual([], availability.overlaps())
            self.assertEqual(names(lab) + ["s3"] + names(lab) * 2, lab.restarts())
            self.assertEqual([], lab.etcd.range(CANARIES))

    def halts_and_names(self, lab, seen):
        with processes.locked(lab.dir / "s1" / "restart.lock"):  # s1 stays at work until the pause was taken
            command = lab.cli_start("rotate-keys")
            self.wait_order(lab, "s1", 2)
            self.said(self.run_cli(lab, "pause"), "rotate-keys paused")
        self.stands_after_s1(lab)
        self.wait_order(lab, "s3", 2)
        reads = [observe.Reads(client, CANARYS_LIST) for client in lab.clients()]
        canaries = observe.Keys(lab, CANARIES)
        with canaries, reads[0], reads[1], reads[2]:
            text = self.ends(lab, command, code=7)
            labs.wait_for("etcd tells of the canaries", lambda: canaries.spans and not canaries.present, 20)
            labs.wait_for("reads enough to tell", lambda: all(r.count > 50 or r.failure for r in reads), 30)
        self.check_harm(reads, canaries)
        record = lab.record("rotation")
        operation = record["op"]
        say(f"halted: {operation['why']}")
        self.assertEqual(("halted", "readable", "s3"), tuple(operation[f] for f in ("state", "phase", "on")))
        self.assertIn("s3 cannot read values under", text.splitlines()[-1])
        # Nothing was rotated: no config that writes with the new key was made, the old key writes everywhere.
        self.assertEqual((2, 2, "prepare"), (record["generation"], record["issued"], record["stage"]))
        self.assertEqual(2, len(lab.etcd.range(lab.key("bundles/"), keys_only=True)))
        counts = lab.count_by_key()
        self.assertEqual(["aescbc:aescbckey"], [k for k, n in counts.items() if n], counts)
        self.explained(lab)
        self.assert_readable(lab, SECRETS)
        self.watches_work(lab)
        self.assertEqual(1, len(seen.new_names()))

    def stands_after_s1(self, lab):
        """S1, which is at work, finishes; no order is given while the operation is paused; `resume` goes on."""
        self.wait_report(lab, "s1", "ready with generation 2", lambda r: r["loaded_generation"] == 2 and r["ready"])
        began = time.monotonic()
        while time.monotonic() - began < 3:
            record = lab.record("rotation")
            self.assertEqual(("paused", "append"), (record["op"]["state"], record["op"]["phase"]))
            self.assertEqual([None, None], [lab.record(f"orders/{s}") for s in ("s2", "s3")])
            time.sleep(0.1)
        self.assertEqual([True, False, False], [b"key-20" in s.encryption_config.read_bytes() for s in lab.servers])
        self.refused(lab, "rotate-keys is paused (append): resume or abort it first", "rotate-keys")
        self.said(self.run_cli(lab, "resume"), "rotate-keys resumed")

    def check_harm(self, reads, canaries):
        stood = sum(until - since for _, since, until in canaries.spans)
        say(f"canaries stood for {stood:.3f} s; lists through s3 failed for {reads[2].window():.3f} s "
            f"({len(reads[2].errors)} of {reads[2].count + len(reads[2].errors)} reads)")
        self.assertIsNone(canaries.failure)
        self.assertEqual({}, canaries.present)
        self.assertTrue(canaries.spans, "no canary was ever there")
        self.assertLess(stood, 5)
        self.assertLess(reads[2].window(), 5)
        for read in reads:
            self.assertIsNone(read.failure)
            self.assertGreater(read.count, 50)
        self.assertEqual(([], []), (reads[0].errors, reads[1].errors))

    def explained(self, lab):
        found = json.loads(self.run_cli(lab, "explain", "-o", "json").stdout)
        operation = found["operation"]
        self.assertEqual(("disproved", "s3", "readable"), (operation["row"], operation["on"], operation["phase"]))
        self.assertLess(0, operation["rowsince"])
        proof = next(p for p in found["proofs"] if p["phase"] == "readable")
        self.assertEqual(("canary", "failed"), (proof["method"], proof["state"]))
        text = self.run_cli(lab, "explain").stdout
        for part in ("Decided by: row disproved", "On: s3", "s3 failed", "proving that every server reads the new key"):
            self.assertIn(part, text)
        self.assertIn("s3 failed", self.run_cli(lab, "status", "-o", "wide").stdout)

    def watches_work(self, lab):
        """A watch through S3 sees what is written through S1."""
        s1, s3 = lab.server("s1").kube, lab.server("s3").kube
        version = s3.call("GET", "/api/v1/namespaces/default/secrets")["metadata"]["resourceVersion"]
        events = []

        def watch():
            path = f"/api/v1/namespaces/default/secrets?watch=1&timeoutSeconds=3&resourceVersion={version}"
            events.append(s3.http.raw("GET", path, timeout=10))
        thread = threading.Thread(target=watch)
        thread.start()
        time.sleep(0.3)
        s1.create_secret("default", "watched", {"value": b"1"})
        thread.join(15)
        self.assertEqual(200, events[0][0], events)
        self.assertIn(b'"watched"', events[0][1])
        s1.delete_secret("default", "watched")

    def goes_on(self, lab):
        command = lab.cli_start("rotate-keys")
        self.wait_operation(lab, "the drop is issued", lambda op: op["phase"] == "drop" and op["target"],
                            command=command)
        self.refused(lab, "point of no return", "abort")
        self.assertRegex(self.ends(lab, command), r"(?m)^keys rotated, reencryption (started|finished)$")
        self.assertEqual(2, lab.record("rotation")["op"]["attempt"])


if __name__ == "__main__":
    support.main()
