"""Processes of a lab: started in sessions of their own, written down with their start time, ended by that.

Every process stands in <lab>/processes/<name>.json as {"pid", "start", "argv0"}. A process counts as ours
only while /proc says that this pid started at that time, so that a pid that was given to somebody else
is never signalled. Once <lab>/stopping exists, nothing is started any more: stop_all() misses nobody.
"""
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path

DEVNULL = subprocess.DEVNULL


class Stopping(Exception):
    """The lab is being taken down; nothing may be started in it."""


def start_time(pid):
    """Start time of a living process in clock ticks since boot; None when there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_same(entry):
    """True while the process that `entry` names is the one that was written down."""
    return entry is not None and start_time(entry["pid"]) == entry["start"]


def write_atomic(path, data, mode=0o600):
    """A file that is there as a whole or not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data if isinstance(data, bytes) else data.encode())
    os.replace(temporary, path)


@contextlib.contextmanager
def locked(path, exclusive=True):
    """Holds flock on a file of the lab."""
    with open(path, "a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def entry_path(folder, name):
    return Path(folder) / "processes" / f"{name}.json"


def read_entry(folder, name):
    try:
        return json.loads(entry_path(folder, name).read_text())
    except (OSError, ValueError):
        return None


def write_down(folder, name, pid, argv0, pid_file=None):
    """Enters a process that just started; returns its entry."""
    entry = {"pid": pid, "start": start_time(pid), "argv0": str(argv0)}
    write_atomic(entry_path(folder, name), json.dumps(entry))
    if pid_file:
        write_atomic(pid_file, f"{pid}\n", 0o644)
    return entry


def spawn(folder, name, argv, log, pid_file=None, env=None):
    """Starts a process in its own session with output appended to `log`; returns its Popen."""
    folder = Path(folder)
    with locked(folder / "spawn.lock", exclusive=False):
        if (folder / "stopping").exists():
            raise Stopping(f"{folder} is being taken down")
        with open(log, "ab") as out:
            child = subprocess.Popen(argv, stdin=DEVNULL, stdout=out, stderr=out, cwd=folder,
                                     start_new_session=True, env=env)
        write_down(folder, name, child.pid, argv[0], pid_file)
    return child


def stands(entry):
    """True when all threads of a process are stopped, or it is gone."""
    try:
        return all((task / "stat").read_bytes().rpartition(b")")[2].split()[0] in b"TtZX"
                   for task in Path(f"/proc/{entry['pid']}/task").iterdir())
    except OSError:  # a thread, or all of it, ended meanwhile
        return not is_same(entry)


def send(entry, number):
    """Sends a signal to a process that is still ours; False when it is gone. After SIGSTOP it stands: the signal alone
    lets it go on for some milliseconds on a busy machine."""
    if not is_same(entry):
        return False
    try:
        os.kill(entry["pid"], number)
    except ProcessLookupError:
        return False
    deadline = time.monotonic() + 10
    while number == signal.SIGSTOP and not stands(entry) and time.monotonic() < deadline:
        time.sleep(0.001)
    return True


def wait_gone(entries, seconds):
    """Waits until none of them lives; returns those that still do."""
    deadline = time.monotonic() + seconds
    left = [e for e in entries if is_same(e)]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [e for e in left if is_same(e)]
    return left


def end(entry, seconds):
    """SIGTERM, and SIGKILL after `seconds`; True when SIGTERM was enough."""
    if not send(entry, signal.SIGTERM):
        return True
    left = wait_gone([entry], seconds)
    for one in left:
        send(one, signal.SIGKILL)
    wait_gone(left, 5)
    return not left


def stop_all(folder):
    """Ends every process of a lab and forbids new ones. Programs may say good-bye, servers are killed."""
    folder = Path(folder)
    with locked(folder / "spawn.lock"):
        (folder / "stopping").touch()
    entries = {}
    for path in sorted((folder / "processes").glob("*.json")):
        entry = read_entry(folder, path.name[: -len(".json")])
        if is_same(entry):
            entries[path.name] = entry
    gentle = [e for n, e in entries.items() if not n.startswith(("etcd-", "kube-apiserver-"))]
    for entry in gentle:
        send(entry, signal.SIGCONT)
        send(entry, signal.SIGTERM)
    wait_gone(gentle, 3)
    for entry in entries.values():
        send(entry, signal.SIGKILL)
    return wait_gone(list(entries.values()), 10)


class Process:
    """A program of the lab that a test can stop, kill, pause and start again."""

    def __init__(self, folder, name, argv, log, env=None):
        self.folder, self.name, self.argv, self.log, self.env = Path(folder), name, argv, Path(log), env
        self.child = None

    def start(self):
        if self.alive:
            raise RuntimeError(f"{self.name} runs already")
        self.child = spawn(self.folder, self.name, self.argv, self.log, env=self.env)
        return self

    @property
    def pid(self):
        return self.child.pid if self.child else None

    @property
    def alive(self):
        return self.child is not None and self.child.poll() is None

    @property
    def exit_code(self):
        return self.child.poll() if self.child else None

    def signal(self, number):
        if self.alive:
            os.kill(self.child.pid, number)

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        if self.child:
            self.child.wait(10)

    def stop(self, seconds=10):
        """SIGTERM, SIGKILL after `seconds`; returns the exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds) if self.child else None
        except subprocess.TimeoutExpired:
            self.kill()
            return self.exit_code

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def tail(self, lines=30):
        return tail(self.log, lines)


def tail(path, lines=30):
    """The last lines of a text file, for people."""
    try:
        data = Path(path).read_bytes()[-64 * 1024:]
    except OSError as error:
        return f"({error})"
    return "\n".join(data.decode(errors="replace").splitlines()[-lines:])
