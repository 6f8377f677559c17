"""Values rewritten straight in etcd: while the API servers run, at a rate that can be changed; and with every API
server stopped, in batches."""
import time

import support
from support import LabTest, kube, labs, observe, processes, say

SECRETS = 600
SLOW = 8  # objects a second: less than a busy machine is left with


class EnginesTest(LabTest):
    def half_rotation(self, lab):
        for command in ("prepare", "rotate"):
            self.run_cli(lab, command)

    def reencrypting(self, lab, command, done):
        """Waits until so many are rewritten; returns the record."""
        def look():
            record = lab.record("reencrypt")
            if command.exit_code is not None:
                raise labs.LabError(f"the command ended: {command.tail(3)}")
            return record if record and record["done"] >= done else None
        return labs.wait_for(f"{done} values are rewritten", look, 120)

    def shared_revisions(self, lab):
        """How many values share their revision with another one."""
        revisions = [kv.mod_revision for kv in lab.etcd.range("/registry/secrets/")]
        return len(revisions) - len(set(revisions))

    def test_live_and_throttled(self):
        with self.lab(SECRETS) as lab, observe.Files(lab) as seen:
            self.refused(lab, "no operation runs", "throttle", "5")
            self.half_rotation(lab)
            command = lab.cli_start("reencrypt", "--engine", "datastore", "--max-rate", str(SLOW))
            began = self.reencrypting(lab, command, 1)
            time.sleep(3)
            now = lab.record("reencrypt")
            self.assertLess(now["done"] - began["done"], 6 * SLOW, now)
            self.assertEqual(("datastore", SLOW), (now["engine"], now["limit"]))
            # A busy machine may pause it for a moment.
            labs.wait_for("the rate that was asked for holds it back", lambda: "held back by the rate that was asked for"
                          in lab.cli("status", "-o", "wide").stdout, 30)
            self.said(self.run_cli(lab, "throttle", "2000"), "values are rewritten at 2,000 a second at most")
            self.ends(lab, command)
            seen.look()
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)
            self.assertEqual(0, self.shared_revisions(lab), "each value has a revision of its own")

    def test_offline(self):
        with self.lab(SECRETS) as lab, observe.Files(lab) as seen:
            self.half_rotation(lab)
            command = lab.cli_start("reencrypt", "--engine", "datastore", "--offline")
            self.wait_operation(lab, "it waits for the API servers to stop", lambda o: o["row"] == "standing",
                                command=command)
            self.assertIn("s1: its API server still runs", lab.cli("explain").stdout)
            for server in lab.servers:
                self.stop_apiserver(server)
            self.wait_operation(lab, "the old key is about to go", lambda o: o["phase"] == "drop", command=command)
            operation = self.wait_operation(lab, "it waits for the API servers", lambda o: o["row"] == "unready",
                                            command=command)
            self.assertEqual(0, operation["target"], "nothing was issued meanwhile")
            record = lab.record("reencrypt")
            self.assertEqual(("offline", SECRETS, 0), (record["engine"], record["done"], record["failed"]))
            self.assertGreater(self.shared_revisions(lab), SECRETS // 2, "written in batches")
            for server in lab.servers:
                lab._run_restart(server.name, "--start")
            for server in lab.servers:
                lab.wait_ready(server)
            self.ends(lab, command)
            seen.look()
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)

    def stop_apiserver(self, server):
        self.assertTrue(processes.end(server.entry(), 20))
        say(f"{server.name}'s API server is stopped")


if __name__ == "__main__":
    support.main()
