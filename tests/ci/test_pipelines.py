"""The pipelines of deploy/ci, run from a machine that can reach nothing but the coordinators' port: with an operator's
certificate a rotation and a rolling restart of three real kube-apiservers. Meanwhile the cable is pulled, and the runner dies
and its job is started again: it is one operation all the same. A viewer's pipeline is refused; the audit shows it all."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster" / "system"))
from fourth_machine import FourthMachine  # noqa: E402
import pipelines  # noqa: E402
import support  # noqa: E402
from support import LabTest, labs, observe, say  # noqa: E402
import certs  # noqa: E402

SECRETS = 120
PORT = 9443
ROLES = [{"role": "operator", "group": "pipelines"}, {"role": "viewer", "subject": "O=people, CN=looker"}]
CALLERS = {"pipeline": "pipelines", "looker": "people", "stranger": "nobody-knows"}


class Runner:
    """Runs steps on the fourth machine, with a folder and an environment as a runner has them."""

    def __init__(self, machine, folder, program):
        self.machine, self.folder = machine, folder
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)  # of a folder that is the test's alone
        self.path = f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin"

    def file(self, name):
        path = self.folder / name
        path.touch()
        path.chmod(0o666)
        return path

    def start(self, step, env, log):
        script = self.folder / "step.sh"
        script.write_text(step.script)
        script.chmod(0o644)
        with open(log, "ab") as output:
            return self.machine.start([*step.shell, str(script)],
                                      {"PATH": self.path, "HOME": str(self.folder), "NO_COLOR": "1", **env, **step.env},
                                      self.folder, output)


class GitHubRun:
    """One attempt of a workflow run: the action's steps, one after the other."""

    def __init__(self, runner, run_id, attempt, inputs):
        self.runner, self.inputs = runner, inputs
        self.log = runner.folder / f"github-{run_id}-{attempt}.log"
        self.summary, self.output = runner.file(f"summary-{run_id}-{attempt}"), runner.file(f"output-{run_id}-{attempt}")
        self.env = {"RUNNER_TEMP": str(runner.folder / "temp"), "GITHUB_RUN_ID": str(run_id), "GITHUB_RUN_ATTEMPT": str(attempt),
                    "GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        self.process = None

    def run(self, during=None):
        """Exit code of the step that matters; `during(process)` is called while that one runs. None: `during` ended it."""
        (self.runner.folder / "temp").mkdir(exist_ok=True)
        (self.runner.folder / "temp").chmod(0o777)
        code = 0
        for step in pipelines.github_steps(self.inputs, {"steps.run.outputs.exit-code": ""}):
            self.process = self.runner.start(step, self.env, self.log)
            if during and step.name.startswith("secrets-encrypt "):
                during(self.process)
            done = self.process.wait(timeout=400)
            if done < 0:
                return None
            if step.name.startswith("secrets-encrypt "):
                code = done
            elif done != 0:
                raise AssertionError(f"{step.name}: {done}: {self.text()}")
        return code

    def text(self):
        return self.log.read_text(errors="replace")


class PipelinesTest(LabTest):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="secrets-encrypt-ci-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        program = Path(os.environ["SECRETS_ENCRYPT_BIN"]) / "secrets-encrypt"
        (self.folder / "bin").mkdir()
        shutil.copy(program, self.folder / "bin")
        self.program = self.folder / "bin" / "secrets-encrypt"

    def make_certificates(self, addresses):
        pki = self.folder / "pki"
        pki.mkdir(mode=0o700)
        certs.make_ca(pki, "api-ca")
        certs.make_certificate(pki, "api", "coordinators", [f"IP:{a}" for a in addresses], ca="api-ca")
        for name, group in CALLERS.items():
            certs.make_certificate(pki, name, name, ca="api-ca", organisation=group)
        return pki

    def api(self, machine, pki):
        def of(server):
            address = machine.addresses[server.index]
            return {"listen": [f"{address}:{PORT}"], "cert_file": str(pki / "api.crt"), "key_file": str(pki / "api.key"),
                    "client_ca_file": str(pki / "api-ca.crt"), "socket": "", "roles": ROLES}
        return of

    def inputs(self, pki, who, command, addresses):
        text = {n: (pki / f).read_text() for n, f in (("ca", "api-ca.crt"), ("cert", f"{who}.crt"), ("key", f"{who}.key"))}
        return {"command": command, "coordinator": ",".join(f"{a}:{PORT}" for a in addresses), "timeout": "300", **text}

    def test_from_a_fourth_machine(self):
        with FourthMachine() as machine:
            pki = self.make_certificates(machine.addresses)
            settings = {"api": self.api(machine, pki), "reencrypt": {"max_rate": 20}}
            with self.lab(SECRETS, settings=settings) as lab, observe.Availability(lab) as availability:
                self.pki, self.machine = pki, machine
                self.runner = Runner(machine, self.folder / "runner", self.program)
                self.nothing_else_is_in_reach(lab)
                self.before_the_rotation()
                self.rotation(lab)
                self.rolling_restart(lab)
                self.viewers_may_look_only(lab)
                self.audit_shows_it_all(lab)
                self.assertEqual([], availability.overlaps())

    # ---------- the steps ----------

    def github(self, who, command, run_id, attempt=1):
        addresses = [self.machine.addresses[i] for i in (1, 2, 0)]  # a standby first
        return GitHubRun(self.runner, run_id, attempt, self.inputs(self.pki, who, command, addresses))

    def nothing_else_is_in_reach(self, lab):
        for url in (lab.etcd_urls[0], lab.servers[0].url):
            host, port = url.split("//")[1].split(":")
            step = pipelines.Step("", f"exec 3<>/dev/tcp/{host}/{port}", {}, ["bash"])
            self.assertNotEqual(0, self.runner.start(step, {}, self.folder / "reach.log").wait(timeout=30), url)

    def before_the_rotation(self):
        for name, inputs in pipelines.github_uses():
            self.assertLessEqual({"command", "coordinator", "ca", "cert", "key"}, set(inputs), name)
        run = self.github("pipeline", "status --check", 1)
        self.assertEqual(0, run.run(), run.text())
        self.assertIn("Encryption Status: Enabled", run.text())

    def rotation(self, lab):
        began = []

        def trouble(process):
            self.wait_for_phase(lab, "readable", "promote", "written", "rewrite")
            began.append(lab.record("rotation")["op"]["id"])
            say("the cable is pulled")
            self.machine.cable(False)
            time.sleep(8)  # how long it is out: what is tested is that nobody minds
            self.machine.cable(True)
            say("the cable is back")
            self.wait_for_phase(lab, "rewrite")
            self.assertIsNone(process.poll(), "the step gave up")
            os.killpg(process.pid, signal.SIGKILL)
            say("the runner died")
        first = self.github("pipeline", "rotate-keys", 77)
        self.assertIsNone(first.run(trouble), first.text())
        again = self.github("pipeline", "rotate-keys", 77, 2)
        self.assertEqual(0, again.run(), again.text())
        op = lab.record("rotation")["op"]
        self.assertEqual((began[0], "finished"), (op["id"], op["state"]), "another operation was begun")
        self.assertIn("exit-code=0", again.output.read_text())
        self.assertIn("Current Rotation Stage: reencrypt_finished", again.summary.read_text())
        left = {key: count for key, count in lab.count_by_key().items() if count}
        self.assertEqual([lab.record("rotation")["write_key"]], [key.split(":", 1)[1] for key in left], left)
        self.junit(self.runner.folder / "secrets-encrypt.xml")
        say(f"rotated by a pipeline whose runner died: {lab.count_by_key()}")

    def junit(self, path):
        suite = ET.parse(path).getroot()
        cases = list(suite.iter("testcase"))
        self.assertGreaterEqual(len(cases), 3, path.read_text())
        self.assertEqual([], list(suite.iter("failure")))

    def rolling_restart(self, lab):
        before = [s.entry() for s in lab.servers]
        variables = {"COMMAND": "restart", "TIMEOUT": "300", "CI_PIPELINE_ID": "9", "CI_JOB_NAME": "restart",
                     "SECRETS_ENCRYPT_COORDINATOR": f"{self.machine.addresses[2]}:{PORT}"}
        for name, file in (("CA", "api-ca.crt"), ("CERT", "pipeline.crt"), ("KEY", "pipeline.key")):
            shutil.copy(self.pki / file, self.runner.folder / file)
            (self.runner.folder / file).chmod(0o600)
            os.chown(self.runner.folder / file, 65534, 65534)
            variables[f"SECRETS_ENCRYPT_{name}"] = str(self.runner.folder / file)
        step = pipelines.gitlab_step(variables)
        log = self.runner.folder / "gitlab.log"
        self.assertEqual(0, self.runner.start(step, {}, log).wait(timeout=400), log.read_text())
        after = [s.entry() for s in lab.servers]
        self.assertTrue(all(a != b for a, b in zip(before, after)), "a server was not restarted")
        self.assertEqual("finished", lab.record("rotation")["op"]["state"])

    def viewers_may_look_only(self, lab):
        before = lab.record("rotation")["op"]["id"]
        look = self.github("looker", "status", 80)
        self.assertEqual(0, look.run(), look.text())
        for run_id, who in ((81, "looker"), (82, "stranger")):
            run = self.github(who, "rotate-keys", run_id)
            self.assertEqual(8, run.run(), run.text())
            self.assertIn("exit-code=8", run.output.read_text())
        self.assertEqual(before, lab.record("rotation")["op"]["id"])

    def audit_shows_it_all(self, lab):
        entries = json.loads(self.run_cli(lab, "audit", "-o", "json").stdout)["entries"]
        seen = {(e["who"], e["call"], e["result"]) for e in entries if "CN=" in e["who"]}
        for who, call, result in (("O=pipelines, CN=pipeline", "Start", "accepted"), ("O=people, CN=looker", "Start", "refused"),
                                  ("O=nobody-knows, CN=stranger", "Status", "refused"), ("O=pipelines, CN=pipeline", "operation", "finished")):
            self.assertTrue(any(who in w and call in c and result in r for w, c, r in seen), f"{who} {call} {result}: {seen}")
        called = [e for e in entries if "CN=" in e["who"] and e["call"] != "operation"]
        self.assertEqual([], [e for e in called if not e["from"].startswith(self.machine.net)])

    # ---------- helpers ----------

    def wait_for_phase(self, lab, *phases):
        labs.wait_for(f"phase {phases}", lambda: (lab.record("rotation") or {}).get("op", {}).get("phase") in phases, 200, 0.1)


if __name__ == "__main__":
    support.main()
