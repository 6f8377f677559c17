#!/usr/bin/python3
"""The package on three clean booted machines: installed, a rotation begun, upgraded in the middle of it, removed and
purged."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "machines"))
sys.path.insert(0, str(HERE.parents[1] / "deploy" / "lab"))
import namespaces  # noqa: E402

import json  # noqa: E402
import os  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

import cluster as clusters  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import machines  # noqa: E402
import packages  # noqa: E402

SEED, SECRETS = "package", 200
SERVICES = ("secrets-encrypt-agent", "secrets-encrypt-coordinator")
CONFIG, TOKEN = Path("/etc/secrets-encrypt/config.yaml"), Path("/etc/secrets-encrypt/token")
STATE = Path("/var/lib/secrets-encrypt")
SOCKET = "/run/secrets-encrypt/api/api.sock"
EXAMPLES = "/usr/share/doc/secrets-encrypt/examples"
SYNC = "/etc/systemd/system/kube-apiserver.service.d/secrets-encrypt.conf"
# `systemd-analyze security`: ten times the most that a unit may be exposed. The agent is root, see its unit.
EXPOSURE = {"secrets-encrypt-agent": 30, "secrets-encrypt-coordinator": 25}
# What a machine writes by itself, dpkg's own book among it.
UNINTERESTING = ("/var/lib/dpkg", "/var/log", "/var/cache", "/var/lib/etcd", "/var/lib/systemd", "/run", "/tmp", "/var/tmp",
                 "/proc", "/sys", "/dev", "/disk", "/packages")
BEGAN = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


class Packaged(clusters.Cluster):
    """A cluster whose machines have etcd and an API server, and nothing of ours: that comes with the package."""

    encryption_config = Path("/etc/kubernetes/encryption-config.json")
    folders = (Path("/var/lib/etcd"),)

    def _units(self, server):
        return {name: unit for name, unit in super()._units(server).items() if name not in SERVICES}

    def _program_config(self, server):
        """S1 by a command; the others over D-Bus, which their sandbox must let through as well."""
        settings = super()._program_config(server)
        settings.pop("api")  # the lab's has its socket beside the configuration, where the unit may write nothing
        if server.name != "s1":
            settings.pop("exec")
            settings.update({"driver": "systemd", "service": {"unit": "kube-apiserver", "timeout": 60}})
        return settings

    def _write_files(self):
        """The configuration is the administrator's, and comes later."""
        super()._write_files()
        self.kept = {}
        for server in self.servers:
            self.kept[server.name] = {path: server.machine.path(path).read_text() for path in (CONFIG, TOKEN)}
            for path in (CONFIG, TOKEN):
                server.machine.path(path).unlink()

    def configure(self, server):
        """What an administrator does after the installation."""
        for path, text in self.kept[server.name].items():
            server.machine.write(path, text, 0o600)

    def count(self, unit, prop):
        """A property of a unit on every server."""
        return {s.name: s.machine.run("systemctl", "show", "-P", prop, unit).strip() for s in self.servers}


def paths_of(machine):
    """Every path of a machine that is not changed by its running."""
    found = set()
    for folder, folders, names in os.walk(machine.root):
        inside = "/" + os.path.relpath(folder, machine.root)
        inside = "/" if inside == "/." else inside
        folders[:] = [f for f in folders if os.path.join(inside, f) not in UNINTERESTING]
        found |= {os.path.join(inside, n) for n in folders + names}
    return found


class PackageTest(unittest.TestCase):
    maxDiff = None

    def test_install_rotate_upgrade_remove(self):
        folder = FOLDER
        offered = folder / "packages"
        first = packages.build(folder / "pack")
        version = first.name.split("_")[1]
        next_one = packages.build(folder / "pack-next", version + "+1")
        offered.mkdir()
        self.debs = [f"/packages/{deb.rename(offered / deb.name).name}" for deb in (first, next_one)]
        settings = {"state_dir": str(STATE), "snapshots": {"keep": 2}}
        with Packaged(folder, None, settings=settings, binds=[(offered, "/packages")]) as c:
            self.cluster = c
            try:
                c.start_servers()
                say("three machines are up, with etcd and API servers")
                self.before = {s.name: paths_of(s.machine) for s in c.servers}
                self.install()
                self.look_at_units()
                self.begin()
                self.rotate_and_upgrade(version + "+1")
                self.rights_were_enough()
                self.remove()
                self.purge()
            except BaseException:
                target = tempfile.mkdtemp(prefix="secrets-encrypt-package-", dir="/var/tmp")
                c.save_journals(target)
                print(f"journals of the machines: {target}", flush=True)
                raise

    def each(self, *argv, **more):
        """Runs a command on every machine; what they printed."""
        return {s.name: s.machine.run(*argv, **more) for s in self.cluster.servers}

    # --- installation ---

    def install(self):
        self.each("dpkg", "-i", self.debs[0], timeout=120)
        for unit in SERVICES:
            self.assertEqual({"disabled"}, set(self.cluster.count(unit, "UnitFileState").values()))
            self.assertEqual({"inactive"}, set(self.cluster.count(unit, "ActiveState").values()))
            # There is no configuration yet: a start is skipped, and is no failure.
            self.each("systemctl", "start", unit)
            self.assertEqual({"inactive"}, set(self.cluster.count(unit, "ActiveState").values()))
            self.assertEqual({"no"}, set(self.cluster.count(unit, "ConditionResult").values()))
        for name, owners in self.each("stat", "-c", "%n %a %U:%G", "/etc/secrets-encrypt", STATE, f"{STATE}/snapshots").items():
            self.assertEqual(["/etc/secrets-encrypt 700 root:root", f"{STATE} 710 root:secrets-encrypt",
                              f"{STATE}/snapshots 700 secrets-encrypt:secrets-encrypt"], owners.split("\n")[:-1], name)
        self.each("dpkg", "-i", self.debs[0], timeout=120)  # once more is no harm
        say("installed: nothing is enabled, nothing runs")

    def look_at_units(self):
        machine = self.cluster.servers[0].machine
        for unit in SERVICES:
            file = f"/usr/lib/systemd/system/{unit}.service"
            verified = machine.complete("systemd-analyze", "verify", "--man=no", file, timeout=60)
            self.assertEqual((0, ""), (verified.returncode, verified.stderr), unit)
            result = machine.complete("systemd-analyze", "security", f"--threshold={EXPOSURE[unit]}", unit, timeout=60)
            say(result.stdout.strip().splitlines()[-1].strip())
            self.assertEqual(0, result.returncode, result.stdout)

    def look_around(self):
        """`init` finds the cluster by the server that it runs on; what it cannot know it leaves to be filled in."""
        c = self.cluster
        found = Path("/root/found.yaml")
        result = c.servers[0].machine.complete("secrets-encrypt", "init", "--cluster", c.cluster, "--yes", "--output",
                                               str(found), timeout=60)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        text = c.servers[0].machine.path(found).read_text()
        for part in (f'cluster: "{c.cluster}"', 'server: "s1"', 'driver: "systemd"', 'unit: "kube-apiserver"',
                     f'encryption_config: "{c.encryption_config}"', "# FILL IN kubernetes:", *(s.address for s in c.servers)):
            self.assertIn(part, text)
        for path in (found, Path("/root/token")):
            c.servers[0].machine.path(path).unlink(missing_ok=True)
        say("init has found S1's API server, its unit, and the members of its etcd")

    def preflight(self):
        result = self.cluster.cli("preflight", timeout=60)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        say(f"preflight: {result.stdout.strip().splitlines()[-1]}")

    def begin(self):
        self.look_around()
        for server in self.cluster.servers:
            self.cluster.configure(server)
            server.machine.run("install", "-D", "-m", "0644", f"{EXAMPLES}/kube-apiserver-sync.conf", SYNC)
        self.each("systemctl", "daemon-reload")
        self.assertEqual({"ok\n"}, set(self.each("secrets-encrypt-agent", "check").values()))
        self.each("systemctl", "enable", "--quiet", "--now", *SERVICES)
        self.cluster.wait_published()
        for server in self.cluster.servers:
            agent, coordinator = (self.owner(server, unit) for unit in SERVICES)
            self.assertEqual(0, agent, server.name)
            self.assertNotEqual(0, coordinator, server.name)
        kube.make_secrets(self.cluster.clients(), SEED, range(SECRETS))
        say(f"agents and coordinators run, {self.cluster.leader()} leads, {SECRETS} Secrets are there")
        self.preflight()
        self.api()

    def api(self):
        """Within what the unit lets it do the coordinator opens its socket, and serves."""
        for server in self.cluster.servers:
            labs.wait_for(f"{server.name}'s API answers on its socket", lambda m=server.machine: m.complete(
                "secrets-encrypt", "--coordinator", f"unix:{SOCKET}", "status", timeout=30).returncode == 0, 20, 0.5)
            rights = server.machine.run("stat", "-c", "%a %U", str(Path(SOCKET).parent), SOCKET)
            self.assertEqual(["700 secrets-encrypt", "600 secrets-encrypt"], rights.splitlines())
            self.assertRegex(Path(f"/proc/{server.pid(SERVICES[1])}/limits").read_text(), r"Max open files +12288 ")

    def owner(self, server, unit):
        return Path(f"/proc/{server.pid(unit)}").stat().st_uid

    # --- a rotation, and an upgrade in the middle of it ---

    def operation(self):
        return (self.cluster.record("rotation") or {}).get("op") or {}

    def rotate_and_upgrade(self, version):
        c = self.cluster
        asked = c.cli_start(c.servers[0], "rotate-keys")
        pids = {(s.name, unit): s.pid(unit) for s in c.servers for unit in SERVICES}
        # S1 restarts its API server; its agent is upgraded in the midst of that, then the others' before their turn.
        labs.wait_for("S1 restarts its API server", self.restarting, 120, 0.02)
        for server in c.servers:
            server.machine.run("dpkg", "-i", self.debs[1], timeout=120)
            self.assertEqual(version, server.machine.run("dpkg-query", "-W", "-f", "${Version}", "secrets-encrypt"))
            say(f"{server.name} upgraded, in phase {self.operation().get('phase')}")
        self.assertEqual("running", self.operation().get("state"), "the rotation was over before the upgrade was")
        for (name, unit), pid in pids.items():
            new = c.server(name).pid(unit)
            self.assertNotIn(new, (pid, None), f"{name}: {unit} goes on with the old program")
            self.assertNotIn("(deleted)", os.readlink(f"/proc/{new}/exe"))
        labs.wait_for("the rotation ends", lambda: self.operation().get("state") in ("finished", "halted"), 300, 0.3)
        last = self.operation()
        self.assertEqual(("finished", "rotate-keys", ""), (last["state"], last["kind"], last["why"]))
        self.assertEqual(0, asked.wait(60), (c.dir / "cli.log").read_text()[-2000:])
        self.check_rotated()

    def restarting(self):
        operation = self.operation()
        self.assertNotEqual("halted", operation.get("state"), operation.get("why"))
        return (self.cluster.record("servers/s1/report") or {}).get("order_state") == "restarting"

    def check_rotated(self):
        c = self.cluster
        rotation = c.record("rotation")
        counts = c.count_by_key()
        self.assertEqual(0, counts.pop("plain"))
        self.assertEqual([f"{rotation['write_provider']}:{rotation['write_key']}"], list(counts))
        self.assertNotEqual("aescbckey", rotation["write_key"])
        self.assertEqual([], kube.read_errors(c.clients(), SEED, range(SECRETS))[:5])
        self.assertEqual(1, len({s.encryption_config.read_text() for s in c.servers}))
        say(f"rotated: {counts}")

    def journal_has_fields(self, server):
        """The programs speak to the journal themselves: entries have levels and fields, and none is an error."""
        for unit in SERVICES:
            entries = [json.loads(line) for line in server.machine.journal(
                f"_SYSTEMD_UNIT={unit}.service", "-o", "json").splitlines()]
            own = [e for e in entries if "SE_EVENT" in e]
            self.assertIn(("started", "5", unit), {(e["SE_EVENT"], e["PRIORITY"], e["SYSLOG_IDENTIFIER"]) for e in own})
            self.assertEqual([], [e["MESSAGE"] for e in own if int(e["PRIORITY"]) < 4], server.name)
            self.assertEqual({server.name}, {e["SE_HOST"] for e in own})
            self.assertEqual([], [e["MESSAGE"] for e in entries if "level=" in e["MESSAGE"]], "a line went to stderr")
        agents = server.machine.journal(f"_SYSTEMD_UNIT={SERVICES[0]}.service", "SE_EVENT=order ended", "-o", "json")
        for entry in map(json.loads, agents.splitlines()):
            for field in ("SE_OPERATION", "SE_STAGE", "SE_SERVER", "SE_ROW"):
                self.assertTrue(entry.get(field), (field, entry["MESSAGE"]))

    def rights_were_enough(self):
        """What the units may not do was not needed; files have the owners that they should have."""
        c = self.cluster
        for server in c.servers:
            info = server.encryption_config.stat()
            self.assertEqual((0, 0o600), (info.st_uid, info.st_mode & 0o7777))
            journal = server.machine.journal(*(f"_SYSTEMD_UNIT={unit}.service" for unit in SERVICES))
            for word in ("Permission denied", "Operation not permitted", "Read-only file system"):
                self.assertNotIn(word, journal, server.name)
            self.journal_has_fields(server)
            server.machine.run("secrets-encrypt", "--coordinator", f"unix:{SOCKET}", "status")
        self.assertEqual({"0"}, set(c.count(SERVICES[0], "NRestarts").values()) | set(c.count(SERVICES[1], "NRestarts").values()))
        found = [p for s in c.servers for p in s.machine.path(STATE / "snapshots").iterdir() if p.suffix == ".db"]
        self.assertNotEqual([], found, "no snapshot was taken")
        for path in found:
            self.assertEqual(0o600, path.stat().st_mode & 0o7777)
            self.assertNotEqual(0, path.stat().st_uid)
        synced = c.servers[1].machine.journal("_SYSTEMD_UNIT=kube-apiserver.service", "--grep", "nothing to do|wrote generation")
        self.assertIn("secrets-encrypt-agent", synced, "the example drop-in did nothing")

    # --- removal ---

    def left(self, server, *but):
        """Paths that were not there before the package was, and are none of `but` or below."""
        new = sorted(paths_of(server.machine) - self.before[server.name])
        return [p for p in new if not any(p == str(b) or p.startswith(f"{b}/") for b in but)]

    def remove(self):
        c = self.cluster
        pids = [s.pid(unit) for s in c.servers for unit in SERVICES]
        for server in c.servers:
            server.machine.run("dpkg", "-r", "secrets-encrypt", timeout=120)
            # The configuration, the state with the snapshots, and the drop-in that the administrator put there.
            self.assertEqual([], self.left(server, CONFIG, TOKEN, STATE, Path(SYNC).parent), server.name)
            for path in (CONFIG, TOKEN, STATE / "agent.json"):
                self.assertTrue(server.machine.path(path).exists(), path)
            listed = server.machine.run("systemctl", "list-units", "--all", "--no-legend", "secrets-encrypt*")
            self.assertEqual("", listed, server.name)
        self.assertEqual([], [p for p in pids if Path(f"/proc/{p}").exists()])
        # API servers start without it: the drop-in's program is not there, and its "-" lets that pass.
        c.servers[0].machine.run("systemctl", "restart", "kube-apiserver")
        for server in c.servers:
            labs.wait_for(f"{server.name}: API server ready", lambda s=server: s.kube.ready(2), 60, 0.2)
        self.assertEqual([], kube.read_errors(c.clients(), SEED, range(SECRETS))[:5])
        say("removed: the configuration and the state are left, the API servers go on")

    def purge(self):
        c = self.cluster
        one, two = c.servers[0], c.servers[1]
        one.machine.run("dpkg", "-i", self.debs[1], timeout=120)  # again, over what was left
        self.assertEqual("ok\n", one.machine.run("secrets-encrypt-agent", "check"))
        one.machine.run("systemctl", "start", *SERVICES)
        labs.wait_for("the agent publishes again", lambda: c.record("servers/s1/report"), 30, 0.2)
        for server in (one, two):  # one with the package, one from which it was removed
            server.machine.run("dpkg", "-P", "secrets-encrypt", timeout=120)
            self.assertEqual([], self.left(server, Path(SYNC).parent), server.name)
            # What the administrator put beside the configuration is his.
            self.assertTrue(server.machine.path("/etc/secrets-encrypt/certs/ca.crt").exists())
            self.assertEqual(2, server.machine.complete("getent", "passwd", "secrets-encrypt", timeout=20).returncode)
        say("purged: nothing is left")


if __name__ == "__main__":
    if namespaces.VARIABLE not in os.environ:
        machines.image()  # made out here, where a mirror can be reached
    FOLDER = namespaces.enter()
    unittest.main(verbosity=2, warnings="ignore")
