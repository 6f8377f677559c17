"""Abort at three moments: after S1's append, after the new key was promoted on S1 alone, in the middle of the
rewriting. Each time every server ends with the very file that it had, every value under the old key, nothing lost.

Before that: the coordinator dies while a canary stands. The canary goes with its lease; the successor goes on."""
import contextlib
import signal
import time

import support
from support import CANARIES, LabTest, labs, observe, processes, say
import writers

SECRETS = 150
OLD = "aescbckey"
TRIES = 3
PROMOTED, APPENDED = HELD = "promoted on s1 only", "appended on s1 only"  # s1's restart waits until that is aborted
LEASE = 5  # seconds that a canary has, at most


class AbortTest(LabTest):
    def test_ways_back(self):
        # Slow rewriting, so that there is a middle of it.
        with self.lab(SECRETS, servers=2, members=1, settings={"reencrypt": {"max_rate": 20}}) as lab, \
                observe.Availability(lab) as availability:
            self.before = [s.encryption_config.read_bytes() for s in lab.servers]
            with writers.Writers(lab.clients(), threads=2, pause=0.2) as users:
                self.canary_outlives_its_coordinator(lab)
                self.abort_when(lab, users, PROMOTED, 2, "rotate",
                                lambda: self.s1_at_work(lab, "promote"))
                self.abort_when(lab, users, APPENDED, 1, "rotate-keys",
                                lambda: self.s1_at_work(lab, "append"))
                self.abort_when(lab, users, "rewriting", 4, "rotate-keys", lambda: self.rewriting(lab))
            say(f"users: {users.acknowledged}, {users.retries} retries")
            self.assertEqual(([], []), (users.read_errors[:5], users.check()[:5]))
            self.assertGreater(users.acknowledged["update"], 30, "the writers hardly wrote: the test proves nothing")
            self.assertEqual([], availability.overlaps())
            self.refused(lab, "nothing to abort", "abort")

    def canary_outlives_its_coordinator(self, lab):
        """On a busy machine the kill may come too late for the canary: then it is tried again with another key."""
        for _ in range(TRIES):
            if self.kill_beside_a_canary(lab):
                return
            say("the canary went before its coordinator died: once more")
            self.run_cli(lab, "abort", "--wait")
        self.fail(f"the canary went {TRIES} times before its coordinator died: the test proves nothing")

    def kill_beside_a_canary(self, lab):
        """The API servers limp while they shall read the canary, so that there is time to kill the coordinator. The
        coordinators are stopped until they do: the canary's turn comes within milliseconds. False: it was too late."""
        killed, stood = [], []

        def kill():
            for server in lab.servers:
                server.coordinator.signal(signal.SIGSTOP)
            victim = lab.leader()
            lab.server(victim).coordinator.kill()
            stood[:] = lab.etcd.range(CANARIES, keys_only=True)
            killed[:] = [time.monotonic(), victim]
            for server in lab.servers:
                if server.name != victim:
                    server.coordinator.signal(signal.SIGCONT)
        canaries = observe.Keys(lab, CANARIES, found=kill)
        command = lab.cli_start("prepare")
        issued = self.wait_operation(lab, "append is issued", lambda o: o["phase"] == "append" and o["target"],
                                     command=command)["target"]
        self.wait_order(lab, "s2", issued)
        for server in lab.servers:
            server.coordinator.signal(signal.SIGSTOP)
        self.wait_report(lab, "s2", "the order is done", lambda r: r["generation"] == issued and r["order_state"] == "done")
        with canaries, observe.Limp(lab.servers):
            for server in lab.servers:
                server.coordinator.signal(signal.SIGCONT)
            labs.wait_for("a canary, or the end", lambda: killed or command.exit_code is not None, 60)
            if not killed:
                return False
            victim = killed[1]
            say(f"killed the coordinator on {victim} while {len(stood)} canaries stood")
            labs.wait_for("the canary is gone", lambda: not lab.etcd.range(CANARIES), LEASE + 5)
            gone = time.monotonic() - killed[0]
        say(f"the canary was gone {gone:.1f} s later")
        self.assertLess(gone, LEASE + 2)
        self.said_in(self.ends(lab, command), "prepare completed successfully")
        self.assertNotEqual(victim, lab.leader())
        lab.server(victim).coordinator.start()
        for server in lab.servers:
            self.wait_report(lab, server.name, "ready again", lambda r: r["ready"])
        self.assertEqual([], lab.etcd.range(CANARIES))
        return bool(stood)

    def said_in(self, text, line):
        self.assertIn(line, text.splitlines())

    def s1_at_work(self, lab, phase):
        """S1 got the phase's config and S2 did not."""
        operation = self.wait_operation(lab, f"{phase} is issued", lambda op: op["phase"] == phase and op["target"])
        self.wait_report(lab, "s1", f"at work on {phase}", lambda r: r["generation"] == operation["target"])

    def rewriting(self, lab):
        def middle():
            progress = lab.record("reencrypt")
            return progress and progress["state"] == "running" and progress["done"] > SECRETS / 5
        labs.wait_for("the middle of the rewriting", middle, 120, every=0.02)
        counts = lab.count_by_key()
        say(f"in the middle: {counts}")
        self.assertEqual(2, len([k for k, n in counts.items() if n > 10]), counts)

    def abort_when(self, lab, users, what, restarts, command, moment):
        before = len(lab.restarts())
        with processes.locked(lab.dir / "s1" / "restart.lock") if what in HELD else contextlib.nullcontext():
            process = lab.cli_start(command)
            moment()
            say(f"abort, {what}")
            abort = lab.cli_start("abort", "--wait")
            self.wait_operation(lab, "the abort", lambda op: op["kind"] == "abort")
        self.ends(lab, abort)
        self.assertIn("abort", self.ends(lab, process, code=1).splitlines()[-1])
        record = lab.record("rotation")
        self.assertEqual(("start", "abort", "finished", 0),
                         (record["stage"], record["op"]["kind"], record["op"]["state"], record["base"]))
        self.assertEqual(self.before, [s.encryption_config.read_bytes() for s in lab.servers])
        self.assert_status(lab, 20, stage="start", rows=[(True, "AES-CBC", OLD)])
        self.assert_under_the_old_key(lab)
        self.assert_readable(lab, SECRETS)
        self.assertEqual([], users.read_errors[:5])
        say(f"{what}: {lab.restarts()[before:]} were restarted")

    def assert_under_the_old_key(self, lab):
        """Raw, in the datastore; also of keys that stand in no file any more."""
        values = [kv.value for kv in lab.etcd.range("/registry/secrets/")]
        wrong = [v[:60] for v in values if not v.startswith(f"k8s:enc:aescbc:v1:{OLD}:".encode())]
        self.assertEqual([], wrong[:3])
        self.assertGreaterEqual(len(values), SECRETS)


if __name__ == "__main__":
    support.main()
