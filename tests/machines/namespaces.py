"""Namespaces for a set of machines: the test runs again as the first process of a pid namespace that has mounts
and a network of its own.

    folder = namespaces.enter()     # at the top of a program; returns in the inner process only

Nothing of what the test mounts, connects or starts is seen outside, and all of it is gone as soon as that process
is, however it ended: the kernel ends every process of a pid namespace with its first one, and mounts and networks
go with their last user. What is left then, an empty folder and empty cgroups, is removed by a process that waits
for just that (the reaper), also when this one was killed.

    namespaces.py --reap FOLDER PID START
"""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "lab"))
import processes  # noqa: E402

PREFIX = "secrets-encrypt-machines-"
VARIABLE = "SECRETS_ENCRYPT_MACHINES"
CGROUPS = Path("/sys/fs/cgroup")
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class NamespaceError(Exception):
    """The machine that this runs on cannot have namespaces; the text says why."""


def command(*argv, check=True):
    """Runs a command; its output, or NamespaceError with what it said."""
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    if check and result.returncode != 0:
        raise NamespaceError(f"{' '.join(argv)}: {result.stderr.strip() or result.returncode}")
    return result.stdout


def cgroup_tops():
    """The folders below which cgroups for machines are made: where systemd's own hierarchies are."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [top for top in (CGROUPS / "systemd", CGROUPS / "unified") if (top / "cgroup.procs").exists()]


def remove_cgroups(name):
    """Removes the cgroups <name>… that a run made; they are empty by then."""
    for top in cgroup_tops():
        for group in top.glob(f"{name}-*"):
            for folder, _, _ in os.walk(group, topdown=False):
                for _ in range(50):  # the kernel takes a moment to notice that they are empty
                    try:
                        os.rmdir(folder)
                        break
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(0.05)


def _clean(folder):
    """What is left once every process is gone."""
    remove_cgroups(folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def _children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def reap(folder, pid, start):
    """Waits until the other end of stdin is closed, ends the run if it still lives, and cleans up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    outer = {"pid": pid, "start": start}
    inner = [{"pid": p, "start": processes.start_time(p)} for p in _children(pid)] if processes.is_same(outer) else []
    processes.send(outer, signal.SIGKILL)  # with --kill-child the inner one goes too, and everything with it
    processes.wait_gone([outer, *inner], 30)
    _clean(folder)


def _forward(child):
    """Signals to the outer process are for the inner one (unshare itself ignores them)."""
    def handler(number, _):
        for pid in _children(child.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _outer():
    if os.geteuid() != 0:
        raise NamespaceError("run as root: machines need mounts, networks and cgroups")
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    argv = ["unshare", "--mount", "--propagation", "private", "--pid", "--net", "--ipc", "--fork", "--kill-child",
            "--mount-proc", sys.executable, "-B", *sys.argv]
    child = subprocess.Popen(argv, env={**os.environ, VARIABLE: str(folder)}, start_new_session=True)
    _forward(child)
    reaper = subprocess.Popen(
        [sys.executable, "-B", str(Path(__file__).resolve()), "--reap", str(folder), str(child.pid),
         str(processes.start_time(child.pid) or 0)],
        stdin=subprocess.PIPE, start_new_session=True)
    code = child.wait()
    reaper.stdin.close()
    reaper.wait()
    sys.exit(code if code >= 0 else 128 - code)


def _inner(folder):
    """Mounts that only this run sees, and a network with nothing but loopback."""
    del os.environ[VARIABLE]
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    command("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(folder))
    command("ip", "link", "set", "lo", "up")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    return folder


def enter():
    """See the top of the file. Returns the run's folder, which is on a tmpfs of its own."""
    folder = os.environ.get(VARIABLE)
    return _inner(Path(folder)) if folder else _outer()


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] != "--reap":
        sys.exit("usage: namespaces.py --reap FOLDER PID START")
    reap(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
