"""The shell of the pipelines in deploy/ci, against a program that only notes how it was called and answers as it is told to:
words with spaces, retries after a halt, exit codes, variables that are missing, and certificates as people paste them."""
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import pipelines

# Answers with the next code of its list for the command ("status" apart), and writes down its words.
STUB = """#!/usr/bin/python3
import json, os, sys
folder = os.environ["STUB"]
with open(folder + "/calls", "a") as f:
    f.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1:] == ["status", "-o", "json"]:
    print(open(folder + "/status").read())
elif sys.argv[1:] != ["status", "-o", "wide"]:
    codes = json.load(open(folder + "/codes"))
    code = codes.pop(0)
    json.dump(codes, open(folder + "/codes", "w"))
    after = folder + f"/status-after-{sys.argv[1]}"
    if os.path.exists(after):
        os.rename(after, folder + "/status")
    sys.exit(code)
"""
HALTED = '{\n\t"operation": {\n\t\t"id": "x",\n\t\t"attempt": %d,\n\t\t"ended": %d\n\t}\n}'


class Steps:
    """What both runners' steps have to do. `go(command, **variables)` gives the step's code."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secrets-encrypt-steps-")
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "secrets-encrypt").write_text(STUB)
        (self.folder / "bin" / "secrets-encrypt").chmod(0o755)
        for name in ("output", "summary", "calls"):
            (self.folder / name).touch()
        self.answers()

    def answers(self, *codes, status="{}", **after):
        (self.folder / "codes").write_text(json.dumps(codes or [0]))
        (self.folder / "status").write_text(status)
        (self.folder / "calls").write_text("")
        for command, text in after.items():
            (self.folder / f"status-after-{command.replace('_', '-')}").write_text(text)

    def shell(self, step, env):
        script = self.folder / "step.sh"
        script.write_text(step.script)
        done = subprocess.run([*step.shell, str(script)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=30, cwd=self.folder,
                              env={"PATH": f"{self.folder}/bin:/usr/bin:/bin", "STUB": str(self.folder), **env, **step.env})
        self.said = done.stdout + done.stderr
        return done.returncode

    def calls(self):
        """The words of each call but those that look only."""
        calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return [c for c in calls if c not in (["status", "-o", "json"], ["status", "-o", "wide"])]

    def key(self, call):
        return call[call.index("--idempotency-key") + 1]

    def test_words_with_spaces_stay_together(self):
        self.assertEqual(0, self.go("restart --server s2 --reason 'new  disks *' "), self.said)
        call, = self.calls()
        self.assertEqual(["restart", "--server", "s2", "--reason", "new  disks *", "--wait", "--timeout"], call[:7])
        self.assertEqual(2, self.go("restart --reason 'new"), self.said)
        self.assertEqual(2, self.go("  "), self.said)
        self.assertEqual(1, len(self.calls()))

    def test_nothing_of_it_is_run(self):
        self.assertEqual(0, self.go("restart --reason '$(touch gone)`touch gone`' --server '; touch gone'"), self.said)
        self.assertFalse((self.folder / "gone").exists())
        self.assertEqual(["$(touch gone)`touch gone`", "--server", "; touch gone"], self.calls()[0][2:5])

    def test_each_command_gets_the_flags_that_it_takes(self):
        for command in ("prepare", "rotate-keys", "restart", "resume", "abort", "keys restore k1", "repair s2"):
            self.answers(0)
            self.assertEqual(0, self.go(command), self.said)
            call, = self.calls()
            self.assertEqual(command.split(), call[:len(command.split())])
            self.assertEqual({"--wait", "--timeout", "--junit", "--idempotency-key"}, {w for w in call if w.startswith("--")}, command)
        self.answers(0)
        self.assertEqual(0, self.go("wait"), self.said)
        self.assertEqual({"--timeout", "--junit"}, {w for w in self.calls()[0] if w.startswith("--")})
        for command in ("status --check", "keys", "audit", "pause", "throttle 500", "unlock", "rotate-keys --dry-run", "explain"):
            self.answers(0)
            self.assertEqual(0, self.go(command), self.said)
            self.assertEqual([command.split()], self.calls())

    def test_the_exit_code_is_the_programs(self):
        for command in ("rotate-keys", "status --check"):
            for code in (0, 1, 3, 4, 5, 6, 8, 9):
                self.answers(code)
                self.assertEqual(code, self.go(command), self.said)
                self.assertEqual(1, len(self.calls()))

    def test_the_same_key_again_and_another_for_something_else(self):
        long = "restart --reason '" + "why " * 60 + "ü'"
        for command in ("rotate-keys", "rotate-keys", "restart", long):
            self.answers(0)
            self.assertEqual(0, self.go(command), self.said)
            self.keys = getattr(self, "keys", []) + [self.key(self.calls()[0])]
        self.assertEqual(self.keys[0], self.keys[1])
        self.assertEqual(3, len(set(self.keys)))
        for key in self.keys:
            self.assertRegex(key, r"^[ -~]{1,128}$")

    def test_what_halted_before_goes_on(self):
        old, new = HALTED % (1, 1000), HALTED % (2, 2000)
        self.answers(7, 0, status=old)  # the answer to this key was given then: nothing was tried
        self.assertEqual(0, self.go("rotate-keys"), self.said)
        self.assertEqual(["rotate-keys", "resume"], [c[0] for c in self.calls()])
        self.answers(7, 7, status=old, resume=new)
        self.assertEqual(7, self.go("rotate-keys"), self.said)
        self.assertEqual(["rotate-keys", "resume"], [c[0] for c in self.calls()])

    def test_what_halts_now_is_left_alone(self):
        running = '{\n\t"operation": {\n\t\t"attempt": 1,\n\t\t"ended": 0\n\t}\n}'
        for before, after in (("{}", HALTED % (1, 1000)), (running, HALTED % (1, 1000)), (HALTED % (1, 1000), HALTED % (2, 2000))):
            self.answers(7, status=before, rotate_keys=after)
            self.assertEqual(7, self.go("rotate-keys"), self.said)
            self.assertEqual(["rotate-keys"], [c[0] for c in self.calls()])

    def test_without_an_address_nothing_is_asked(self):
        self.assertEqual(2, self.go("rotate-keys", SECRETS_ENCRYPT_COORDINATOR=""), self.said)
        self.assertIn("empty", self.said)
        self.assertEqual([], self.calls())


class ProgramTest(unittest.TestCase):
    def test_the_commands_that_are_followed_are_those_that_can_be(self):
        program = Path(os.environ["SECRETS_ENCRYPT_BIN"]) / "secrets-encrypt"
        table = subprocess.run([program, "--table"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=20)
        flags = {}
        for line in table.stdout.splitlines():
            fields = line.split("\t")
            if fields[0] == "flag":
                flags.setdefault(fields[3], set()).add(fields[1])
        followed = flags["wait"]
        self.assertEqual(followed, flags["idempotency-key"])
        self.assertLessEqual(followed | {"wait"}, flags["timeout"] & flags["junit"])
        for script in (list(pipelines.github_steps({"command": "x", "coordinator": "x", "ca": "", "cert": "", "key": ""},
                                                   {"steps.run.outputs.exit-code": ""}))[1].script, pipelines.gitlab_step({}).script):
            self.assertEqual(followed | {"wait"}, set(re.findall(r'" ([a-z]+(?:[ -][a-z]+)*) "\*', script)))


class GitHubTest(Steps, unittest.TestCase):
    def go(self, command, **variables):
        inputs = {"command": command, "coordinator": variables.get("SECRETS_ENCRYPT_COORDINATOR", "s1:9443"), "ca": "A\r\nB",
                  "cert": "C\n", "key": "D", "step": variables.get("step", "")}
        env = {"RUNNER_TEMP": str(self.folder), "GITHUB_RUN_ID": "7", "GITHUB_JOB": "run",
               "GITHUB_OUTPUT": str(self.folder / "output"), "GITHUB_STEP_SUMMARY": str(self.folder / "summary")}
        code, said = None, ""
        for step in pipelines.github_steps(inputs, {"steps.run.outputs.exit-code": ""}):
            done = self.shell(step, env)
            if step.name.startswith("secrets-encrypt "):
                code, said = done, self.said
            else:
                self.assertEqual(0, done, self.said)
            if step.name == "Certificates":
                self.files = {f.name: (f.read_bytes(), f.stat().st_mode & 0o777) for f in (self.folder / "secrets-encrypt").iterdir()}
        self.said = said
        self.assertEqual(f"exit-code={code}", (self.folder / "output").read_text().splitlines()[-1])
        self.assertFalse((self.folder / "secrets-encrypt").exists())
        return code

    def test_certificates_are_files_that_nobody_else_reads(self):
        self.assertEqual(0, self.go("status"), self.said)
        self.assertEqual({"ca.crt": (b"A\nB\n", 0o600), "tls.crt": (b"C\n\n", 0o600), "tls.key": (b"D\n", 0o600)}, self.files)

    def test_two_steps_of_a_job_can_be_told_apart(self):
        keys = []
        for step in ("", "before", "after"):
            self.answers(0)
            self.assertEqual(0, self.go("restart", step=step), self.said)
            keys.append(self.key(self.calls()[0]))
        self.assertEqual(3, len(set(keys)))

    def test_a_run_that_is_started_again_is_not_held_up_by_what_it_began(self):
        """`status --check` fails while servers restart, and after a halt."""
        steps = pipelines.load("github/rotate.yml")["jobs"]["run"]["steps"]
        check, = [s for s in steps if s.get("with", {}).get("command") == "status --check"]
        self.assertEqual("github.run_attempt == 1", check["if"])


class GitLabTest(Steps, unittest.TestCase):
    shells = (["bash", "-eo", "pipefail"], ["sh", "-e"])  # as the runner has it, with and without bash

    def go(self, command, **variables):
        codes, status = (self.folder / "codes").read_text(), (self.folder / "status").read_text()
        calls, seen = (self.folder / "calls").read_text(), []
        later = {f: f.read_text() for f in self.folder.glob("status-after-*")}
        for shell in self.shells:
            for file, text in {self.folder / "codes": codes, self.folder / "status": status, self.folder / "calls": calls,
                               **later}.items():
                file.write_text(text)
            (self.folder / "secrets-encrypt.xml").write_text("of a job before")
            step = pipelines.gitlab_step({"COMMAND": command, "CI_PIPELINE_ID": "9", "CI_JOB_NAME": "rotate: [eu, 1]",
                                          "SECRETS_ENCRYPT_COORDINATOR": "s1:9443", **variables})
            step.shell = shell
            seen.append((self.shell(step, dict(os.environ, PATH=f"{self.folder}/bin:/usr/bin:/bin")), self.calls()))
            self.assertFalse((self.folder / "secrets-encrypt.xml").exists())
        self.assertEqual(seen[0], seen[1], self.said)
        return seen[0][0]


if __name__ == "__main__":
    unittest.main(verbosity=2)
