"""Watches the state store and the API servers during a run, and checks what must hold at every moment.

Every change of our keys is seen in revision order (`etcdctl watch`), so that these are exact:
- no two leaders write: an order carries as its fence the create revision of the leader key that stands at that
  revision, fences never fall, and nothing that only a leader writes is written while no leader key stands;
- no two servers are down by our doing: at most one server's last report says that its order is `restarting`.

Restarts while another server is not ready are judged by what a coordinator could know: a server counts as not ready
only once it has been so for LAG seconds (an agent that was killed is noticed when its lease ends, and a state
store that elects a new leader meanwhile lets every lease begin anew).
"""
import base64
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "lab"))
import etcd  # noqa: E402

LAG = 15
RESTARTING_KINDS = ("apply", "restart", "repair")
LEADERS_OWN = ("orders/", "rotation", "bundles/", "reencrypt", "proofs", "keys", "escrow/", "spec")


class Readiness:
    """When each API server was surely not ready, by asking it twice a second: from the end of a first failed answer
    to the beginning of the last one in a row. Times are wall-clock seconds."""

    def __init__(self, cluster):
        self.spans = {s.name: [] for s in cluster.servers}
        self._down = {s.name: None for s in cluster.servers}
        self._stop = threading.Event()
        self._clients = [cluster.client(s, timeout=5) for s in cluster.servers]
        self._threads = [threading.Thread(target=self._poll, args=(c,), daemon=True) for c in self._clients]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _poll(self, client):
        name = client.name
        while not self._stop.wait(0.5):
            began = time.time()
            if client.ready(5) is not True:
                down = self._down[name]
                self._down[name] = (down[0] if down else time.time(), began)
            elif self._down[name]:
                self.spans[name].append(self._down[name])
                self._down[name] = None

    def unready(self, at, seconds, but):
        """Names of servers, other than `but`, that were surely not ready at a time and for so long before it."""
        found = []
        for name, spans in self.spans.items():
            spans = spans + ([self._down[name]] if self._down[name] else [])
            if name != but and any(a <= at - seconds and b >= at for a, b in spans):
                found.append(name)
        return found

    def all(self):
        """All answered that they are ready when they were last asked."""
        return not any(self._down.values())


class Watch:
    """The watch on our keys and what it found. Times are wall-clock seconds."""

    def __init__(self, cluster, readiness, log):
        self.cluster, self.readiness, self.log = cluster, readiness, log
        self.two_leaders, self.two_down, self.unready_restarts = [], [], []
        self.events, self.gaps, self.restarts, self.leaders = 0, 0, 0, 0
        self.prefix = cluster.key("")
        self._fence = 0
        self._restarting = {}  # server -> id of the order that it restarts for
        self._orders = {}
        self._to_judge = []
        self._stop = threading.Event()
        self._child = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        found, revision = cluster.etcd.get(cluster.key("leader/holder"))
        self._holder = found.create_revision if found else None
        self._next = revision + 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._child:
            self._child.kill()
        self._thread.join(20)

    def _run(self):
        pki = self.cluster.dir / "certs"
        while not self._stop.is_set():
            argv = ["etcdctl", "watch", "--prefix", self.prefix, "--rev", str(self._next), "-w", "json", "--endpoints",
                    ",".join(self.cluster.etcd_urls), "--cacert", str(pki / "ca.crt"), "--cert",
                    str(pki / "client.crt"), "--key", str(pki / "client.key")]
            self._child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL, text=True)
            for line in self._child.stdout:
                try:
                    self._response(json.loads(line))
                except ValueError:
                    break
                if self._stop.is_set():
                    break
            self._child.kill()
            self._child.wait()
            self._stop.wait(0.3)

    def _response(self, response):
        compacted = int(response.get("CompactRevision") or 0)
        if compacted >= self._next:  # what was in between is not known: begin anew with what stands there now
            self.gaps += 1
            found, revision = self.cluster.etcd.get(self.cluster.key("leader/holder"))
            self._holder, self._next = (found.create_revision if found else None), revision + 1
            raise ValueError("compacted")
        for event in response.get("Events") or []:
            kv = event["kv"]
            self._next = int(kv["mod_revision"]) + 1
            self.events += 1
            key = base64.b64decode(kv["key"]).decode()[len(self.prefix):]
            self._event(key, int(kv["mod_revision"]), None if event.get("type") == 1 else kv)

    def _event(self, key, revision, kv):
        if key == "leader/holder":
            self._holder = int(kv["create_revision"]) if kv else None
            self.leaders += bool(kv) and int(kv["create_revision"]) == revision
            return
        if kv and key.startswith(LEADERS_OWN) and self._holder is None:
            self._found(self.two_leaders, f"{key} was written at revision {revision} while nobody led")
        if not kv or not key.startswith(("orders/", "servers/")):
            return
        parts = key.split("/")
        body = etcd.KeyValue(kv).body()
        if parts[0] == "orders":
            self._order(parts[1], body, revision)
        elif parts[2:] == ["report"]:
            self._report(parts[1], body)

    def _order(self, server, order, revision):
        fence = order["fence"]
        if self._holder is not None and fence != self._holder:
            self._found(self.two_leaders, f"order {order['id']} for {server} at revision {revision} carries fence "
                                          f"{fence}, the leader's is {self._holder}")
        if fence < self._fence:
            self._found(self.two_leaders, f"order {order['id']} for {server}: fence {fence} after {self._fence}")
        self._fence = max(self._fence, fence)
        if self._orders.get(server) != order["id"]:
            self._orders[server] = order["id"]
            self.log(f"order {order['id']} for {server}: {order['kind']} generation {order['generation']}")
            if order["kind"] in RESTARTING_KINDS:
                self._judge_restart(server, f"was ordered to {order['kind']}", order["given_ms"])

    def _report(self, server, report):
        if report["order_state"] != "restarting":
            self._restarting.pop(server, None)
            return
        if self._restarting.get(server) == report["order_id"]:
            return
        self._restarting[server] = report["order_id"]
        self.restarts += 1
        if len(self._restarting) > 1:
            self._found(self.two_down, f"restarting at one time: {self._restarting}")
        self._judge_restart(server, "restarts on order", report["time_ms"])

    def _judge_restart(self, server, what, written_ms):
        arrived, at = time.time(), written_ms / 1000
        if not 0 <= arrived - at < 30:  # its writer's clock was stepped
            at = arrived
        self._to_judge.append((server, what, at))

    def judge_restarts(self):
        """Compares the restarts so far with who was ready then; that is known a moment later."""
        pending, self._to_judge = self._to_judge, []
        for server, what, at in pending:
            away = self.readiness.unready(at, LAG, server)
            if away:
                when = time.strftime('%H:%M:%S', time.localtime(at))
                self._found(self.unready_restarts, f"{server} {what} at {when} "
                                                   f"while {', '.join(away)} had not been ready for {LAG} s")

    def _found(self, where, text):
        where.append(f"{time.strftime('%H:%M:%S')} {text}")
        self.log(f"VIOLATION {text}")
