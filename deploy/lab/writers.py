"""Users who keep working while a key rotates: they create, change, delete and read Secrets through all API
servers, and know at the end what must be there.

Only an acknowledged write counts. Where a connection broke, the write is settled through another server
before the next one: a change names the version that it changes, names are never used twice, so that what
a dying server still carries out cannot undo a later write.
"""
import base64
import os
import random
import threading
import time

import https
import kube

NAMESPACE = "writers"
# A 5xx answer with one of these comes from etcd or from a server on its way down, not from encryption.
PASSING = ("etcdserver:", "context deadline", "shutting down", "connection refused", "unexpected EOF", "closed",
           "timeout", "transport is closing", "too many requests")


class Writers:
    """Background writers, between __enter__ and __exit__."""

    def __init__(self, clients, threads=2, pause=0.05, seed=1):
        self.clients, self.pause = clients, pause
        self.read_errors = []
        self.failures = []
        self.acknowledged = {"create": 0, "update": 0, "delete": 0, "read": 0, "list": 0}
        self.retries = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [_Writer(self, i, random.Random(f"{seed}/{i}")) for i in range(threads)]

    def __enter__(self):
        self.clients[0].make_namespace(NAMESPACE)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def note(self, what):
        with self._lock:
            self.acknowledged[what] += 1

    def read_error(self, text):
        with self._lock:
            self.read_errors.append(text)

    def check(self):
        """Compares what stands behind every API server with what was acknowledged; returns the differences."""
        expected, deleted, open_names = {}, set(), set()
        for thread in self._threads:
            expected.update(thread.live)
            deleted |= thread.deleted
            open_names |= thread.unsettled
        problems = [f"writer failed: {text}" for text in self.failures]
        for client in self.clients:
            found = {o["metadata"]["name"]: kube.secret_data(o) for o in client.list(NAMESPACE)
                     if o.get("type") == "Opaque"}
            for name, data in expected.items():
                if name in open_names:
                    continue
                if name not in found:
                    problems.append(f"{client.name}: {name} is gone")
                elif found[name] != data:
                    problems.append(f"{client.name}: {name} lost an update")
            problems += [f"{client.name}: {name} is back after its deletion" for name in deleted & set(found)]
            problems += [f"{client.name}: {name} came from nowhere"
                         for name in set(found) - set(expected) - deleted - open_names]
        return problems


class _Writer(threading.Thread):
    """One user with Secrets of its own."""

    def __init__(self, owner, number, dice):
        super().__init__(daemon=True)
        self.owner, self.number, self.dice = owner, number, dice
        self.live, self.deleted, self.unsettled = {}, set(), set()
        self.made = 0

    def run(self):
        try:
            while not self.owner._stop.is_set():
                self.step()
                self.owner._stop.wait(self.owner.pause * (0.5 + self.dice.random()))
        except Exception as error:  # reported by check()
            self.owner.failures.append(f"writer {self.number}: {type(error).__name__}: {error}")

    def step(self):
        choices = [("create", 3), ("update", 4), ("delete", 1), ("read", 4), ("list", 0.3)]
        what = self.dice.choices([c for c, _ in choices], [w for _, w in choices])[0]
        if what == "create" and len(self.live) >= 60:
            what = "delete"
        if what != "create" and not self.live:
            what = "create"
        getattr(self, what)()

    def _data(self):
        return {"value": base64.b64encode(os.urandom(300))}

    def _settle(self, name, attempt):
        """Calls attempt(client) on one server after another until the write is acknowledged."""
        self.unsettled.add(name)
        deadline = time.monotonic() + 90
        while True:
            client = self.dice.choice(self.owner.clients)
            try:
                if attempt(client):
                    self.unsettled.discard(name)
                    return
            except (https.Unreachable, https.Broken):
                pass
            except kube.KubeError as error:
                if error.status == 409:
                    continue
                if error.status < 500 and error.status not in (429,):
                    raise
                self._judge(client, error, "write")
            self.owner.retries += 1
            if time.monotonic() >= deadline:
                raise TimeoutError(f"no server took the write of {name} within 90 s")
            time.sleep(0.05)

    def create(self):
        name, data = f"w{self.number}-{self.made:05d}", self._data()
        self.made += 1

        def attempt(client):
            try:
                client.create_secret(NAMESPACE, name, data)
            except kube.KubeError as error:
                if error.status != 409:
                    raise
            return True  # 409: an attempt before this one was carried out
        self._settle(name, attempt)
        self.live[name] = data
        self.owner.note("create")

    def update(self):
        name, data = self.dice.choice(sorted(self.live)), self._data()

        def attempt(client):
            now = client.get_secret(NAMESPACE, name)
            if kube.secret_data(now) != data:
                client.update_secret(NAMESPACE, name, data, now["metadata"]["resourceVersion"])
            return True
        self._settle(name, attempt)
        self.live[name] = data
        self.owner.note("update")

    def delete(self):
        name = self.dice.choice(sorted(self.live))

        def attempt(client):
            try:
                client.delete_secret(NAMESPACE, name)
            except kube.KubeError as error:
                if error.status != 404:
                    raise
            return True
        self._settle(name, attempt)
        del self.live[name]
        self.deleted.add(name)
        self.owner.note("delete")

    def read(self):
        name, client = self.dice.choice(sorted(self.live)), self.dice.choice(self.owner.clients)
        self._read("read", client, lambda: self._compare(client, name, client.get_secret(NAMESPACE, name)))

    def list(self):
        client = self.dice.choice(self.owner.clients)
        self._read("list", client, lambda: list(client.list(NAMESPACE)))

    def _read(self, what, client, call):
        try:
            call()
            self.owner.note(what)
        except (https.Unreachable, https.Broken):
            pass  # that server restarts
        except kube.KubeError as error:
            self._judge(client, error, what)

    def _compare(self, client, name, answer):
        if kube.secret_data(answer) != self.live[name]:
            self.owner.read_error(f"{client.name}: {name} read back with other data than was acknowledged")

    def _judge(self, client, error, what):
        """A server that says that it is ready and still cannot read is a read error."""
        text = str(error)
        if error.status == 404:
            self.owner.read_error(f"{client.name}: {what}: {text}")
        elif error.status >= 500:
            if "transform" in text or "no matching" in text:
                self.owner.read_error(f"{client.name}: {what}: {text}")
            elif not any(p in text for p in PASSING) and client.ready():
                self.owner.read_error(f"{client.name}: {what}: {text}")
