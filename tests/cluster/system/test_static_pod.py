"""The driver static-pod: API servers that kubelet (its stand-in, tests/kubelet) runs from manifests in kubeadm's form."""
import json

import support
from support import STAGES, LabTest, files, kube, names, observe, say
import static_pods

SECRETS = 120
PLAIN = {"resources": ["secrets"], "providers": [{"identity": {}}]}
ANNOTATION = "    secrets-encrypt.io/restarted-at: "


class Reader(observe.Watcher):
    """Reads every Secret through every server, again and again; a server that restarts is left out meanwhile."""

    def __init__(self, lab, count):
        super().__init__(0.1)
        self.lab, self.count = lab, count
        self.reads, self.errors = 0, []

    def look(self):
        for client in self.lab.clients():
            if not client.ready(2):
                continue
            found = kube.read_errors([client], support.SEED, range(self.count))
            if found and client.ready(2):
                self.errors += [e for e in found if not passing(e)]
            self.reads += self.count


def passing(text):
    """A server that went down between two answers."""
    return any(p in str(text) for p in ("refused", "reset", "closed", "shutting down", "timed out", "Unreachable", "EOF"))


class StaticPodTest(LabTest):
    def changed(self, lab, before):
        """Every manifest has its old lines, in their order, and only what we add besides; returns what was added."""
        added = {}
        for server in lab.servers:
            old, new = before[server.name].splitlines(), server.manifest.read_text().splitlines()
            at, more = 0, []
            for line in new:
                if at < len(old) and line == old[at]:
                    at += 1
                else:
                    more.append(line)
            self.assertEqual(len(old), at, f"{server.name}: line {at} of its manifest has changed or gone")
            stamps = [line for line in more if line.startswith(ANNOTATION)]
            self.assertEqual(1, len(stamps), more)
            added[server.name] = [line for line in more if line not in stamps]
            self.assertEqual(["kube-apiserver.yaml"], [p.name for p in server.manifest.parent.iterdir()])
            self.assertEqual(0o600, server.manifest.stat().st_mode & 0o7777)
            seen = [line.split()[-1] for line in server.kubelet.log.read_text().splitlines() if " file " in line]
            self.assertEqual(["kube-apiserver.yaml"], seen, "kubelet saw another file in its folder")
        return added

    def rotated(self, lab, command, rounds, **expected):
        """Runs a command that rotates, with everybody watching; returns the new key's name."""
        before = {s.name: s.manifest.read_text() for s in lab.servers}
        with observe.Rotation(lab) as rotation, observe.Files(lab) as seen, \
                observe.Availability(lab) as availability, Reader(lab, SECRETS) as reader:
            self.run_cli(lab, *command)
        say(f"{reader.reads} reads, restarts: {' '.join(lab.restarts())}")
        self.assertIsNone(reader.failure)
        self.assertEqual([], reader.errors[:5])
        self.assertGreater(reader.reads, 10 * SECRETS)
        self.assertEqual(names(lab) * rounds, lab.restarts())
        self.assertEqual([], availability.overlaps())
        self.assertEqual(STAGES, rotation.stages())
        name = self.assert_rotated(lab, seen, **expected)
        self.assert_readable(lab, SECRETS)
        return name, self.changed(lab, before), seen

    def test_rotation(self):
        """Encryption is on already: nothing but the annotation changes."""
        with self.lab(SECRETS, kubelet=True) as lab:
            name, added, _ = self.rotated(lab, ["rotate-keys"], 3)
            self.assertEqual({s: [] for s in names(lab)}, added)
            self.assert_status(lab, stage="reencrypt_finished", rows=[(True, "AES-CBC", name)])

    def test_first(self):
        """Encryption was never on: no flag, no file. Secrets are there before, plain."""
        with self.lab(0, kubelet=True, encrypted=False, programs=False) as lab:
            kube.make_secrets(lab.clients(), support.SEED, range(SECRETS))
            self.assertFalse(any(s.encryption_config.exists() for s in lab.servers))
            self.assertEqual({"plain": SECRETS}, {k: n for k, n in plain_counts(lab).items() if n})
            check = {s.name: lab.run_agent(s, "check") for s in lab.servers}
            self.assertEqual({s: "ok\n" for s in check}, check)
            lab.start_programs()
            texts = {s.encryption_config.read_text() for s in lab.servers}
            self.assertEqual({files.encryption_config([PLAIN])}, texts)
            self.assertEqual([], lab.restarts(), "an agent that starts has restarted an API server")
            self.assert_status(lab, stage="start", enabled="Disabled", rows=[], seconds=5)
            # Two rounds: plain values are read without a key, so that none has to go at the end.
            name, added, seen = self.rotated(lab, ["rotate-keys"], 2)
            self.check_order(seen, name)
            for server in lab.servers:
                folder = server.encryption_config.parent
                self.assertEqual([f"    - {static_pods.FLAG}={server.encryption_config}",
                                  f"    - mountPath: {folder}", "      name: secrets-encrypt-config",
                                  "      readOnly: true", "  - hostPath:", f"      path: {folder}",
                                  "      type: DirectoryOrCreate", "    name: secrets-encrypt-config"],
                                 added[server.name])
            self.assertEqual(0, lab.count_by_key()["plain"])
            self.assert_status(lab, stage="reencrypt_finished", rows=[(True, "AES-CBC", name)])

    def check_order(self, seen, name):
        """Each server's file had identity first, then with the key behind it, then the key first."""
        for server, versions in seen.versions.items():
            writes = []
            for text in versions:
                (entry,) = json.loads(text)["resources"]
                writes.append([f"{kind}" for p in entry["providers"] for kind in p])
            self.assertEqual([["identity"], ["identity", "aescbc"], ["aescbc", "identity"]], writes[:3],
                             f"{server}: {writes}")

    def test_steps(self):
        """The same in three commands; then off and on again."""
        with self.lab(0, kubelet=True, encrypted=False) as lab:
            kube.make_secrets(lab.clients(), support.SEED, range(20))
            self.assertIn("there is no key to encrypt with: run rotate-keys", self.run_cli(lab, "enable", code=5).stderr)
            with observe.Availability(lab) as availability:
                self.run_cli(lab, "prepare")
                self.assertEqual({"plain": 20}, used(lab))
                self.run_cli(lab, "rotate")
                self.run_cli(lab, "reencrypt")
                self.assertEqual((20, 0), (sum(used(lab).values()), lab.count_by_key()["plain"]))
                self.assert_readable(lab, 20)
                self.run_cli(lab, "disable")
                self.run_cli(lab, "reencrypt", "--force", "--skip")
                self.assertEqual({"plain": 20}, used(lab))
                self.run_cli(lab, "enable")
                self.run_cli(lab, "reencrypt", "--force", "--skip")
            self.assertEqual((20, 0), (sum(used(lab).values()), lab.count_by_key()["plain"]))
            self.assert_readable(lab, 20)
            self.assertEqual([], availability.overlaps())

    def test_trouble(self):
        """kubelet does not react; and an API server that does not come up with the flag gets its manifest back."""
        settings = {"ready_timeout": 25, "service": {"timeout": 20}}
        with self.lab(0, kubelet=True, encrypted=False, settings=settings) as lab:
            kube.make_secrets(lab.clients(), support.SEED, range(20))
            first = lab.servers[0]
            before = first.manifest.read_text()
            first.broken_when(static_pods.FLAG)
            error = self.run_cli(lab, "rotate-keys", code=7).stderr
            self.assertIn("the previous file is back and the API server is ready with it", error)
            self.assertEqual({"s1": []}, {"s1": [line for line in self.changed_lines(before, first)
                                                 if not line.startswith(ANNOTATION)]})
            self.assertEqual(["s1", "s1"], lab.restarts())
            self.assert_readable(lab, 20)
            first.broken()
            first.kubelet.pause()
            try:
                error = self.run_cli(lab, "rotate-keys", code=7).stderr
            finally:
                first.kubelet.resume()
            self.assertIn("kubelet did not stop the API server", error)
            self.assertIn("journalctl -u kubelet", error)
            self.run_cli(lab, "rotate-keys")
            self.assertEqual(0, lab.count_by_key()["plain"])
            self.assert_readable(lab, 20)

    def changed_lines(self, before, server):
        old = before.splitlines()
        return [line for line in server.manifest.read_text().splitlines() if line not in old]


def used(lab):
    """Counts of the keys that values stand under."""
    return {key: count for key, count in lab.count_by_key().items() if count}


def plain_counts(lab):
    return support.labs.etcd.count_by_key(lab.etcd, "/registry/secrets/", ())


if __name__ == "__main__":
    support.main()
