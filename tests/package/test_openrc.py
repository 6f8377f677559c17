#!/usr/bin/python3
"""The package on a booted machine with OpenRC: no systemd there, so the user comes from useradd, and the services are
started by the scripts that the package brings. There is no cluster: agent and coordinator wait for its state store."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "machines"))
sys.path.insert(0, str(HERE.parents[1] / "deploy" / "lab"))
import namespaces  # noqa: E402

import os  # noqa: E402
import unittest  # noqa: E402

import lab as labs  # noqa: E402
import machines  # noqa: E402
import packages  # noqa: E402

SERVICES = ("secrets-encrypt-agent", "secrets-encrypt-coordinator")
CONFIG = """cluster: test
server: s1
servers: [{name: s1, api: "https://127.0.0.1:6443"}]
state_store: {endpoints: ["http://127.0.0.1:2379"]}
kubernetes: {token_file: /etc/secrets-encrypt/token}
encryption_config: /etc/kubernetes/encryption-config.json
driver: exec
exec: {restart: ["rc-service", "kube-apiserver", "restart"]}
"""
ENCRYPTION = """{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[
{"resources":["secrets"],"providers":[{"identity":{}}]}]}
"""


class OpenrcTest(unittest.TestCase):
    def test_install_start_upgrade_remove(self):
        offered = FOLDER / "packages"
        first = packages.build(FOLDER / "pack")
        next_one = packages.build(FOLDER / "pack-next", first.name.split("_")[1] + "+1")
        offered.mkdir()
        debs = [f"/packages/{deb.rename(offered / deb.name).name}" for deb in (first, next_one)]
        with machines.Machines(FOLDER, 1, [(offered, "/packages")], init="openrc") as all_of_them:
            self.machine = all_of_them["s1"]
            self.machine.boot()
            self.install(debs[0])
            self.start()
            self.upgrade(debs[1])
            self.remove()

    def status(self, service):
        return self.machine.complete("rc-service", service, "status", timeout=30).returncode

    def pid(self, service):
        """Of the program itself, as the machine sees it; "" when there is none."""
        return self.machine.run("pgrep", "-f", f"^/usr/bin/{service} ", check=False).strip()

    def install(self, deb):
        run = self.machine.run
        self.assertNotEqual(0, self.machine.complete("sh", "-c", "command -v systemd-sysusers", timeout=20).returncode)
        run("dpkg", "-i", deb, timeout=120)
        self.assertIn(":/usr/sbin/nologin", run("getent", "passwd", "secrets-encrypt"))
        owners = run("stat", "-c", "%a %U:%G", "/var/lib/secrets-encrypt", "/var/lib/secrets-encrypt/snapshots")
        self.assertEqual(["710 root:secrets-encrypt", "700 secrets-encrypt:secrets-encrypt"], owners.splitlines())
        self.assertFalse(list(self.machine.path("/etc/init.d").glob("secrets-encrypt*")), "not asked for")
        run("sh", "-c", "install -m 0755 /usr/share/secrets-encrypt/openrc/secrets-encrypt-* /etc/init.d/")
        for service in SERVICES:  # no configuration yet
            self.assertNotEqual(0, self.machine.complete("rc-service", service, "start", timeout=30).returncode)

    def start(self):
        self.machine.write("/etc/secrets-encrypt/config.yaml", CONFIG, 0o600)
        self.machine.write("/etc/secrets-encrypt/token", "0123456789abcdef0123456789abcdef\n", 0o600)
        self.machine.write("/etc/kubernetes/encryption-config.json", ENCRYPTION, 0o600)
        self.assertIn("ok\n", self.machine.run("rc-service", SERVICES[0], "checkconfig"))
        for service in SERVICES:
            self.machine.run("rc-service", service, "start")
            labs.wait_for(f"{service} runs", lambda s=service: self.pid(s), 20, 0.2)
            self.assertEqual(0, self.status(service))
            log = self.machine.path(f"/var/log/{service}.log")
            labs.wait_for(f"{service} logs", lambda p=log: "msg=" in p.read_text(), 30, 0.2)
            self.assertEqual(0o600, log.stat().st_mode & 0o7777)
        coordinator = self.pid(SERVICES[1])
        self.machine.run("rc-service", SERVICES[1], "reload")
        self.assertEqual(0, self.status(SERVICES[1]))
        self.assertEqual(coordinator, self.pid(SERVICES[1]))
        labs.wait_for("the API's socket is there", lambda: self.machine.complete(
            "test", "-S", "/run/secrets-encrypt/api/api.sock", timeout=10).returncode == 0, 20, 0.2)
        # Killed, it comes back by itself.
        before = self.pid(SERVICES[0])
        self.machine.run("kill", "-9", before)
        labs.wait_for("the agent runs again", lambda: self.pid(SERVICES[0]) not in ("", before), 30, 0.2)

    def upgrade(self, deb):
        self.machine.run("rc-service", SERVICES[1], "stop")
        before = self.pid(SERVICES[0])
        self.machine.run("dpkg", "-i", deb, timeout=120)
        labs.wait_for("the agent runs the new program", lambda: self.pid(SERVICES[0]) not in ("", before), 30, 0.2)
        self.assertEqual("", self.pid(SERVICES[1]), "what was stopped stays stopped")

    def remove(self):
        self.machine.run("dpkg", "-r", "secrets-encrypt", timeout=120)
        self.assertEqual("", self.pid(SERVICES[0]))
        self.assertTrue(self.machine.path("/etc/secrets-encrypt/config.yaml").exists())
        self.machine.run("dpkg", "-P", "secrets-encrypt", timeout=120)
        for path in ("/etc/secrets-encrypt", "/var/lib/secrets-encrypt"):
            self.assertFalse(self.machine.path(path).exists(), path)
        self.assertEqual("", self.machine.run("getent", "passwd", "secrets-encrypt", check=False))


if __name__ == "__main__":
    if namespaces.VARIABLE not in os.environ:
        machines.image("openrc")  # made out here, where a mirror can be reached
    FOLDER = namespaces.enter()
    unittest.main(verbosity=2, warnings="ignore")
