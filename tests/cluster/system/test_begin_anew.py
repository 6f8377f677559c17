"""The worst day of whoever is on call: the state store is lost, or comes back from a backup of before a rotation. The
runbook's own blocks are run, command by command, as they stand there; only paths and names are the lab's.

Before anybody does anything, nothing may change: no file, no process, no order; and status and log say what is wrong in
one line, which leads to the runbook's section. Afterwards every Secret is readable and a whole rotation goes through."""
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import support
from support import LabTest, labs, observe, processes, say
import certs
import etcd
import https

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
import book  # noqa: E402

SECRETS = 40
LOST, OLDER = "The state store was lost", "The state store is older than the servers"
DATASTORE = "The datastore is older than the servers"
PORTS = 20  # above those of the lab's own etcd
REVISIONS = 1500
FENCE = "/registry/secrets-encrypt/lab/fence"


class Runbook:
    """The blocks of a section, and the lab that they are typed in."""

    def __init__(self, test, lab, title):
        page = book.Page("docs/runbook.md")
        begins = [line for line, _, text in page.headings if text == title]
        ends = [line for line, level, _ in page.headings if level == 2 and line > begins[0]]
        self.blocks = [[text.strip() for _, text in b.lines] for b in page.blocks if begins[0] < b.line < ends[0]]
        self.test, self.lab, self.at = test, lab, 0
        self.desk = lab.dir / "desk"
        self.desk.mkdir(exist_ok=True)

    def step(self, *begins, block=None):
        """Types the next block (or that one), which has to be the one with these commands (their first words)."""
        self.at = self.at if block is None else block
        where, *commands = self.blocks[self.at]
        self.at += 1
        self.test.assertEqual(list(begins), [" ".join(c.split()[:2]) for c in commands], "the runbook has other commands now")
        self.test.assertIn(where, ("# once", "# on every server"))
        for server in self.lab.servers if where == "# on every server" else self.lab.servers[:1]:
            for command in commands:
                self.type(server, command)

    def over(self):
        self.test.assertEqual(len(self.blocks), self.at, "blocks of the runbook that nobody typed")

    def type(self, server, command):
        words = command.split()
        if words[0] == "systemctl":
            for unit in words[2:]:
                program = {"secrets-encrypt-agent": server.agent, "secrets-encrypt-coordinator": server.coordinator}[unit]
                getattr(program, words[1])()
            return
        for what, instead in (("<cluster>", self.lab.cluster), ("/var/lib/secrets-encrypt/", f"{server.dir}/state/"),
                              ("/etc/kubernetes/encryption-config.json", str(server.encryption_config))):
            command = command.replace(what, instead)
        datastore = "/registry/" in command
        urls = self.lab.etcd_urls if datastore else getattr(self.lab, "state_urls", self.lab.etcd_urls)
        pki = self.lab.dir / "certs"
        env = {"PATH": f"{self.lab.bin}:{os.environ['PATH']}", "SECRETS_ENCRYPT_CONFIG": str(server.config), "LC_ALL": "C.UTF-8",
               "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": urls[0], "ETCDCTL_CACERT": str(pki / "ca.crt"),
               "ETCDCTL_CERT": str(pki / "client.crt"), "ETCDCTL_KEY": str(pki / "client.key")}
        result = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                                timeout=300, cwd=self.desk, env=env)
        say(f"{server.name}$ {command} -> {result.returncode}")
        self.test.assertEqual(0, result.returncode, f"$ {command}\n{result.stdout}{result.stderr}")
        self.last = result.stdout


class AnewTest(LabTest):
    """What both worst days have in common."""

    def untouched(self, lab):
        """All that an order could change on the servers."""
        return {"restarts": lab.restarts(), **{s.name: (s.encryption_config.read_bytes(), s.encryption_config.stat().st_ino,
                                                        s.entry()["pid"]) for s in lab.servers}}

    def all_have_looked(self, lab):
        """Every agent publishes twice after the store changed: it reads its order between any two reports."""
        for _ in range(2):
            def revisions():
                found = {s.name: lab.etcd.get(lab.key(f"servers/{s.name}/report"))[0] for s in lab.servers}
                return {name: kv.mod_revision for name, kv in found.items() if kv}
            before = revisions()
            labs.wait_for("every agent reports anew", lambda b=before: len(revisions()) == len(lab.servers) and all(
                r != b.get(n) for n, r in revisions().items()), 40)

    def nothing_moves(self, lab, words, before, logs, servers=("s1", "s2", "s3")):
        """It is said what is wrong, for each of these servers, in status and in the leader's log; commands are refused."""
        for server in map(lab.server, servers):
            labs.wait_for(f"status says it of {server.name}", lambda n=server.name: any(
                line.startswith(f"  {n}: ") and words in line for line in lab.cli("status", "-o", "wide").stdout.splitlines()), 40)
        labs.wait_for("the leader's log says it", lambda: any(
            words in line for s, old in logs.items() for line in s.coordinator.log.read_text()[old:].splitlines()), 30)
        self.all_have_looked(lab)
        section = LOST if "lost" in words else OLDER
        blocked = [line for line in lab.cli("explain").stdout.splitlines() if line.startswith("A rotation could not start now")]
        self.assertEqual(1, len(blocked))
        self.assertIn(section, blocked[0])
        for command in (["rotate-keys"], ["restart"], ["prepare", "--force"], ["repair", "s1"], ["repair", "s1", "--force"]):
            self.refused(lab, section, *command, code=3)
        for command in (["abort"], ["resume"]):
            self.assertNotEqual(0, lab.cli(*command).returncode, command)
        self.assertEqual([], [kv.key for kv in lab.etcd.range(lab.key("orders/"))])
        self.assertEqual(before, self.untouched(lab), "something was changed before anybody did anything")
        self.assert_readable(lab, SECRETS)

    def logs(self, lab):
        return {s: len(s.coordinator.log.read_text()) for s in lab.servers}

    def clean(self, lab):
        """As `status -o wide` is to be before one rotates; not by what agents that have ended left behind."""
        self.all_have_looked(lab)
        def look():
            status = lab.cli("status", "-o", "wide")
            rows = [line.split() for line in status.stdout.splitlines() if re.match(r"s\d ", line)]
            return status.returncode == 0 and "Odd ones out" not in status.stdout and len(rows) == len(lab.servers)
        labs.wait_for("status names nobody", look, 40)
        labs.wait_for("a rotation could start", lambda: "A rotation could start now" in lab.cli("explain").stdout, 40)

    def rotates(self, lab):
        with observe.Files(lab) as seen:
            old = list(seen.keys)
            self.run_cli(lab, "rotate-keys")
        self.assert_all_new(lab, seen, old)

    def assert_all_new(self, lab, seen, old):
        """Every Secret is readable, under one new key; none of the others is left on any server."""
        self.assert_readable(lab, SECRETS)
        for name in old:
            self.assert_rotated(lab, seen, old=name)
        self.clean(lab)

    def lose(self, lab, when, loss, half=None):
        """The records go, and somebody begins anew as the runbook says, up to the rotation. `half`: what s3 still has,
        the rotation did not come that far."""
        if half:
            self.put(lab, half)
        say(f"the state store is lost {when}, and everybody runs")
        before, logs = self.untouched(lab), self.logs(lab)
        loss()
        self.nothing_moves(lab, "the state store has lost its records", before, logs, ("s1", "s2") if half else ("s1", "s2", "s3"))
        for server in lab.servers:
            for path in (server.dir / "state").glob("agent.json.*"):
                path.unlink()
        runbook = Runbook(self, lab, LOST)
        (runbook.desk / "state-store-lost.db").unlink(missing_ok=True)
        runbook.step("etcdctl get")
        self.assertNotIn("/rotation", runbook.last)
        runbook.step("systemctl stop", "cp -p", "mv /var/lib/secrets-encrypt/agent.json", "sha256sum /etc/kubernetes/encryption-config.json")
        self.assertEqual(2 if half else 1, len({s.encryption_config.read_bytes() for s in lab.servers}))
        if half:  # step 2
            self.put(lab, lab.servers[0].encryption_config.read_bytes())
            before = self.untouched(lab)
        runbook.step("etcdctl snapshot", "etcdctl del", "etcdctl del")
        self.assertEqual([], lab.etcd.range(lab.key("")))
        runbook.step("systemctl start")
        labs.wait_for("the files are taken over", lambda: (lab.record("rotation") or {}).get("generation") == 1, 60)
        self.clean(lab)
        runbook.step("secrets-encrypt status", "secrets-encrypt preflight")
        self.assertEqual("start", lab.record("rotation")["stage"])
        self.assertEqual(before, self.untouched(lab), "to begin anew takes no restart, and no other file")
        self.assert_readable(lab, SECRETS)
        return runbook

    def put(self, lab, content):
        """s3 has another file, and its API server runs with it."""
        processes.write_atomic(lab.server("s3").encryption_config, content)
        lab.restart("s3")

    def forget(self, lab):
        """Every record goes at once, as by somebody's `etcdctl del --prefix`."""
        lab.etcd.delete_prefix(lab.key(""))


class LostTest(AnewTest):
    def test_lost(self):
        with self.lab(SECRETS, members=1) as lab:
            first = lab.servers[2].encryption_config.read_bytes()
            self.run_cli(lab, "prepare")
            self.lose(lab, "during prepare, which has not reached s3", lambda: self.forget(lab), first)
            self.run_cli(lab, "prepare")
            self.run_cli(lab, "rotate")
            runbook = self.lose(lab, "after rotate", lambda: self.forget(lab))
            with observe.Files(lab) as seen:
                old = list(seen.keys)
                runbook.step("secrets-encrypt rotate-keys")
                runbook.over()
            self.assertEqual(3, len(old))
            self.assert_all_new(lab, seen, old)


class Both:
    """Two etcds behind one client: ours, and the datastore. Which is meant the key says."""

    def __init__(self, state, datastore):
        self.state, self.datastore = state, datastore

    def of(self, key):
        return self.state if key.startswith("/secrets-encrypt/") else self.datastore

    def get(self, key, *args, **more):
        return self.of(key).get(key, *args, **more)

    def pages(self, prefix, **more):
        return self.of(prefix).pages(prefix, **more)

    def range(self, prefix, **more):
        return self.of(prefix).range(prefix, **more)


class OwnEtcd:
    """An etcd of one member that can be saved, and restored as etcd's own tool does it."""

    def __init__(self, lab, name):
        self.lab, self.name, self.folder = lab, name, lab.dir / name
        (self.folder / "etcd").mkdir(mode=0o700, parents=True)
        (self.folder / "certs").symlink_to(lab.dir / "certs")
        address, port = lab.network.members[0], lab.network.etcd_port + PORTS
        self.url = f"https://{address}:{port}"
        self.argv = etcd.member_argv(self.folder, 0, [address], port, port + 1)

    def start(self):
        child = processes.spawn(self.lab.dir, f"etcd-{self.name}", self.argv, self.folder / "etcd.log")
        threading.Thread(target=child.wait, daemon=True).start()
        pki = self.lab.dir / "certs"
        client = etcd.Etcd([self.url], https.context(pki / "ca.crt", pki / "client.crt", pki / "client.key"))
        labs.wait_for("the state store's etcd answers", client.healthy, 60)
        return client

    def restore(self, snapshot):
        processes.end(processes.read_entry(self.lab.dir, f"etcd-{self.name}"), 10)
        restore_member(self.folder, self.argv, snapshot)
        return self.start()


def restore_member(folder, argv, snapshot):
    """`etcdctl snapshot restore`: revisions begin again where the snapshot ended. No snapshot: an etcd of the first day."""
    name = argv[argv.index("--name") + 1]
    (folder / "etcd" / name).rename(folder / "etcd" / f"{name}-{len(list((folder / 'etcd').iterdir()))}")
    if not snapshot:
        return
    more = [word for flag in ("--name", "--data-dir", "--initial-cluster", "--initial-advertise-peer-urls")
            for word in (flag, argv[argv.index(flag) + 1])]
    subprocess.run(["etcdctl", "snapshot", "restore", str(snapshot), *more], stdin=subprocess.DEVNULL, check=True, timeout=60,
                   capture_output=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})


def save(lab, url, path):
    pki = lab.dir / "certs"
    subprocess.run(["etcdctl", "snapshot", "save", str(path)], stdin=subprocess.DEVNULL, check=True, timeout=60, capture_output=True,
                   env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin", "ETCDCTL_ENDPOINTS": url, "ETCDCTL_CACERT": str(pki / "ca.crt"),
                        "ETCDCTL_CERT": str(pki / "client.crt"), "ETCDCTL_KEY": str(pki / "client.key")})
    return path


def store_of(server, ours):
    """What the programs' configuration says of one of the two etcds."""
    lab, pki = server.lab, server.lab.dir / "certs"
    url = f"https://{lab.network.members[0]}:{lab.network.etcd_port + PORTS}"
    return {"endpoints": [url] if ours else lab.etcd_urls, "ca_file": str(pki / "ca.crt"), "cert_file": str(pki / "client.crt"),
            "key_file": str(pki / "client.key"), "server_name": certs.SHARED_NAME}


class RestoredTest(AnewTest):
    def test_state_store_alone(self):
        settings = {"state_store": lambda s: store_of(s, True), "datastore": lambda s: store_of(s, False)}
        with self.lab(0, programs=False, members=1, settings=settings) as lab:
            own = OwnEtcd(lab, "state-store")
            lab.etcd = Both(own.start(), lab.etcd)
            lab.state_urls = [own.url]
            lab.start_programs()
            support.kube.make_secrets(lab.clients(), support.SEED, range(SECRETS))
            self.run_cli(lab, "prepare")
            self.lead_long(lab)
            self.lose(lab, "after prepare, with its etcd, which is made anew", lambda: setattr(lab.etcd, "state", own.restore(None)))
            before_rotation = save(lab, own.url, lab.dir / "before.db")
            self.rotates(lab)
            self.restore(lab, own, before_rotation, save(lab, own.url, lab.dir / "after.db"))
            self.rotates(lab)

    def lead_long(self, lab):
        """What many leaderships have left in the datastore: this etcd is young."""
        lab.etcd.datastore.put(FENCE, "1000000")

    def restore(self, lab, own, older, newest):
        self.another_leads(lab)
        say("the state store is restored from a backup of before the rotation, and everybody runs")
        before, logs = self.untouched(lab), self.logs(lab)
        lab.etcd.state = own.restore(older)
        self.nothing_moves(lab, "the state store was restored from an older backup, or put back", before, logs)
        runbook = Runbook(self, lab, OLDER)
        runbook.step("systemctl stop")
        lab.etcd.state = own.restore(newest)
        runbook.step("systemctl start")
        self.clean(lab)
        runbook.step("secrets-encrypt status")
        self.assertNotIn("newer", runbook.last)
        for server in lab.servers:
            for path in (server.dir / "state").glob("agent.json.*"):
                path.unlink()
        self.lead_long(lab)
        runbook.step("systemctl stop", "mv /var/lib/secrets-encrypt/agent.json", "systemctl start")
        runbook.step("etcdctl del", "secrets-encrypt status")
        runbook.over()
        self.clean(lab)
        self.assertEqual(before, self.untouched(lab))

    def another_leads(self, lab):
        """After the newest backup: s3 gets an order, of a leadership that the backup does not know."""
        s1 = lab.servers[0].coordinator
        for number in range(REVISIONS):  # else what was restored would be past that leadership's revision at once
            lab.etcd.state.put("/a-day-goes-by", str(number))
        s1.stop()
        labs.wait_for("another one leads", lambda: lab.leader() not in (None, "s1"), 40)
        self.run_cli(lab, "restart", "--server", "s3", "--wait")
        s1.start()
        labs.wait_for("s1 leads again", lambda: lab.leader() == "s1", 40)

    def test_datastore_too(self):
        with self.lab(SECRETS, members=1) as lab:
            backup = save(lab, lab.etcd_urls[0], lab.dir / "before.db")
            self.rotates(lab)
            say("etcd, datastore and state store in one, is restored from a backup of before the rotation")
            for server in lab.servers:
                processes.end(server.entry(), 10)
            member, = json.loads((lab.dir / "lab.json").read_text())["etcd"]
            processes.end(processes.read_entry(lab.dir, member["name"]), 10)
            restore_member(lab.dir, member["argv"], backup)
            lab.start_etcd()
            for server in lab.servers:
                lab._run_restart(server.name, "--start")  # not that they would get ready
            before = self.untouched(lab)
            labs.wait_for("status says newer", lambda: lab.cli("status", "-o", "wide").stdout.count(
                "the state store was restored from an older backup") == 3, 60)
            labs.wait_for("the API servers answer", lambda: all(s.kube.ready(2) is not None for s in lab.servers), 60)
            self.refused(lab, OLDER, "repair", "s1", "--force", code=3)
            self.assertTrue(support.kube.read_errors(lab.clients(), support.SEED, range(SECRETS)), "the old key is gone, so what is this?")
            self.assertEqual(before, self.untouched(lab))
            runbook = Runbook(self, lab, DATASTORE)
            runbook.step("systemctl stop", "cp -p", "mv /var/lib/secrets-encrypt/agent.json", "systemctl start")
            labs.wait_for("nobody is newer any more", lambda: not re.search(
                "newer|silent", lab.cli("status", "-o", "wide").stdout), 60)
            runbook.step(*["secrets-encrypt repair"] * 3)
            self.assert_readable(lab, SECRETS)
            self.clean(lab)
            with observe.Files(lab) as seen:
                old = list(seen.keys)
                runbook.step("secrets-encrypt status", "secrets-encrypt rotate-keys")
                runbook.over()
            self.assert_all_new(lab, seen, old)
            self.lose(lab, "idle after a rotation", lambda: self.forget(lab))  # here, where there has just been one
            self.run_cli(lab, "prepare")
            self.assert_readable(lab, SECRETS)


if __name__ == "__main__":
    support.main()
