#!/usr/bin/python3
"""The checks of a chaos run see what they are there for: each is shown a history with the error in it."""
import base64
import collections
import json
import random
import sys
import time
import types
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import faults  # noqa: E402
import invariants  # noqa: E402
import kube  # noqa: E402
import users  # noqa: E402

PREFIX = "/secrets-encrypt/test/"


def encoded(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


class FakeCluster:
    """A cluster whose state store is a leader key of revision 5."""

    dir = Path("/nonexistent")

    def __init__(self):
        self.servers = [types.SimpleNamespace(name=n) for n in ("s1", "s2", "s3")]
        self.etcd = types.SimpleNamespace(get=lambda _: (types.SimpleNamespace(create_revision=5), 10))

    def key(self, name):
        return PREFIX + name

    def client(self, server, timeout):
        del timeout
        return types.SimpleNamespace(name=server.name)


class WatchTest(unittest.TestCase):
    def setUp(self):
        self.cluster = FakeCluster()
        self.readiness = invariants.Readiness(self.cluster)
        self.watch = invariants.Watch(self.cluster, self.readiness, lambda _: None)
        self.revision = 10

    def put(self, key, body, create=None):
        self.revision += 1
        text = body if isinstance(body, str) else json.dumps({"mac": "", "body": body})
        kv = {"key": encoded(PREFIX + key), "value": encoded(text),
              "mod_revision": self.revision, "create_revision": create or self.revision}
        self.watch._response({"Events": [{"kv": kv}]})

    def delete(self, key):
        self.revision += 1
        kv = {"key": encoded(PREFIX + key), "mod_revision": self.revision}
        self.watch._response({"Events": [{"type": 1, "kv": kv}]})

    def order(self, server, number, fence, at=None):
        self.put(f"orders/{server}", {"id": number, "kind": "apply", "generation": 2, "fence": fence,
                                      "given_ms": (at or time.time()) * 1000})

    def report(self, server, state, number=1):
        self.put(f"servers/{server}/report", {"order_state": state, "order_id": number, "time_ms": time.time() * 1000})

    def test_one_leader(self):
        self.order("s1", 1, 5)
        self.delete("leader/holder")
        self.put("leader/holder", "s2")
        self.order("s2", 2, self.revision)
        self.put("rotation", {})
        self.assertEqual([], self.watch.two_leaders)
        self.assertEqual(1, self.watch.leaders)

    def test_a_deposed_leader_writes(self):
        self.delete("leader/holder")
        self.put("leader/holder", "s2")
        self.order("s1", 2, 5)
        self.assertEqual(1, len(self.watch.two_leaders))

    def test_a_fence_falls(self):
        self.watch._holder = None
        self.watch._fence = 7
        self.order("s1", 2, 6)
        self.assertTrue(any("after 7" in text for text in self.watch.two_leaders))

    def test_nobody_leads(self):
        self.delete("leader/holder")
        self.put("rotation", {})
        self.assertEqual(1, len(self.watch.two_leaders))

    def test_one_after_the_other(self):
        for server in ("s1", "s2"):
            self.report(server, "restarting")
            self.report(server, "restarting")
            self.report(server, "done")
        self.assertEqual(([], 2), (self.watch.two_down, self.watch.restarts))

    def test_two_at_once(self):
        self.report("s1", "restarting")
        self.delete("servers/s1/report")  # its lease ended; it may still be at it
        self.report("s2", "restarting", 2)
        self.assertEqual(1, len(self.watch.two_down))

    def test_restart_while_another_is_not_ready(self):
        now = time.time()
        self.readiness.spans["s2"].append((now - 40, now + 1))
        self.readiness.spans["s3"].append((now - 5, now + 1))
        self.order("s1", 1, 5, now)
        self.order("s2", 2, 5, now)
        self.watch.judge_restarts()
        self.assertEqual(1, len(self.watch.unready_restarts))
        self.assertIn("while s2 had", self.watch.unready_restarts[0])


class FakeServer:
    """An API server with a dictionary for a datastore."""

    def __init__(self, objects, ready=True):
        self.name, self.objects, self.connection = "s1", objects, object()
        self.http = types.SimpleNamespace(_local=types.SimpleNamespace(connection=self.connection),
                                          raw=lambda *_, **__: (200 if ready else 500, b""))

    def list(self, _):
        return [{"type": "Opaque", "metadata": {"name": n}, "data": {k: encoded(v) for k, v in d.items()}}
                for n, d in self.objects.items()]


class JudgeTest(unittest.TestCase):
    def setUp(self):
        self.judge = users.Judge()
        self.sleep, users.time.sleep = users.time.sleep, lambda _: None
        self.addCleanup(setattr, users.time, "sleep", self.sleep)

    def judged(self, text, status=500, ready=True, stays=True):
        def again():
            if stays:
                raise error
        error = kube.KubeError("GET", "/api/v1/secrets", status, text)
        self.judge.failed(FakeServer({}, ready), error, "read", again)
        return len(self.judge.errors), self.judge.unavailable

    def test_cannot_decrypt(self):
        self.assertEqual((1, 0), self.judged("unable to transform key: no matching key was found", ready=False))

    def test_is_gone(self):
        self.assertEqual((1, 0), self.judged("not found", status=404))

    def test_fails_while_ready(self):
        self.assertEqual((1, 0), self.judged("internal error"))

    def test_fails_while_not_ready(self):
        self.assertEqual((0, 1), self.judged("internal error", ready=False))

    def test_fails_once(self):
        self.assertEqual((0, 1), self.judged("etcdserver: leader changed", stays=False))

    def check(self, stored):
        owner = users.Writers([FakeServer(stored)], self.judge, threads=1)
        owner._threads[0].live, owner._threads[0].deleted = {"a": {"value": b"new"}}, {"b"}
        return owner.check()

    def test_nothing_lost(self):
        self.assertEqual([], self.check({"a": {"value": b"new"}}))

    def test_lost_update(self):
        self.assertEqual(["s1: a lost an update"], self.check({"a": {"value": b"old"}}))

    def test_undone_deletion(self):
        self.assertEqual(["s1: b is back after its deletion"], self.check({"a": {"value": b"new"}, "b": {}}))


class ScheduleTest(unittest.TestCase):
    def draw(self, seed):
        return faults.draw(random.Random(seed), 100, 5.5, ["s1", "s2", "s3"])

    def test_the_seed_is_all(self):
        self.assertEqual(self.draw(1), self.draw(1))
        self.assertNotEqual(self.draw(1), self.draw(2))

    def test_enough_of_each(self):
        counts = collections.Counter(f.kind for found in self.draw(1) for f in found)
        self.assertEqual(550, sum(counts.values()))
        self.assertEqual(set(faults.KINDS), set(counts))

    def test_edits_change_something(self):
        text = json.dumps({"kind": "EncryptionConfiguration", "resources": [
            {"resources": ["secrets"], "providers": [{"aescbc": {"keys": [{"name": "k", "secret": "c2VjcmV0"}]}},
                                                     {"identity": {}}]}]})
        found = {faults.edited(text, how) for how in faults.EDITS}
        self.assertEqual(len(faults.EDITS), len(found - {text}))


if __name__ == "__main__":
    unittest.main()
