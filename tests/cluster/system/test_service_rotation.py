"""A rotation on two booted machines whose agents restart kube-apiserver.service through systemd: a start that fails
halts it with systemd's reason and brings the previous file back, and once that is mended the same command ends well."""
import os
import shutil
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "machines"), str(HERE.parents[2] / "deploy" / "lab")]
import cluster as clusters  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import namespaces  # noqa: E402
from machines import image  # noqa: E402

SECRETS, SEED = 60, "service"
# The start fails with a file that has another key than today's.
BROKEN = f"""[Service]
ExecStartPre=/bin/sh -c '! grep -q aescbckey-20 {clusters.ENCRYPTION_CONFIG}'
"""
DROP_IN = "/etc/systemd/system/kube-apiserver.service.d/broken.conf"


class ServiceRotationTest(unittest.TestCase):
    folder = None

    def test_rotation(self):
        settings = {"driver": "systemd", "service": {"timeout": 60}}
        with clusters.Cluster(self.folder, os.environ["SECRETS_ENCRYPT_BIN"], servers=2, settings=settings) as cluster:
            try:
                cluster.start()
                kube.make_secrets(cluster.clients(), SEED, range(SECRETS))
                for server in cluster.servers:
                    self.assertEqual("ok", self.check(server))
                self.halts(cluster)
                self.ends_well(cluster)
            except BaseException:
                for server in cluster.servers:
                    print(server.machine.journal("-u", "secrets-encrypt-agent", "-u", "secrets-encrypt-coordinator",
                                                 "-n", "30"), flush=True)
                raise

    @staticmethod
    def check(server):
        argv = ("/usr/bin/secrets-encrypt-agent", "--config", str(clusters.INSIDE / "config.yaml"), "check")
        return server.machine.run(*argv).strip()

    def halts(self, cluster):
        s2 = cluster.server("s2")
        before = s2.encryption_config.read_bytes()
        s2.machine.write(DROP_IN, BROKEN)
        s2.machine.run("systemctl", "daemon-reload")
        pids = {s.name: s.pid("kube-apiserver") for s in cluster.servers}
        result = cluster.cli("rotate-keys", timeout=240)
        print(f"rotate-keys: {result.returncode}: {result.stderr}", flush=True)
        self.assertEqual(7, result.returncode, result.stdout)
        why = cluster.record("rotation")["op"]["why"]
        for word in ("s2", "kube-apiserver.service: activating (auto-restart), Result=exit-code", "ExecStartPre"):
            self.assertIn(word, why)
        self.assertEqual(before, s2.encryption_config.read_bytes(), "s2's previous file is not back")
        for server in cluster.servers:
            labs.wait_for(f"{server.name} is ready", lambda s=server: s.kube.ready(2), 60, 0.2)
            self.assertNotEqual(pids[server.name], server.pid("kube-apiserver"), f"{server.name} was not restarted")

    def ends_well(self, cluster):
        s2 = cluster.server("s2").machine
        shutil.rmtree(s2.path(DROP_IN).parent)
        s2.run("systemctl", "daemon-reload")
        result = cluster.cli("rotate-keys", timeout=240)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        self.assertEqual([], kube.read_errors(cluster.clients(), SEED, range(SECRETS))[:5])
        counts = {name: count for name, count in cluster.count_by_key().items() if count}
        print(f"counted: {counts}", flush=True)
        self.assertEqual(1, len(counts), counts)
        self.assertNotIn("aescbckey", counts)


if __name__ == "__main__":
    if namespaces.VARIABLE not in os.environ:
        image()
    ServiceRotationTest.folder = namespaces.enter()
    unittest.main(verbosity=2, warnings="ignore")
