"""What the system tests share: a lab whose state is printed when a test fails, K3s's status text, and the
checks that every finished rotation has to pass."""
import contextlib
import hashlib
import os
import re
import signal
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "lab"))
import files  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import observe  # noqa: E402
import processes  # noqa: E402

SEED = "system-test"
STAGES = ["start", "prepare", "rotate", "reencrypt_request", "reencrypt_active", "reencrypt_finished"]
CANARIES = "/registry/secrets/kube-system/secrets-encrypt-canary-"
KEY_NAME = re.compile(r"^(aescbc|aesgcm|secretbox)key-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
BEGAN = time.monotonic()


def say(text):
    """A line about what the test does now."""
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


def main():
    """Runs the tests of the calling file; gives up, with a diagnosis, before ctest would kill it."""
    def too_late(*_):
        raise TimeoutError("the test took too long")
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(int(os.environ.get("SYSTEM_TEST_SECONDS", "600")))
    unittest.main(verbosity=2, warnings="ignore")


class LabTest(unittest.TestCase):
    """A test on a lab."""

    maxDiff = None

    @contextlib.contextmanager
    def lab(self, secrets=0, programs=True, **more):
        """A running lab with `secrets` Secrets in it; says what there is to see when the test fails."""
        with labs.Lab(**more) as lab:
            try:
                if programs:
                    lab.need_programs()
                lab.start()
                say(f"{len(lab.servers)} API servers and {len(lab.etcd_urls)} etcd members run in {lab.dir}")
                if programs:
                    lab.start_programs()
                    say(f"agents and coordinators run, {lab.leader()} leads")
                if secrets:
                    kube.make_secrets(lab.clients(), SEED, range(secrets))
                    say(f"{secrets} Secrets are there: {lab.count_by_key()}")
                yield lab
                started = [p for s in lab.servers for p in (s.agent, s.coordinator) if p.child]
                self.assertEqual([], [f"{p.name} ended with {p.exit_code}" for p in started if not p.alive])
            except BaseException:
                print(lab.diagnosis(), flush=True)
                raise

    def run_cli(self, lab, *args, code=0, timeout=400):
        """Runs the CLI and checks its exit code; a failure has to be one line, after those of the progress."""
        began = time.monotonic()
        result = lab.cli(*args, timeout=timeout)
        say(f"secrets-encrypt {' '.join(args)} -> {result.returncode}, {time.monotonic() - began:.1f} s")
        self.assertEqual(code, result.returncode, f"{args}: {result.stdout}{result.stderr}")
        if code:
            own = [line.startswith("secrets-encrypt: ") for line in result.stderr.splitlines()
                   if "goes on, with the same key" not in line]
            self.assertEqual((1, True), (sum(own), own[-1]), f"not one line at the end: {result.stderr!r}")
        return result

    def refused(self, lab, text, *args, code=None):
        """The CLI refuses with K3s's text, and the exit code of its cause."""
        code = code or (3 if "hash does not match" in text else 4 if "is not ready" in text else 5)
        self.assertIn(text, self.run_cli(lab, *args, code=code).stderr)

    def said(self, result, line):
        """One of the lines on stdout is K3s's."""
        self.assertIn(line, result.stdout.splitlines())

    def assert_status(self, lab, seconds=0, **expected):
        """The status text is K3s's, byte for byte; within `seconds`, as servers publish by themselves."""
        wanted, deadline = status_text(**expected), time.monotonic() + seconds
        while True:
            result = lab.cli("status")
            if result.stdout == wanted or time.monotonic() >= deadline:
                break
            time.sleep(0.3)
        self.assertEqual(wanted, result.stdout, result.stderr)
        self.assertEqual(0, result.returncode)

    def assert_readable(self, lab, secrets):
        """Every Secret reads back through every server as it was written."""
        self.assertEqual([], kube.read_errors(lab.clients(), SEED, range(secrets))[:5])

    def wait_operation(self, lab, what, check, seconds=120, command=None):
        """Waits until check(the operation as it stands in the rotation record) is true; returns the operation.

        Not any longer than the command that asked for it runs."""
        def look():
            if command and command.exit_code is not None:
                raise labs.LabError(f"the command ended before {what}: {command.tail(3)}")
            operation = lab.record("rotation")["op"]
            return operation if check(operation) else None
        return labs.wait_for(what, look, seconds, every=0.02)

    def wait_order(self, lab, server, generation, seconds=120):
        """Waits until a server is given an order for a generation."""
        def given():
            order = lab.record(f"orders/{server}")
            return order and order["generation"] == generation
        labs.wait_for(f"{server} is ordered generation {generation}", given, seconds, every=0.02)

    def wait_report(self, lab, server, what, check, seconds=120):
        """Waits until check(what a server reports) is true; returns the report."""
        def look():
            report = lab.record(f"servers/{server}/report")
            return report if report and check(report) else None
        return labs.wait_for(f"{server}: {what}", look, seconds, every=0.02)

    def ends(self, lab, command, code=0, seconds=240):
        """Waits for a command in the background; returns what it printed."""
        labs.wait_for(f"{command.name} ends", lambda: command.exit_code is not None, seconds)
        say(f"{' '.join(command.argv[3:])} -> {command.exit_code}")
        self.assertEqual(code, command.exit_code, command.tail())
        return command.tail()

    def assert_rotated(self, lab, seen, provider="aescbc", old="aescbckey", resources=("secrets",)):
        """One new key, the same everywhere, under which every value stands; returns its name."""
        self.assertIsNone(seen.failure)
        self.assertEqual(set(), seen.differing, "one key name stood for two keys")
        self.assertEqual(1, len(seen.new_names()), f"keys that were made: {seen.new_names()}")
        name, = seen.new_names()
        self.assertRegex(name, KEY_NAME)
        self.assertTrue(name.startswith(provider), name)
        self.assertEqual({0o600}, seen.modes)
        texts = {s.name: s.encryption_config.read_text() for s in lab.servers}
        self.assertEqual(1, len(set(texts.values())), f"files differ: {[hash_of(t) for t in texts.values()]}")
        text = texts["s1"]
        self.assertIn(name, text)
        self.assertNotIn(old, {n for n, _ in files.keys_in(text)}, "the old key is still in the file")
        published = {s.name: lab.etcd.get(lab.key(f"servers/{s.name}/hash"))[0].value.decode() for s in lab.servers}
        self.assertEqual({s: f"reencrypt_finished-{hash_of(text)}" for s in texts}, published)
        for resource in resources:
            counts = lab.count_by_key(resource)
            self.assertEqual(0, counts.pop("plain"), f"{resource}: plain values")
            self.assertEqual([f"{provider}:{name}"], list(counts), f"{resource}: {counts}")
        return name


def hash_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def status_text(stage, rows, enabled="Enabled", mismatch=None):
    """K3s's status: rows are (active, key type, name)."""
    width = max([len("Key Type")] + [len(kind) for _, kind, _ in rows]) + 2
    lines = [f"Encryption Status: {enabled}", f"Current Rotation Stage: {stage}",
             "Server Encryption Hashes: " + (f"hash does not match between {mismatch}" if mismatch
                                             else "All hashes match"), "",
             f"Active  {'Key Type':<{width}}Name", f"------  {'--------':<{width}}----"]
    lines += [f"{' *' if active else '':<8}{kind:<{width}}{name}" for active, kind, name in rows]
    return "\n".join(lines) + "\n\n"


def without_repeats(names):
    """s1 s1 s2 s2 -> s1 s2"""
    return [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]


def names(lab):
    return [s.name for s in lab.servers]


__all__ = ["BEGAN", "CANARIES", "LabTest", "STAGES", "SEED", "files", "hash_of", "kube", "labs", "main", "names", "observe", "processes",
           "say",
           "status_text", "without_repeats", "KEY_NAME"]
