"""An attacker who can write the state store, and the bench that shows what that does to a cluster.

The cluster has real etcd and our real programs; its API servers are stand-ins (fake_apiserver.py), for nothing of
this is about Kubernetes. It has been through a whole rotation and a restart, so that the store's history holds
every kind of record that there is to be replayed."""
import hashlib
import hmac
import json
from pathlib import Path

import support
from support import labs, say

FAKE = Path(__file__).resolve().parent / "fake_apiserver.py"
SETTINGS = {"canaries": {"enabled": "off"}, "snapshots": {"enabled": "off"}}
VALUE_MAX = 1_400_000  # etcd's own limit on a request is 1.5 MiB


class Attacker:
    """Reads everything that the state store ever held, and writes whatever it likes; has no token."""

    def __init__(self, lab):
        self.etcd, self.root = lab.etcd, lab.key("")
        self.past = self._read_past()
        self.touched, self.filled = set(), set()  # keys, prefixes

    def _read_past(self):
        """{key: [(revision, value)]}, oldest first."""
        past, (_, now) = {}, self.etcd.get("nothing")
        for revision in range(1, now + 1):
            for kv in self.range_at(revision):
                seen = past.setdefault(kv.key.removeprefix(self.root), [])
                if not seen or seen[-1][0] != kv.mod_revision:
                    seen.append((kv.mod_revision, kv.value))
        return past

    def range_at(self, revision):
        answer = self.etcd.call("kv/range", {"key": encode(self.root), "range_end": encode(end_of(self.root)),
                                             "revision": revision})
        return [support_etcd.KeyValue(raw) for raw in answer.get("kvs", [])]

    def now(self):
        """{key: value} as the store is now, the trail included."""
        return {kv.key.removeprefix(self.root): kv.value for kv in self.etcd.range(self.root)}

    def put(self, key, value):
        self.touched.add(key)
        self.etcd.put(self.root + key, value)

    def delete(self, key):
        self.touched.add(key)
        self.etcd.delete(self.root + key)

    def fill(self, prefix, count, value="x"):
        """Many keys that nobody else has."""
        self.filled.add(prefix)
        keys = [f"{prefix}{i:06}" for i in range(count)]
        for at in range(0, len(keys), 100):
            puts = [{"requestPut": {"key": encode(self.root + k), "value": encode(value)}} for k in keys[at:at + 100]]
            self.etcd.call("kv/txn", {"success": puts})

    def values(self, key, where=lambda body: True):
        """Every value that a key ever had whose body is as asked for, oldest first."""
        return [v for _, v in self.past.get(key, []) if v and where(json.loads(v)["body"])]

    def of_kind(self, group, where):
        """(key, value) of the records of a group whose body is as asked for, oldest first."""
        found = [(r, k, v) for k, seen in self.past.items() if k.startswith(group) for r, v in seen
                 if v and where(json.loads(v)["body"])]
        return [(k, v) for _, k, v in sorted(found)]


def encode(key):
    return support_etcd._encode(key)  # pylint: disable=protected-access


def end_of(key):
    return support_etcd.prefix_end(key)


import etcd as support_etcd  # noqa: E402  (deploy/lab, which `support` has put on the path)


class Signer:
    """Whoever has a token: what a coordinator that was deposed, or another cluster's, may have signed."""

    def __init__(self, token, cluster):
        self.cluster = cluster.encode() + b"\0"
        salt = hashlib.sha256(b"secrets-encrypt mac key v1\0" + cluster.encode()).digest()
        self.key = hashlib.scrypt(token.encode(), salt=salt, n=2 ** 15, r=8, p=3, maxmem=2 ** 27, dklen=64)[:32]

    def sign(self, etcd_key, body):
        text = json.dumps(body, separators=(",", ":")).encode()
        mac = hmac.new(self.key, b"secrets-encrypt record v1\0" + self.cluster + etcd_key.encode() + b"\0" + text,
                       hashlib.sha256).hexdigest()
        return b'{"mac":"' + mac.encode() + b'","body":' + text + b"}"


class Bench:
    """The cluster, what must not move in it, and how to see that all of it has looked at the store since."""

    def __init__(self, lab):
        self.lab = lab
        lab.start()
        lab.start_programs()
        self.cli("rotate-keys")
        self.cli("restart", "--reason", "to be replayed")
        self.settle()
        self.attacker = Attacker(lab)
        self.signer = Signer((lab.dir / "token").read_text().strip(), lab.cluster)
        say(f"{sum(map(len, self.attacker.past.values()))} values of {len(self.attacker.past)} keys can be replayed")

    def cli(self, *args):
        result = self.lab.cli(*args, timeout=120)
        if result.returncode:
            raise labs.LabError(f"{args}: {result.stdout}{result.stderr}")
        return result.stdout

    def has_settled(self):
        """Nothing is under way, everybody reports, and somebody leads."""
        rotation = self.lab.record("rotation")
        now = {kv.key.removeprefix(self.lab.key("")) for kv in self.lab.etcd.range(self.lab.key(""), keys_only=True)}
        return (isinstance(rotation, dict) and rotation["op"]["state"] == "finished" and "leader/holder" in now
                and not [k for k in now if k.startswith("orders/")]
                and all(f"servers/{s.name}/report" in now for s in self.lab.servers))

    def settle(self, seconds=60):
        labs.wait_for("the cluster has settled", self.has_settled, seconds)

    def untouched(self):
        """All that an order could change on the servers."""
        found = {"restarts": self.lab.restarts()}
        for server in self.lab.servers:
            state, stat = json.loads((server.dir / "state" / "agent.json").read_text()), server.encryption_config.stat()
            found[server.name] = {
                "file": support.hash_of(server.encryption_config.read_text()), "inode": stat.st_ino,
                "written": stat.st_mtime_ns, "process": server.entry()["pid"], "order": state["job"]["order"],
                "restarts": state["restarts"], "copies": sorted(p.name for p in (server.dir / "state").glob("*config*"))}
        return found

    def reports(self):
        """{server: revision of its report} of those whose agent publishes."""
        found = {s.name: self.lab.etcd.get(self.lab.key(f"servers/{s.name}/report"))[0] for s in self.lab.servers}
        return {name: kv.mod_revision for name, kv in found.items() if kv}

    def all_have_looked(self, silent=()):
        """Waits until every agent has published twice since: it reads its order between any two reports. That is
        several turns of the coordinator too."""
        for _ in range(2):
            before = self.reports()
            labs.wait_for("every agent reports anew", lambda b=before: all(
                r > b.get(n, 0) for n, r in self.reports().items() if n not in silent), 30)

    def logs(self, place):
        """What an agent, or each coordinator, has written so far."""
        if place == "coordinators":
            return [s.coordinator.log.read_text() for s in self.lab.servers]
        return [self.lab.server(place).agent.log.read_text()]

    def new(self, place, before):
        """What was added since logs() was `before`."""
        return "".join(now[len(old):] for now, old in zip(self.logs(place), before))

    def undo(self, before):
        """What was attacked is as it was; what agents and coordinators publish they publish anew."""
        for prefix in map(self.lab.key, self.attacker.filled):
            self.lab.etcd.delete_prefix(prefix)
        now = self.attacker.now()
        for key in sorted(self.attacker.touched):
            if key not in before or key.startswith(("servers/", "leader/", "requests/", "orders/", "lock")):
                self.attacker.delete(key)
            elif now.get(key) != before[key]:
                self.attacker.put(key, before[key])
        # The coordinator may be in the middle of a step of what is taken away from it.
        labs.wait_for("the store is as it was", lambda: self.restored(before), 60, every=0.5)
        self.attacker.touched, self.attacker.filled = set(), set()

    def restored(self, before):
        """What the coordinator wrote because of it: an operation that it began or halted, with all that is of it."""
        now = self.attacker.now()
        for key in now.keys() - before.keys():
            if key.startswith(("bundles/", "orders/", "proofs", "reencrypt")):
                self.attacker.delete(key)
        for key in ("rotation", "spec", "keys"):
            if now.get(key) != before[key]:
                self.attacker.put(key, before[key])
        return now.get("rotation") == before["rotation"] and self.has_settled()
