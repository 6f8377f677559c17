"""`init` as the program: what it asks, writes, keeps and refuses; and that it asks a real etcd for the other servers."""
import os
import pty
import select
import stat
import subprocess
import unittest

import support
from support import files, labs, say

MANIFEST = """apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.9.9.1
    - --etcd-servers={endpoints}
    - --etcd-cafile={pki}/ca.crt
    - --etcd-certfile={pki}/client.crt
    - --etcd-keyfile={pki}/client.key
    - --encryption-provider-config=/etc/enc.json
"""
ADMIN = """users:
- name: admin
  user: {client-certificate-data: Q0VSVAo=, client-key-data: U0VDUkVULUtFWQo=}
"""


class InitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = labs.Lab(servers=1, members=2).__enter__()
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.need_programs()
        cls.lab.start(apiservers=False)
        for address in ("10.9.9.1", "10.9.9.2"):
            cls.lab.etcd.put(f"/registry/masterleases/{address}", b"x")
        say(f"etcd runs in {cls.lab.dir}")

    def setUp(self):
        self.root = self.lab.dir / f"root-{self._testMethodName}"
        self.config = self.root / "etc/secrets-encrypt/config.yaml"
        self.token = self.root / "etc/secrets-encrypt/token"
        # The certificates stand under the root, at the paths that the manifest names.
        self.file("etc/pki/ca.crt", (self.lab.dir / "certs/ca.crt").read_text())
        self.file("etc/pki/client.crt", (self.lab.dir / "certs/client.crt").read_text())
        self.file("etc/pki/client.key", (self.lab.dir / "certs/client.key").read_text())
        self.file("etc/kubernetes/manifests/kube-apiserver.yaml",
                  MANIFEST.format(endpoints=self.lab.etcd_urls[0], pki="/etc/pki"))
        self.file("etc/kubernetes/pki/ca.crt", "x\n")
        self.file("etc/kubernetes/admin.conf", ADMIN)
        self.file("etc/enc.json", files.encryption_config(self.lab.entries))
        self.file("etc/hostname", "cp1\n")

    def file(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def argv(self, *args):
        return [str(self.lab.bin / "secrets-encrypt"), "init", "--root", str(self.root), *args]

    def init(self, *args, code=0):
        result = subprocess.run(self.argv(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                                check=False)
        self.assertEqual(code, result.returncode, result.stdout + result.stderr)
        self.assertNotIn("SECRET", result.stdout + result.stderr)
        return result

    def written(self):
        folder = self.config.parent
        return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else {}

    def test_without_a_terminal_nothing_is_written(self):
        result = self.init(code=2)
        self.assertIn('cluster: "kubernetes"', result.stdout)
        self.assertIn("with --yes it is written", result.stderr)
        self.assertEqual({}, self.written())

    def test_writes_and_keeps(self):
        result = self.init("--yes", "--cluster", "blue")
        first = self.written()
        self.assertEqual({"config.yaml", "token", "kubernetes-client.crt", "kubernetes-client.key"}, set(first))
        self.assertEqual(result.stdout.encode(), first["config.yaml"])
        self.assertRegex(first["token"].decode(), r"^[0-9a-f]{64}\n$")
        self.assertEqual(b"SECRET-KEY\n", first["kubernetes-client.key"])
        for name in ("token", "kubernetes-client.key"):
            self.assertEqual(0o600, stat.S_IMODE((self.config.parent / name).stat().st_mode))
        self.assertIn("copy this very file to every other server", result.stderr)
        self.assertIn("but for `server`", result.stderr)
        self.assertIn('cluster: "blue"', result.stdout)
        self.assertIn('server: "cp1"', result.stdout)
        self.assertIn('{name: "cp1", api: "https://10.9.9.1:6443"}', result.stdout)
        self.assertIn('{name: "10.9.9.2", api: "https://10.9.9.2:6443"}', result.stdout, "etcd was not asked")
        self.assertNotIn("FILL IN", result.stdout)

        again = self.init("--yes", code=1)
        self.assertIn("is there already; with --force", again.stderr)
        self.assertEqual(first, self.written())

        forced = self.init("--yes", "--force")
        now = self.written()
        copy, = set(now) - set(first)
        self.assertRegex(copy, r"^config\.yaml\.\d{8}T\d{6}Z$")
        self.assertEqual(first["config.yaml"], now[copy])
        self.assertEqual(first["token"], now["token"], "the token is never replaced")
        self.assertIn("was left as it is", forced.stderr)
        self.assertIn(b'cluster: "kubernetes"', now["config.yaml"])

    def test_the_programs_take_it(self):
        self.init("--yes")
        for program in (["secrets-encrypt", "status"], ["secrets-encrypt-agent", "check"]):
            result = subprocess.run([str(self.lab.bin / program[0]), "--config", str(self.config), *program[1:]],
                                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
            # The paths in it are those of the server, not of the root: the token is what they look for first.
            self.assertIn("/etc/secrets-encrypt/token", result.stderr)

    def test_asks_at_a_terminal(self):
        for answer, code in (("n\n", 1), ("\n", 1), ("y\n", 0)):
            shown = self.at_terminal(answer, code)
            self.assertIn(f"Write this to {self.config}? [y/N]", shown)
            self.assertEqual(code == 0, self.config.exists())

    def at_terminal(self, answer, code):
        ours, theirs = pty.openpty()
        child = subprocess.Popen(self.argv(), stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while b"[y/N]" not in shown:
                self.assertTrue(select.select([ours], [], [], 20)[0], shown)
                shown += os.read(ours, 4096)
            os.write(ours, answer.encode())
            self.assertEqual(code, child.wait(20))
        finally:
            child.kill()
            child.wait()
            os.close(ours)
        return shown.decode()

    def test_what_is_missing_is_said(self):
        (self.root / "etc/kubernetes/admin.conf").unlink()
        (self.root / "etc/pki/client.key").unlink()  # etcd cannot be asked
        result = self.init("--yes")
        self.assertIn("# FILL IN token_file: ", result.stdout)
        self.assertIn("# Note: etcd was not asked for the other servers: ", result.stdout)
        self.assertIn("1 line in it begins with FILL IN", result.stderr)

    def test_elsewhere(self):
        inside = self.root / "srv/se/conf.yaml"
        result = self.init("--yes", "--output", str(inside))
        self.assertIn('token_file: "/srv/se/token"', result.stdout)
        self.assertTrue(inside.exists() and (inside.parent / "token").exists())
        self.assertIn("is not under --root", self.init("--output", "/tmp/x.yaml", code=1).stderr)
        self.assertIn("not a path from the root", self.init("--output", "x.yaml", code=1).stderr)
        self.assertIn("a name of letters", self.init("--cluster", "a/b", code=1).stderr)

    def test_nothing_to_find(self):
        (self.root / "etc/kubernetes/manifests/kube-apiserver.yaml").unlink()
        result = self.init("--yes", code=1)
        self.assertEqual("", result.stdout)
        self.assertIn("no Kubernetes server on this machine", result.stderr)
        self.assertEqual(1, len(result.stderr.splitlines()))
        self.assertEqual({}, self.written())

    def test_full_disk(self):
        """Nothing half written is left where a file was begun."""
        folder = self.config.parent
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)], check=True)
        try:
            result = self.init("--yes", code=1)
            self.assertIn("No space left on device", result.stderr)
            self.assertFalse(self.config.exists())
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)


if __name__ == "__main__":
    support.main()
