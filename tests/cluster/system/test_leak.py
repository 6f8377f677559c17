"""No key leaks: a whole rotation on three servers (or $SERVERS), and a retired key brought back, with everything logged
that can be. Then every key that ever existed is looked for, in every form that one could take, in logs, in etcd with
its history, in argument lists, environments and memory of every process, in cores, and in every file.

Each search is shown something that was planted for it, and has to find it."""
import contextlib
import os
import resource
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import support
from support import LabTest, files, labs, observe, say
import leaks

SERVERS = int(os.environ.get("SERVERS", "3"))
SECRETS = 60
# All but what tells of nothing but waiting, which would be most of it.
TRACE = "all,-timer,-timer_check,-polling,-executor,-combiner,-cq_refcount,-pending_tags,-queue_pluck,-queue_timeout"
FORMATS = {"s2": "json"}  # the others: logfmt


class LeakTest(LabTest):
    def setUp(self):
        for name, value in (("GRPC_VERBOSITY", "DEBUG"), ("GRPC_TRACE", TRACE)):
            os.environ[name] = value
            self.addCleanup(os.environ.pop, name, None)
        scratch = tempfile.TemporaryDirectory(prefix="secrets-encrypt-leak-")
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)

    def test_no_key_leaks(self):
        settings = {"log": lambda server: {"level": "debug", "format": FORMATS.get(server.name, "logfmt")}}
        with self.lab(SECRETS, servers=SERVERS, members=1, settings=settings) as lab:
            history = leaks.History(lab, self.scratch)
            self.addCleanup(history.stop)
            memory = leaks.Memory(lab)
            memory.needles = leaks.forms(first_keys(lab))
            with observe.Files(lab) as seen, leaks.Family(lab) as family, memory:
                self.run_cli(lab, "rotate-keys")
                self.assert_rotated(lab, seen)
                memory.needles = leaks.forms(seen.keys)
                self.run_cli(lab, "keys", "restore", "aescbckey", "--wait")
                looks = memory.looks
                labs.wait_for("memory is looked into once more", lambda: memory.looks > looks + 1, 60)
                self.plant_process(family)
            needles = leaks.forms(seen.keys)
            self.assertGreaterEqual(len(seen.keys), 2, "no key was made")
            say(f"{len(seen.keys)} keys in {len(needles)} forms")
            self.check_the_search(lab, needles)
            self.check_processes(family, needles)
            self.check_memory(lab, memory)
            self.check_history(history, needles)
            self.check_cores(lab)
            self.check_files(lab, needles, family)

    # --- each search finds what was planted ---

    def check_the_search(self, lab, needles):
        """In the middle of a copy of a log's end."""
        whole = (lab.servers[0].dir / "coordinator.log").read_bytes()
        self.assertTrue(b"level=debug" in whole and b"READ DATA" in whole, "it was not logged at its loudest")
        log = whole[-256 * 1024:]
        self.assertEqual([], leaks.found_in(log, needles))
        for server in lab.servers[1:2]:
            self.assertIn(b'"level":"', (server.dir / "coordinator.log").read_bytes())
        copy, middle = self.scratch / "log", len(log) // 2
        for what, needle in needles.items():
            copy.write_bytes(log[:middle] + needle + log[middle:])
            self.assertIn(what, leaks.found_in_file(copy, needles)[0])
        copy.unlink()

    def plant_process(self, family):
        """A process with something that looks like a key in its environment, and one in its arguments."""
        self.planted = os.urandom(16).hex()
        in_arguments = ["sh", "-c", f"sleep 30; : {self.planted}"]
        for argv, env in ((["sleep", "30"], {"PLANTED": self.planted}), (in_arguments, {})):
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env={**os.environ, **env}, start_new_session=True)
            part = "environ" if env else "cmdline"
            labs.wait_for(f"it is seen in {part}", lambda p=part: any(
                self.planted.encode() in text for kind, text in list(family.seen) if kind == p), 10)
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)

    # --- the places ---

    def check_processes(self, family, needles):
        self.assertIsNone(family.failure)
        self.assertEqual({"secrets-encrypt", "secrets-encrypt-agent", "secrets-encrypt-coordinator"}, family.programs)
        for part, text in family.seen:
            self.assertEqual([], leaks.found_in(text, needles), f"a key in {part} of {text.split(bytes(1))[0]}")
        say(f"{len(family.seen)} argument lists and environments")

    def check_memory(self, lab, memory):
        self.assertIsNone(memory.failure)
        self.assertGreater(memory.bytes, 0, "no memory was read")
        say(f"{memory.looks} looks into the memory of agents and coordinators, {memory.bytes >> 20} MiB")
        self.assertEqual(set(), memory.hits)

    def check_history(self, history, needles):
        values = history.upto_now()
        self.assertTrue(any(b"/bundles/" in key for key, _, _ in values), "no bundle: where is the key durable?")
        self.assertTrue(any(b"/escrow/" in key for key, _, _ in values), "no key in escrow")
        for key, revision, value in values:
            self.assertEqual([], leaks.found_in(key + b"=" + value, needles), f"a key in {key} at {revision}")
        say(f"{len(values)} values in etcd, all revisions")
        what, needle = "planted", os.urandom(32)  # no key of the cluster: it stays in etcd's files
        history.lab.etcd.put("/leak-test/planted", needle)
        history.lab.etcd.delete("/leak-test/planted")
        self.assertIn([what], [leaks.found_in(value, {what: needle}) for _, _, value in history.upto_now()])

    def check_cores(self, lab):
        """SIGABRT, with cores allowed from outside: none is written. A program that does not mind them leaves one."""
        folder = self.scratch / "cores"
        folder.mkdir()
        self.assertEqual([], list(lab.dir.glob("**/core*")))
        infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        other = subprocess.Popen(["sleep", "60"], cwd=folder)
        aborted = [p for s in lab.servers for p in (s.agent, s.coordinator)]
        for child, pid in [(other, other.pid)] + [(p.child, p.pid) for p in aborted]:
            with contextlib.suppress(PermissionError):  # the coordinator's hard limit is 0; not every root may raise it
                resource.prlimit(pid, resource.RLIMIT_CORE, infinite)
            os.kill(pid, signal.SIGABRT)
            self.assertEqual(-signal.SIGABRT, child.wait(30))
        if not list(folder.glob("core*")):
            say("this machine puts no core beside the program: only that none stands with ours is seen")
        self.assertEqual([], list(lab.dir.glob("**/core*")))
        for program in aborted:
            program.child = None  # ended as asked

    def check_files(self, lab, needles, family):
        """Everything under the lab's folder: logs, state, snapshots, etcd's database with its history, its log; and
        nothing was written elsewhere."""
        outside = {p for p in family.written if not p.startswith(f"{lab.dir}/")}
        self.assertEqual(set(), outside)
        size = count = 0
        for path in leaks.walk(lab.dir):
            hits, length = leaks.found_in_file(path, needles)
            size, count = size + length, count + 1
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
            if path.name == "encryption-config.json":
                self.assertNotEqual([], hits, f"{path}: the search finds nothing even here")
                self.assertEqual(0o600, mode, path)
            elif hits:  # the file from before, which an agent may keep as closely as the file itself
                self.assertEqual(("state", 0o600), (path.parent.name, mode), f"{hits} in {path}")
        say(f"{count} files searched, {size >> 20} MiB")


def first_keys(lab):
    return {name: secret for s in lab.servers for name, secret in files.keys_in(s.encryption_config.read_text())}


if __name__ == "__main__":
    support.main()
