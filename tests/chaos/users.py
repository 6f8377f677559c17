"""Users of the cluster while it rotates: writers and deleters (deploy/lab/writers.py) and readers of Secrets that
nobody changes. They know at every moment what they must get.

A read counts when the server that answered was ready before and after it, on the same connection and therefore in
the same process. An answer that says that a value could not be decrypted, a Secret that is missing, and one with
other content than was acknowledged are errors whatever the server says about itself.
"""
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "lab"))
import https  # noqa: E402
import kube  # noqa: E402
import writers  # noqa: E402

CANNOT_DECRYPT = ("transform", "no matching", "unable to decrypt", "invalid padding", "message authentication")


def ready_on_same_connection(client, connection):
    """The server is ready, and it is the process that the connection was made to."""
    if connection is None or getattr(client.http._local, "connection", None) is not connection:
        return False
    try:
        status = client.http.raw("GET", "/readyz", timeout=5)[0]
    except (https.Unreachable, https.Broken):
        return False
    return status == 200 and getattr(client.http._local, "connection", None) is connection


class Judge:
    """Decides which failed reads are errors. Thread-safe."""

    def __init__(self):
        self.errors, self.reads, self.unavailable = [], 0, 0
        self._lock = threading.Lock()

    def read(self, count=1):
        with self._lock:
            self.reads += count

    def error(self, text):
        with self._lock:
            self.errors.append(f"{time.strftime('%H:%M:%S')} {text}")

    def failed(self, client, error, what, again):
        """A KubeError of a read: judged now, with `again` to see whether it stays so."""
        text = f"{client.name}: {what}: {error}"
        if error.status == 404 or any(word in str(error) for word in CANNOT_DECRYPT):
            return self.error(text)
        connection = getattr(client.http._local, "connection", None)
        for _ in range(4):  # a server that cannot reach etcd for a moment is not one that cannot read
            if not ready_on_same_connection(client, connection):
                break
            time.sleep(1)
            try:
                again()
                break
            except kube.KubeError as second:
                error = second
            except (https.Unreachable, https.Broken):
                break
        else:
            return self.error(f"{text} (still, while it says that it is ready: {error})")
        with self._lock:
            self.unavailable += 1
        return None


class Readers:
    """One thread for each server that reads the Secrets `numbers`, one by one and all at once."""

    def __init__(self, clients, judge, seed, numbers, pause=0.4):
        self.judge, self.seed, self.numbers, self.pause = judge, seed, list(numbers), pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(c,), daemon=True) for c in clients]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, client):
        dice = random.Random(f"{self.seed}/{client.name}")
        while not self._stop.wait(self.pause * (0.5 + dice.random())):
            call = self._all if dice.random() < 0.05 else lambda c, n=dice.choice(self.numbers): self._one(c, n)
            try:
                call(client)
            except (https.Unreachable, https.Broken):
                pass  # that server is away
            except kube.KubeError as error:
                self.judge.failed(client, error, "read", lambda c=call: c(client))

    def _compare(self, client, number, data):
        if data != kube.content(self.seed, number):
            self.judge.error(f"{client.name}: {'/'.join(kube.place(number))} "
                             f"{'is gone' if data is None else 'has other content than was written'}")

    def _one(self, client, number):
        self._compare(client, number, kube.secret_data(client.get_secret(*kube.place(number))))
        self.judge.read()

    def _all(self, client):
        found = {(o["metadata"]["namespace"], o["metadata"]["name"]): kube.secret_data(o) for o in client.list()}
        for number in self.numbers:
            self._compare(client, number, found.get(kube.place(number)))
        self.judge.read(len(self.numbers))


class _Writer(writers._Writer):
    """Judges as the readers do, and deletes only what was created at the first attempt: a create that a paused
    server still has in hand cannot be told from one that undid a deletion."""

    def __init__(self, *more):
        super().__init__(*more)
        self.clean = set()

    def create(self):
        tries, settle = [0], self._settle

        def counting(name, attempt):
            def one(client):
                tries[0] += 1
                return attempt(client)
            settle(name, one)
        self._settle, name = counting, f"w{self.number}-{self.made:05d}"
        try:
            super().create()
        finally:
            del self._settle
        if tries[0] == 1:
            self.clean.add(name)

    def delete(self):
        keep = {n: d for n, d in self.live.items() if n not in self.clean}
        if len(keep) == len(self.live):
            return
        everything, self.live = self.live, {n: d for n, d in self.live.items() if n in self.clean}
        try:
            super().delete()
        finally:
            self.live = {**keep, **self.live}
        assert len(self.live) <= len(everything)

    def update(self):
        if self.live:
            super().update()

    def _read(self, what, client, call):
        try:
            call()
            self.owner.note(what)
            self.owner.judge.read()
        except (https.Unreachable, https.Broken):
            pass
        except kube.KubeError as error:
            self.owner.judge.failed(client, error, what, call)

    def _judge(self, client, error, what):
        if any(word in str(error) for word in CANNOT_DECRYPT):
            self.owner.judge.error(f"{client.name}: {what}: {error}")


class Writers(writers.Writers):
    """deploy/lab's writers with this file's judgement."""

    def __init__(self, clients, judge, threads=2, pause=0.5, seed=1):
        super().__init__(clients, threads, pause, seed)
        self.judge = judge
        self._threads = [_Writer(self, i, random.Random(f"{seed}/{i}")) for i in range(threads)]

    def read_error(self, text):
        self.judge.error(text)
