"""Rolling restarts on three real API servers: each once, in order, one at a time; some of them; halted by one that
does not come back, and resumed with those that are left; ended. And the lock, beside which nothing starts and which a
dead holder loses. The audit trail tells of all of it."""
import os
import signal

import support
from support import LabTest, labs, names, observe, processes, say, without_repeats

SECRETS = 30
REFUSED = (4, 5)
TTL = 5  # seconds, the shortest that a lock has


class RestartTest(LabTest):
    def test_restarts(self):
        with self.lab(SECRETS, servers=3, members=1, settings={"ready_timeout": 25}) as lab, \
                observe.Availability(lab) as availability:
            labs.wait_for("the present config is taken over", lambda: (lab.record("rotation") or {}).get("generation"),
                          60)
            self.before = {s.name: s.encryption_config.read_bytes() for s in lab.servers}
            self.all_of_them(lab)
            self.some_of_them(lab)
            self.one_does_not_come_back(lab)
            self.ended_halfway(lab)
            self.between_the_steps(lab)
            self.assertEqual([], availability.overlaps())
            self.assert_readable(lab, SECRETS)
            self.told(lab)

    # --- what is looked at ---

    def processes_of(self, lab):
        return {s.name: s.entry()["pid"] for s in lab.servers}

    def restarted(self, lab, expected, command):
        """Runs it; exactly these servers were restarted, in this order, and every file is as it was."""
        count, before = len(lab.restarts()), self.processes_of(lab)
        result = command()
        self.assertEqual(expected, lab.restarts()[count:])
        after = self.processes_of(lab)
        self.assertEqual(set(expected), {n for n in after if after[n] != before[n]})
        self.assertEqual(self.before, {s.name: s.encryption_config.read_bytes() for s in lab.servers})
        for server in lab.servers:
            lab.wait_ready(server, 5)
        return result

    def refuses(self, lab, text, *args):
        result = lab.cli(*args)
        say(f"secrets-encrypt {' '.join(args)} -> {result.returncode}: {result.stderr.strip()}")
        self.assertIn(result.returncode, REFUSED, result.stderr)
        self.assertIn(text, result.stderr)
        self.assertEqual(1, len(result.stderr.splitlines()), result.stderr)

    def operation(self, lab):
        return lab.record("rotation")["op"]

    # --- what is done ---

    def all_of_them(self, lab):
        generation = lab.record("rotation")["generation"]
        result = self.restarted(lab, names(lab), lambda: self.run_cli(lab, "restart", "--reason", "new flags", "--wait"))
        self.said(result, "servers restarted")
        operation = self.operation(lab)
        self.assertEqual(("restart", "finished", 3, "new flags"),
                         (operation["kind"], operation["state"], operation["restarted"], operation["reason"]))
        self.assertEqual(generation, lab.record("rotation")["generation"])
        self.assertEqual([], lab.etcd.range(lab.key("orders/")))

    def some_of_them(self, lab):
        self.restarted(lab, ["s2", "s3"],
                       lambda: self.run_cli(lab, "restart", "--server", "s3", "--server", "s2", "--wait"))
        self.refuses(lab, "'s9' is not among the cluster's servers", "restart", "--server", "s9")

    def one_does_not_come_back(self, lab):
        """S1 is done, S2 hangs, S3 is not touched; once S2 is mended it goes on with S2 and S3."""
        s2, count = lab.server("s2"), len(lab.restarts())
        s2.broken("hang")
        result = lab.cli("restart", "--wait")
        say(f"restart with an s2 that hangs -> {result.returncode}: {result.stderr.splitlines()[-1]}")
        self.assertIn(result.returncode, (1, 4, 7))
        self.assertIn("s2", result.stderr.splitlines()[-1])
        operation = self.operation(lab)
        self.assertEqual(("halted", "server", 1), (operation["state"], operation["cause"], operation["restarted"]))
        self.assertEqual(["s1", "s2"], without_repeats(lab.restarts()[count:]))
        self.refuses(lab, "s2", "restart")
        self.refuses(lab, "s2", "rotate-keys")
        s2.broken()
        lab.restart("s2")
        count = len(lab.restarts())
        self.run_cli(lab, "resume", "--wait")
        self.assertEqual(["s2", "s3"], lab.restarts()[count:])
        self.assertEqual("finished", self.operation(lab)["state"])
        self.assertEqual(operation["id"], self.operation(lab)["id"])

    def ended_halfway(self, lab):
        """Whoever waits for it is told; no further server restarts once the one at work is done."""
        count = len(lab.restarts())
        with processes.locked(lab.dir / "s1" / "restart.lock"):  # s1 stays at work until it was aborted
            command = lab.cli_start("restart", "--wait")
            self.wait_operation(lab, "the restart", lambda op: op["kind"] == "restart" and op["state"] == "running")
            order = labs.wait_for("s1's order", lambda: lab.record("orders/s1"), 30, every=0.02)
            self.run_cli(lab, "abort", "--wait")
        self.assertNotEqual(0, labs.wait_for("the command ends", lambda: command.exit_code, 60))
        self.assertIn("restart was aborted", command.tail())
        operation = self.operation(lab)
        self.assertEqual(("abort", "finished", True), (operation["kind"], operation["state"], operation["ends"]))
        self.wait_report(lab, "s1", "its order is done",
                         lambda r: (r["order_id"], r["order_state"]) == (order["id"], "done"))
        for server in lab.servers:
            lab.wait_ready(server, 60)
        self.assertEqual(["s1"], lab.restarts()[count:])

    def between_the_steps(self, lab):
        """Beside a step of a rotation it is refused; between two it is not, and aborting it takes nothing back."""
        command = lab.cli_start("prepare")
        self.wait_operation(lab, "prepare", lambda op: op["kind"] == "prepare" and op["state"] == "running")
        self.refuses(lab, "prepare is still running", "restart")
        self.ends(lab, command)
        self.before = {s.name: s.encryption_config.read_bytes() for s in lab.servers}
        before = lab.record("rotation")
        self.restarted(lab, names(lab), lambda: self.run_cli(lab, "restart", "--wait"))
        after = lab.record("rotation")
        for name in ("stage", "generation", "base", "new_key", "issued"):
            self.assertEqual(before[name], after[name], name)
        self.said(self.run_cli(lab, "abort", "--wait"), "aborted: every server is back at the config from before")

    def told(self, lab):
        """Who, what and what became of it; in the order in which it was."""
        entries = [kv.body() for kv in lab.etcd.range(lab.key("~audit/"))]
        operations = [(e["what"].split()[0], e["result"]) for e in entries if e["call"] == "operation"]
        say(f"{len(entries)} entries: {operations}")
        restarts = [result for kind, result in operations if kind == "restart"]
        self.assertEqual(["started", "finished"] * 2 + ["started", "halted", "finished", "started", "aborted",
                                                         "started", "finished"], restarts)
        self.assertIn(("prepare", "phase"), operations)
        refused = [e["why"] for e in entries if e["result"] == "refused"]
        self.assertTrue(any("'s9'" in why for why in refused), refused)
        first = next(e for e in entries if e["what"].startswith("restart "))
        self.assertEqual("new flags", first["why"])
        self.assertIn("@", first["who"])
        self.assertIn(first["server"], names(lab))
        named = [e["what"] for e in entries if e["result"] == "started" and " of s3, s2" in e["what"]]
        self.assertEqual(1, len(named))


class LockTest(LabTest):
    def test_lock(self):
        with self.lab(servers=1, members=1) as lab:
            labs.wait_for("the present config is taken over", lambda: (lab.record("rotation") or {}).get("generation"),
                          60)
            self.held_and_given_back(lab)
            self.held_by_a_command(lab)
            self.lost_with_its_holder(lab)
            self.run_cli(lab, "restart", "--wait")
            self.assertEqual(["s1"], lab.restarts())

    def refuses(self, lab, text, *args):
        result = lab.cli(*args)
        self.assertIn(result.returncode, REFUSED, result.stderr)
        self.assertIn(text, result.stderr)

    def held_and_given_back(self, lab):
        self.assertIn("locked for 600 s", self.run_cli(lab, "lock", "--reason", "kernel update", "--ttl", "600").stdout)
        lock = lab.record("lock")
        self.assertEqual(("kernel update", 600), (lock["reason"], lock["ttl_s"]))
        for command in (["rotate-keys"], ["restart"], ["lock"], ["prepare", "--force"]):
            self.refuses(lab, "holds the cluster's lock: kernel update", *command)
        self.assertEqual([], lab.restarts())
        self.run_cli(lab, "unlock")
        self.assertIsNone(lab.record("lock"))
        self.refuses(lab, "nobody holds", "unlock")

    def held_by_a_command(self, lab):
        """Longer than the lock's own time; its exit code comes back, also a signal's."""
        seen = lab.dir / "seen"
        script = f"sleep {2 * TTL}; {' '.join(lab.cli_argv('restart'))} 2>{seen}; exit 7"
        self.run_cli_code(lab, 7, "lock", "--ttl", str(TTL), "--", "sh", "-c", script)
        self.assertIn("holds the cluster's lock", seen.read_text(encoding="utf-8"))
        self.assertIsNone(lab.record("lock"))
        self.run_cli_code(lab, 128 + signal.SIGKILL, "lock", "--", "sh", "-c", "kill -9 $$")
        self.run_cli_code(lab, 127, "lock", "--", "/no/such/program")
        self.assertIsNone(lab.record("lock"))
        self.assertEqual([], lab.restarts())

    def run_cli_code(self, lab, code, *args):
        result = lab.cli(*args)
        say(f"secrets-encrypt {' '.join(args[:4])} … -> {result.returncode} {result.stderr.strip()}")
        self.assertEqual(code, result.returncode, result.stderr)

    def lost_with_its_holder(self, lab):
        pid_file = lab.dir / "command.pid"
        holder = lab.cli_start("lock", "--ttl", str(TTL), "--", "sh", "-c", f"echo $$ >{pid_file}; exec sleep 600")
        lock = labs.wait_for("the lock", lambda: lab.record("lock"), 30)
        pid = int(labs.wait_for("the command", lambda: pid_file.exists() and pid_file.read_text(), 30))
        try:
            holder.kill()
            labs.wait_for("the lock is gone", lambda: lab.record("lock") is None, 3 * TTL)
            say(f"lock {lock['id']} went with its holder")
        finally:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    support.main()
