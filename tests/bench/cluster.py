"""A lab whose Secrets stand under one of two keys, and secrets_bench on it."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "deploy" / "lab"))
import certs  # noqa: E402
import files  # noqa: E402
import https  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import processes  # noqa: E402

SEED = "bench"
QUOTA = 8 << 30
BATCH, WINDOW = 100, 4  # of the datastore engine offline: coordinator/reencrypt
IN_FLIGHT = 64          # of both engines while API servers are attached: the default of reencrypt.in_flight
OLD, NEW = "benchold", "benchnew"
SETTLE = "zz-settle", "settle"  # behind all others


class Wrong(Exception):
    """A result that is not right. Nothing that was measured with it counts."""


def find_program():
    folder = Path(os.environ.get("SECRETS_ENCRYPT_BIN") or TOP / "build" / "release" / "bin")
    program = folder.parent / "tests" / "secrets_bench"
    if not os.access(program, os.X_OK):
        raise labs.LabError(f"{program} is not there: build it first (target secrets_bench)")
    return program


def parse(text):
    """The JSON objects among the lines of an output, oldest first."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
    return found


class Background:
    """secrets_bench in the background, as one of the lab's processes."""

    def __init__(self, lab, argv):
        name = f"bench-{time.monotonic_ns()}"
        self.process = processes.Process(lab.dir, name, argv, lab.dir / f"{name}.log").start()

    def lines(self):
        return parse(self.process.log.read_text(errors="replace"))

    def wait_line(self, member, seconds=60):
        def check():
            if not self.process.alive and not any(member in line for line in self.lines()):
                raise Wrong(f"{' '.join(self.process.argv[:2])} ended: {self.process.tail(5)}")
            return any(member in line for line in self.lines())
        labs.wait_for(f"{self.process.argv[1]} says {member}", check, seconds)

    def wait(self, seconds):
        try:
            code = self.process.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Wrong(f"{' '.join(self.process.argv[:2])} did not end within {seconds} s") from None
        if code != 0:
            raise Wrong(f"{' '.join(self.process.argv[:2])} ended with {code}: {self.process.tail(5)}")
        return self.lines()

    def stop(self, seconds=90):
        self.process.signal(15)
        return self.wait(seconds)


class Cluster:
    """etcd with so many members, and so many API servers (none: the spec names one that does not run)."""

    def __init__(self, members, servers, provider="aescbc", count=0):
        self.members, self.attached, self.count, self.provider = members, servers, count, provider
        self.name = f"{members} etcd, " + (f"{servers} API server{'s' * (servers > 1)}" if servers else "offline")
        self.program = find_program()
        old, new = files.new_key(OLD), files.new_key(NEW)
        entry = self._entry(new, old)
        os.environ["ETCD_QUOTA_BACKEND_BYTES"] = str(QUOTA)
        self.lab = labs.Lab(max(servers, 1), members, entries=[entry],
                            kube_apiserver=os.environ.get("KUBE_APISERVER"))
        self.lab.settings["datastore"] = self._datastore()
        self.texts = {"new": files.encryption_config([entry]), "old": files.encryption_config([self._entry(old, new)])}

    def _entry(self, *keys):
        return {"resources": ["secrets"], "providers": [{self.provider: {"keys": list(keys)}}, {"identity": {}}]}

    def _datastore(self):
        pki = self.lab.dir / "certs"
        return {"endpoints": self.lab.etcd_urls, "ca_file": str(pki / "ca.crt"), "cert_file": str(pki / "client.crt"),
                "key_file": str(pki / "client.key"), "server_name": certs.SHARED_NAME, "quota": QUOTA}

    def __enter__(self):
        self.lab.__enter__()
        try:
            self.lab.start(apiservers=self.attached > 0)
            for name, text in self.texts.items():
                processes.write_atomic(self._file(name), text)
            if self.attached:
                for namespace in kube.NAMESPACES:
                    self.lab.clients()[0].make_namespace(namespace)
            if self.count:
                self.fill(self.count)
        except BaseException:
            self.lab.stop()
            raise
        return self

    def __exit__(self, *args):
        self.lab.__exit__(*args)

    def _file(self, key):
        return self.lab.dir / f"to-{key}.json"

    # --- secrets_bench ---

    def argv(self, command, *args, key="new"):
        return [str(self.program), command, "--config", str(self.lab.servers[0].config), "--encryption",
                str(self._file(key)), "--seed", SEED, *map(str, args)]

    def run(self, command, *args, key="new"):
        """Runs it to its end; its last line. Wrong when it fails."""
        timeout = 1800 + self.count / 20
        result = subprocess.run(self.argv(command, *args, key=key), stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=timeout, check=False)
        lines = parse(result.stdout)
        if result.returncode != 0 or not lines:
            raise Wrong(f"{self.name}: {command} {' '.join(map(str, args))}: {result.stderr.strip()[-500:]}")
        return {**lines[-1], "lines": lines[:-1]}

    def background(self, command, *args, key="new"):
        return Background(self.lab, self.argv(command, *args, key=key))

    # --- Secrets ---

    def fill(self, count, first=0):
        self.run("fill", "--first", first, "--count", count, key="old")
        self.count = first + count

    def all_old(self):
        """Puts every value back under the old key, and lets the API servers and the history settle."""
        self.run("txns", "--batch", BATCH, "--window", WINDOW, key="old")
        self.settle()

    def settle(self):
        """Waits until every API server has seen all, then forgets the history: it would fill the quota."""
        if self.attached:
            revision = self._touch_settle()
            for one in self.lab.clients():
                labs.wait_for(f"{one.name} has seen revision {revision}", lambda c=one: self._seen(c, revision), 120)
        else:
            revision = self.lab.etcd.get("none")[1]
        self.lab.etcd.call("kv/compaction", {"revision": str(revision), "physical": True}, timeout=60, seconds=60)

    def _touch_settle(self):
        """Writes a Secret of its own, last in every list; the revision."""
        client = self.lab.clients()[0]
        client.make_namespace(SETTLE[0])
        try:
            client.create_secret(*SETTLE, {"value": b"-"})
        except kube.KubeError as error:
            if error.status != 409:
                raise
        stamp = {"metadata": {"annotations": {"bench": str(time.monotonic_ns())}}}
        return client.call("PATCH", kube.secret_path(*SETTLE), stamp,
                           content_type="application/merge-patch+json")["metadata"]["resourceVersion"]

    @staticmethod
    def _seen(client, revision):
        """The watch cache of Secrets is as new as that: a GET of such a version waits for it."""
        try:
            client.call("GET", f"{kube.secret_path(*SETTLE)}?resourceVersion={revision}")
            return True
        except kube.KubeError as error:
            if error.status in (429, 500, 504):
                return False
            raise

    def check(self, expected=None):
        """Every object is there, opens, holds what was written; `expected` of them (all) under the new key."""
        found = self.run("check", "--first", 0, "--count", self.count)
        for what in ("seen", "opened", "right"):
            if found[what] != self.count:
                raise Wrong(f"{self.name}: {found[what]} of {self.count} objects were {what}")
        expected = self.count if expected is None else expected
        if found["first_key"] != expected:
            raise Wrong(f"{self.name}: {found['first_key']} values are under the new key, not {expected}")
        if self.attached:
            self.read_back()

    def read_back(self):
        """Every object through every API server, as it was written; page by page, so that a million fit."""
        for client in self.lab.clients():
            seen, wrong = bytearray(self.count), []
            for found in client.list():
                number = self._number(found["metadata"])
                if number is None:
                    continue
                seen[number] += 1
                if kube.secret_data(found) != kube.content(SEED, number):
                    wrong.append(kube.place(number))
            if wrong or seen.count(1) != self.count:
                raise Wrong(f"{self.name}: read through {client.name}: {self.count - seen.count(1)} of {self.count} "
                            f"objects are missing, {len(wrong)} differ from what was written {wrong[:3]}")

    def _number(self, metadata):
        """Which of ours it is, or None."""
        text = metadata["name"].rpartition("-")[2]
        number = int(text) if text.isdigit() else self.count
        ours = number < self.count and kube.place(number) == (metadata["namespace"], metadata["name"])
        return number if ours else None

    def attach(self):
        """API servers over what was written offline, to read it back."""
        self.lab.kube_apiserver = self.lab.kube_apiserver or labs.find_kube_apiserver()
        self.lab.apiserver_extra = files.runtime_config(self.lab.kube_apiserver)
        self.lab._write_description()
        self.lab.start_apiservers()
        self.attached = len(self.lab.servers)


ERRORS = (labs.LabError, Wrong, kube.KubeError, https.Unreachable, https.Broken, OSError, subprocess.SubprocessError,
          RuntimeError)
