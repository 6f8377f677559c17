"""The etcd of a lab: its members' argument lists, and a client of its JSON gateway."""
import base64
import json
import re
import time
from pathlib import Path

import https

KEY_NAME = re.compile(rb"(?:aescbckey|secretboxkey|aesgcmkey)(?:-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)?(?:-\d+)?(?=:)")


def member_argv(folder, index, addresses, client_port, peer_port):
    """Argument list of member `index`; every member listens on an address of its own."""
    certs = Path(folder) / "certs"
    name, address = f"etcd-{index + 1}", addresses[index]
    client, peer = f"https://{address}:{client_port}", f"https://{address}:{peer_port}"
    cluster = ",".join(f"etcd-{i + 1}=https://{a}:{peer_port}" for i, a in enumerate(addresses))
    argv = ["etcd", "--name", name, "--data-dir", str(Path(folder) / "etcd" / name),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", cluster, "--initial-cluster-state", "new",
            # Calmer than the defaults: everything of a lab shares the cores of one machine.
            "--heartbeat-interval", "250", "--election-timeout", "2500",
            "--logger", "zap", "--log-outputs", "stderr"]
    for prefix in ("", "peer-"):
        argv += [f"--{prefix}cert-file", str(certs / "server.crt"), f"--{prefix}key-file", str(certs / "server.key"),
                 f"--{prefix}trusted-ca-file", str(certs / "ca.crt"), f"--{prefix}client-cert-auth"]
    return argv


def _encode(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def prefix_end(prefix):
    """The first key after all keys that begin with `prefix`."""
    data = bytearray(prefix.encode() if isinstance(prefix, str) else prefix)
    data[-1] += 1
    return bytes(data)


class KeyValue:
    """One key as etcd has it."""

    def __init__(self, raw):
        self.key = base64.b64decode(raw["key"]).decode()
        self.value = base64.b64decode(raw.get("value", ""))
        self.mod_revision = int(raw["mod_revision"])
        self.create_revision = int(raw["create_revision"])

    def body(self):
        """The body of a signed record, else the JSON itself, else the text."""
        try:
            value = json.loads(self.value)
        except ValueError:
            return self.value.decode(errors="replace")
        return value.get("body", value) if isinstance(value, dict) else value


class EtcdError(Exception):
    """etcd answered with an error, or no member answered."""


class Etcd:
    """Calls the JSON gateway of whichever member answers. Thread-safe."""

    def __init__(self, endpoints, tls):
        self.clients = [https.Client(url, tls, timeout=15) for url in endpoints]
        self.first = 0

    def call(self, method, request, timeout=15, seconds=20):
        """One call, tried on every member in turn for up to `seconds` while none answers."""
        deadline = time.monotonic() + seconds
        failure = "no member"
        while True:
            for i in range(len(self.clients)):
                index = (self.first + i) % len(self.clients)
                try:
                    status, answer = self.clients[index].json("POST", f"/v3/{method}", request, timeout=timeout)
                except (https.Unreachable, https.Broken) as error:
                    failure = str(error)
                    continue
                if status == 200:
                    self.first = index
                    return answer
                failure = f"{self.clients[index].url}: {status} {str(answer)[:300]}"
                if "compacted" in failure or "required revision" in failure:
                    raise EtcdError(failure)
            if time.monotonic() >= deadline:
                raise EtcdError(failure)
            time.sleep(0.1)

    def get(self, key, revision=0, **more):
        """(KeyValue or None, the store's revision)"""
        answer = self.call("kv/range", {"key": _encode(key), "revision": revision}, **more)
        found = answer.get("kvs", [])
        return (KeyValue(found[0]) if found else None), int(answer["header"]["revision"])

    def pages(self, prefix, page=500, keys_only=False):
        """Lists of KeyValues of everything under a prefix, all at one revision."""
        start, end, revision = prefix.encode(), prefix_end(prefix), 0
        while True:
            answer = self.call("kv/range", {"key": _encode(start), "range_end": _encode(end), "limit": page,
                                            "revision": revision, "keys_only": keys_only})
            revision = revision or int(answer["header"]["revision"])
            found = [KeyValue(raw) for raw in answer.get("kvs", [])]
            yield found
            if not answer.get("more"):
                return
            start = found[-1].key.encode() + b"\0"

    def range(self, prefix, **more):
        return [kv for found in self.pages(prefix, **more) for kv in found]

    def watch(self, prefix):
        """(keys that stand under a prefix now, what becomes of them: https.Lines of answers, for events_of)."""
        request = {"key": _encode(prefix), "range_end": _encode(prefix_end(prefix))}
        answer = self.call("kv/range", {**request, "keys_only": True, "limit": 10000})
        request["start_revision"] = int(answer["header"]["revision"]) + 1
        lines = https.Lines(self.clients[self.first], "POST", "/v3/watch", {"create_request": request})
        return [KeyValue(raw).key for raw in answer.get("kvs", [])], lines

    def put(self, key, value):
        return self.call("kv/put", {"key": _encode(key), "value": _encode(value)})

    def delete(self, key):
        return self.call("kv/deleterange", {"key": _encode(key)})

    def delete_prefix(self, prefix):
        return self.call("kv/deleterange", {"key": _encode(prefix), "range_end": _encode(prefix_end(prefix))})

    def healthy(self):
        """True when a quorum answers a linearised read."""
        try:
            self.get("health", timeout=2, seconds=0)
            return True
        except EtcdError:
            return False


def events_of(answer):
    """Of an answer of a watch: (whether it was put, not deleted; its key) for each event."""
    for event in answer.get("result", {}).get("events", []):
        yield event.get("type") != "DELETE", base64.b64decode(event["kv"]["key"]).decode()


def key_of(value, names):
    """What a stored value of Kubernetes is written under: "plain", "aescbc:<key name>", or "unknown …".

    Key names may hold colons, so that they are matched against the names that are known."""
    if not value.startswith(b"k8s:enc:"):
        return "plain"
    provider, _, rest = value[len(b"k8s:enc:"):].partition(b":v1:")
    if len(provider) > 16:
        return "unknown"
    for name in sorted(names, key=len, reverse=True):
        if rest.startswith(name.encode() + b":"):
            return f"{provider.decode()}:{name}"
    made = KEY_NAME.match(rest)
    return f"{provider.decode(errors='replace')}:{made.group().decode()}" if made else "unknown"


def count_by_key(etcd, prefix, names=()):
    """How many values stand under each key, counted in pages at one revision."""
    counts = {"plain": 0}
    for found in etcd.pages(prefix):
        for kv in found:
            key = key_of(kv.value, names)
            counts[key] = counts.get(key, 0) + 1
    return counts
