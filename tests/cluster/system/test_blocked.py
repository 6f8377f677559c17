"""What blocks a rotation: an API server that is alive in the datastore's own records and that nobody told us about,
before a rotation and during one; and a disk that is too small for the snapshot."""
import subprocess
import time

import support
from support import LabTest, labs, observe, say

SECRETS = 60
FORGOTTEN = "10.9.8.7"
LEASE = f"/registry/masterleases/{FORGOTTEN}"
ON_TMPFS = 'mount -t tmpfs -o size=8m,mode=0700 tmpfs "$0" && exec "$@"'


class BlockedTest(LabTest):
    def test_blocked(self):
        with self.lab(SECRETS, servers=1, members=1) as lab, observe.Files(lab) as seen:
            self.first_start_says_what_is_in_the_way(lab)
            self.forgotten_server_blocks_the_start(lab)
            self.small_disk(lab)
            self.forgotten_server_blocks_the_next_step(lab)
            seen.look()
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)
            self.assertEqual(["s1"] * 3, lab.restarts())

    def first_start_says_what_is_in_the_way(self, lab):
        """Installed beside a server that nobody told us about: nothing is taken over, and the coordinator's log says why."""
        s1 = lab.server("s1")
        labs.wait_for("the present config is taken over", lambda: (lab.record("rotation") or {}).get("generation"), 60)
        for program in (s1.coordinator, s1.agent):
            program.stop()
        lab.etcd.delete_prefix(lab.key(""))
        (s1.dir / "state" / "agent.json").unlink()
        lab.etcd.put(LEASE, "k8s\0")
        old = len(s1.coordinator.log.read_text())
        for program in (s1.coordinator, s1.agent):
            program.start()
        line = labs.wait_for("the coordinator's log says why", lambda: next(
            (line for line in s1.coordinator.log.read_text()[old:].splitlines() if "is not taken over" in line), None), 60)
        say(line)
        self.assertIn(f"{FORGOTTEN} is alive in the datastore", line)
        self.assertIsNone(lab.record("rotation"))
        lab.etcd.delete(LEASE)
        labs.wait_for("it is taken over", lambda: (lab.record("rotation") or {}).get("generation") == 1, 60)
        self.assertEqual(1, s1.coordinator.log.read_text()[old:].count("is not taken over"))

    def forgotten_server_blocks_the_start(self, lab):
        lab.etcd.put(LEASE, "k8s\0")
        labs.wait_for("status names it", lambda: FORGOTTEN in (lab.record("apis") or {}).get("unknown", ""), 30)
        self.assertIn(FORGOTTEN, self.run_cli(lab, "status", "-o", "wide").stdout)
        self.assertIn(f"{FORGOTTEN} is alive in the datastore", self.run_cli(lab, "explain").stdout)
        self.refused(lab, f"{FORGOTTEN} is alive in the datastore", "rotate-keys")
        self.assertEqual(1, lab.record("rotation")["issued"])
        lab.etcd.delete(LEASE)
        labs.wait_for("status names it no more", lambda: not lab.record("apis")["unknown"], 30)

    def small_disk(self, lab):
        """The snapshots' folder is 8 MiB large, in the coordinator's own mount namespace; then it grows."""
        folder, coordinator = lab.servers[0].dir / "state" / "snapshots", lab.servers[0].coordinator
        folder.mkdir(mode=0o700, exist_ok=True)
        coordinator.stop()
        coordinator.argv = ["unshare", "--mount", "sh", "-c", ON_TMPFS, str(folder), *coordinator.argv]
        coordinator.start()
        labs.wait_for("it leads again", lambda: lab.leader() == "s1", 30)
        error = self.run_cli(lab, "rotate-keys", code=7).stderr.splitlines()[-1]
        self.assertRegex(error, rf"no backup of the datastore: {folder} has \d+ MiB free and needs \d+ MiB")
        record = lab.record("rotation")
        self.assertEqual(("halted", "backup", 1), (record["op"]["state"], record["op"]["phase"], record["issued"]))
        self.assertEqual([], lab.restarts())
        subprocess.run(["nsenter", "--mount", "--target", str(coordinator.pid), "mount", "-o", "remount,size=256m",
                        str(folder)], check=True, timeout=10, stdin=subprocess.DEVNULL)
        say("the disk has room now")

    def forgotten_server_blocks_the_next_step(self, lab):
        command = lab.cli_start("rotate-keys")
        self.wait_order(lab, "s1", 2)
        lab.etcd.put(LEASE, "k8s\0")
        self.wait_report(lab, "s1", "ready with generation 2", lambda r: r["loaded_generation"] == 2 and r["ready"])
        self.wait_operation(lab, "it blocks", lambda op: op["row"] == "unknown-api", 20)
        before, began = lab.record("rotation"), time.monotonic()
        self.assertIn(FORGOTTEN, before["op"]["why"])
        explain = self.run_cli(lab, "explain").stdout
        self.assertIn(f"{FORGOTTEN} is alive in the datastore", explain)
        self.assertIn("Decided by: row unknown-api", explain)
        while time.monotonic() - began < 3:
            now = lab.record("rotation")
            self.assertEqual([before[k] for k in ("issued", "next_order")], [now[k] for k in ("issued", "next_order")])
            time.sleep(0.2)
        self.assertEqual("running", now["op"]["state"])
        lab.etcd.delete(LEASE)
        self.assertRegex(self.ends(lab, command), r"(?m)^keys rotated, reencryption (started|finished)$")


if __name__ == "__main__":
    support.main()
