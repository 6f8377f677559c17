"""Threads that watch a lab while something happens in it, and remember what they saw."""
import hashlib
import itertools
import signal
import threading
import time

import etcd
import files
import https
import kube
import processes


class Watcher:
    """A thread that calls look() again and again between __enter__ and __exit__."""

    def __init__(self, every):
        self.every, self.failure = every, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)

    def _run(self):
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # kept for the main thread, which asks for it at the end
                self.failure = error
                return
            self._stop.wait(self.every)
        self.last_look()

    def look(self):
        raise NotImplementedError

    def last_look(self):
        """Once more after the end was asked for."""


class Record(Watcher):
    """Every value that one of our records had, none left out: older ones are read back by their revision."""

    def __init__(self, lab, name, every=0.15):
        super().__init__(every)
        self.lab, self.name = lab, name
        self.changed = threading.Condition()
        self.values = []  # (mod revision, body)
        self._seen = 0
        found, revision = lab.etcd.get(lab.key(name))
        self._seen = found.mod_revision if found else revision
        if found:
            self.values.append((found.mod_revision, found.body()))

    def look(self):
        key, fresh = self.lab.key(self.name), []
        try:
            found, _ = self.lab.etcd.get(key, timeout=3, seconds=0)
            while found and found.mod_revision > self._seen:
                fresh.insert(0, (found.mod_revision, found.body()))
                found, _ = self.lab.etcd.get(key, revision=found.mod_revision - 1, timeout=3, seconds=0)
        except etcd.EtcdError as error:
            if "compacted" not in str(error) and "required revision" not in str(error):
                return  # away for a moment; nothing is lost, revisions are read back later
        if fresh:
            with self.changed:
                self._seen = fresh[-1][0]
                self.values += fresh
                self.changed.notify_all()

    last_look = look

    def bodies(self):
        with self.changed:
            return [body for _, body in self.values]

    def wait(self, what, check, seconds):
        """Waits until check(body) is true for some value, past or to come, and returns that body."""
        deadline, at = time.monotonic() + seconds, 0
        while True:
            with self.changed:
                while at >= len(self.values) and time.monotonic() < deadline:
                    self.changed.wait(0.2)
                    if self.failure:
                        raise self.failure
                if at >= len(self.values):
                    raise TimeoutError(f"{self.name}: {what}: not within {seconds} s; last: {self.values[-1:]}")
                body = self.values[at][1]
                at += 1
            if check(body):
                return body


class Rotation(Record):
    """The rotation record, and beside it the stage that S1 publishes."""

    def __init__(self, lab, every=0.15):
        super().__init__(lab, "rotation", every)
        self.published = Record(lab, "servers/s1/stage", every)
        self.first = self.published.values[:] or self.values[:]
        self.old = len(self.values), len(self.published.values)

    def __enter__(self):
        self.published.__enter__()
        return super().__enter__()

    def __exit__(self, *_):
        super().__exit__()
        self.published.__exit__()

    def stages(self):
        """Stages in the order in which S1 or the record first showed them, after the one that was there."""
        with self.changed, self.published.changed:
            events = self.values[self.old[0]:] + self.published.values[self.old[1]:]
            events = sorted((at, stage_of(body)) for at, body in events)
        seen = [stage_of(body) for _, body in self.first]
        known = set(seen) - {"reencrypt_finished"}  # where one rotation ends, the next begins
        for _, stage in events:
            if stage not in known:
                known.add(stage)
                seen.append(stage)
        return seen

    def operation(self, kind):
        """The bodies of the record that tell of an operation of this kind."""
        return [b for b in self.bodies() if b["op"]["kind"] == kind and b["op"]["id"]]

    def wait_stage(self, stage, kind, seconds):
        """Waits until an operation of this kind was seen in a stage, by the record or by what S1 publishes."""
        deadline = time.monotonic() + seconds
        while stage not in self.stages() or not self.operation(kind):
            if self.failure or self.published.failure:
                raise self.failure or self.published.failure
            if time.monotonic() >= deadline:
                raise TimeoutError(f"stage {stage} was not seen within {seconds} s: {self.stages()}")
            time.sleep(self.every)


def stage_of(body):
    return body["stage"] if isinstance(body, dict) else body


class Files(Watcher):
    """Every version of every server's encryption config."""

    def __init__(self, lab, every=0.02):
        super().__init__(every)
        self.lab = lab
        self.versions = {s.name: [] for s in lab.servers}  # texts, oldest first
        self.modes = set()
        self._stats = {}
        self.keys = {}  # name -> secret, of every key ever seen
        self.differing = set()  # names that were seen with two different secrets
        self.look()

    def look(self):
        for server in self.lab.servers:
            try:
                now = server.encryption_config.stat()
                if self._stats.get(server.name) == (now.st_ino, now.st_mtime_ns, now.st_size, now.st_mode):
                    continue
                text = server.encryption_config.read_bytes()
                self._stats[server.name] = now.st_ino, now.st_mtime_ns, now.st_size, now.st_mode
                self.modes.add(now.st_mode & 0o7777)
            except FileNotFoundError:
                text = b""
            versions = self.versions[server.name]
            if versions and versions[-1] == text:
                continue
            versions.append(text)
            for name, secret in files.keys_in(text.decode()) if text else []:
                if self.keys.setdefault(name, secret) != secret:
                    self.differing.add(name)

    last_look = look

    def new_names(self):
        """Names of the keys that were not there at first."""
        old = {n for v in self.versions.values() for n, _ in files.keys_in(v[0].decode())}
        return set(self.keys) - old


def file_hash(server):
    return hashlib.sha256(server.encryption_config.read_bytes()).hexdigest()


class Availability(Watcher):
    """Asks every API server's /readyz all the time and notes for how long each was surely not ready.

    A server was not ready from the end of its first failed answer to the beginning of its last one, so
    that two such spans that overlap prove that both were down at one time."""

    def __init__(self, lab, every=0.2):
        super().__init__(3600)
        self.lab, self.pause = lab, every
        self.spans = {s.name: [] for s in lab.servers}
        self._threads = [threading.Thread(target=self._poll, args=(s,), daemon=True) for s in lab.servers]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _poll(self, server):
        down = None  # (since, until) of the span that is open
        while not self._stop.is_set():
            began = time.monotonic()
            ready = server.kube.ready(10)
            if ready is False:
                down = (down[0] if down else time.monotonic(), began)
            elif ready and down:
                self._close(server, down)
                down = None
            self._stop.wait(self.pause)
        if down:
            self._close(server, down)

    def _close(self, server, down):
        if down[1] > down[0]:
            self.spans[server.name].append(down)

    def overlaps(self):
        """Pairs of servers that were down at the same time, as texts."""
        spans = sorted((a, b, name) for name, found in self.spans.items() for a, b in found)
        found = []
        for i, (_, until, name) in enumerate(spans):
            for begin, _, other in spans[i + 1:]:
                if begin < until and other != name:
                    found.append(f"{name} and {other} were down together for {until - begin:.2f} s")
        return found


class CommandLines(Watcher):
    """Argument lists and environments of our programs and everything that they start."""

    def __init__(self, lab, every=0.1):
        super().__init__(every)
        self.lab = lab
        self.seen = set()

    def look(self):
        own = {p.pid for s in self.lab.servers for p in (s.agent, s.coordinator) if p.pid}
        own |= {e["pid"] for e in map(self._entry, self.lab.dir.glob("processes/*.json")) if processes.is_same(e)}
        for pid in own:
            for part in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{part}", "rb") as source:
                        self.seen.add((part, source.read()))
                except OSError:
                    continue

    def _entry(self, path):
        return processes.read_entry(self.lab.dir, path.name[: -len(".json")])


class Reads(Watcher):
    """Reads through one API server, as fast as it answers, and notes when that failed for want of a key.

    What a server that restarts does not answer is no such failure."""

    def __init__(self, client, path, every=0.02):
        super().__init__(every)
        self.client, self.path = client, path
        self.count = 0
        self.errors = []  # (begin, end, ready, text) of each read that failed; ready: as the server says

    def look(self):
        began = time.monotonic()
        try:
            self.client.call("GET", self.path, timeout=5)
            self.count += 1
        except (https.Unreachable, https.Broken):
            pass
        except kube.KubeError as error:
            if error.status != 500 or not any(w in str(error) for w in ("transform", "no matching", "decrypt")):
                return
            self.errors.append((began, time.monotonic(), bool(self.client.ready(2)), str(error)))

    def window(self, ready=False):
        """Seconds from the begin of the first read that failed to the end of the last one; `ready`: only of those
        that a server failed that said to be ready."""
        errors = [e for e in self.errors if e[2] or not ready]
        return errors[-1][1] - errors[0][0] if errors else 0.0


class Keys:
    """Which keys under a prefix of etcd came and went between __enter__ and __exit__, as etcd tells it: none is missed,
    however short it stood."""

    def __init__(self, lab, prefix, found=None):
        """`found` is called once, at once, when there is a first key."""
        self.lab, self.prefix, self.found, self.failure = lab, prefix, found, None
        self.present, self.spans = {}, []  # key -> since; (key, since, until)

    def __enter__(self):
        keys, self._lines = self.lab.etcd.watch(self.prefix)
        self._thread = threading.Thread(target=self._run, args=(keys,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._lines.close()
        self._thread.join(60)

    def _run(self, keys):
        try:
            self._take((True, key) for key in keys)
            for answer in self._lines:
                self._take(etcd.events_of(answer))
        except Exception as error:  # kept for the main thread, which asks for it at the end
            self.failure = error

    def _take(self, events):
        at = time.monotonic()
        for stands, key in events:
            if not stands:
                self.spans.append((key, self.present.pop(key, at), at))
                continue
            self.present.setdefault(key, at)
            if self.found:
                self.found()
                self.found = None


class Limp(Watcher):
    """Lets API servers run for a small part of the time and in turn: what asks one after the other takes a while."""

    def __init__(self, servers, stopped=0.45, running=0.05):
        super().__init__(running)
        self.entries, self.stopped = [s.entry() for s in servers], stopped
        self.turns = itertools.cycle(self.entries)

    def look(self):
        for entry in self.entries:
            processes.send(entry, signal.SIGSTOP)
        time.sleep(self.stopped)
        processes.send(next(self.turns), signal.SIGCONT)

    def last_look(self):
        for entry in self.entries:
            processes.send(entry, signal.SIGCONT)
