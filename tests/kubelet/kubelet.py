#!/usr/bin/python3
"""A stand-in for kubelet: runs the static pods of one folder of manifests, on one server of a lab.

    kubelet.py LAB SERVER

As kubelet does: every file in the folder is taken for a manifest, whatever its name ends with (kubelet leaves out
those that begin with a dot; here they are told, so that a test can see them). A pod whose manifest says something else
than before is another pod: its container is ended (SIGTERM, SIGKILL after the grace period), then the new one is
started. A broken manifest stops nothing. A container that ends is started again, after a back-off that doubles.

Each container is the real program (for `kube-apiserver` the lab's) in a mount namespace and a root folder of its own,
which has the program, /dev, /proc, /tmp, /etc/hosts, and the manifest's hostPath volumes at their mount paths: what is
not mounted is not there. It is not kubelet: there is no container runtime, no probes, no mirror pods, and it looks
at the folder ten times a second instead of being woken.

<lab>/<server>/kubelet.log tells what happened. A restart by a changed manifest is one line "<time> <server>" in
<lab>/restarts.log. <lab>/<server>/broken, {"with_argument": PREFIX}, makes containers whose arguments have that
prefix fail at their start.
"""
import hashlib
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "deploy" / "lab"))
sys.path.insert(0, str(HERE))
import manifest as manifests  # noqa: E402
import processes  # noqa: E402

LOOK_EVERY = 0.1
BACKOFF_FIRST, BACKOFF_MAX = 1, 30  # kubelet's: 10 and 300
GRACE = 30
PROGRAMS = "/usr/local/bin"
IMAGE = (("/dev", True), ("/proc", True), ("/etc/hosts", False))


class Trouble(Exception):
    """A container cannot be started; the text is what kubelet would put into an event."""


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _bind(source, target, folder, read_only=False):
    """Shell lines that put a folder or file of the host into the container's root."""
    source, inside = shlex.quote(str(source)), '"$root"' + shlex.quote(str(target))
    lines = [f"mkdir -p {inside}"] if folder else [f"mkdir -p {'$root' + shlex.quote(str(Path(target).parent))}",
                                                   f": > {inside}"]
    lines.append(f"mount --rbind {source} {inside}" if folder and not read_only else f"mount --bind {source} {inside}")
    if read_only:
        lines.append(f"mount -o remount,bind,ro {inside}")
    return lines


def _host_path(volume):
    """The host's path of a volume, made or checked as its type says."""
    host = volume.get("hostPath")
    if not host:
        raise Trouble(f"volume {volume['name']}: only hostPath volumes are played")
    path, kind = Path(host["path"]), host.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    if kind == "FileOrCreate" and not path.exists():
        path.touch()
    wrong = (kind.startswith("Directory") and not path.is_dir()) or (kind.startswith("File") and not path.is_file())
    if wrong or not path.exists():
        raise Trouble(f"volume {volume['name']}: hostPath type check failed: {path} is not a {kind or 'file'}")
    return path


def container_argv(pod, program, root, log):
    """The argument list that becomes the container's process: unshare, a shell that mounts, chroot, the program."""
    container = pod["spec"]["containers"][0]
    words = (container.get("command") or []) + (container.get("args") or [])
    volumes = {v["name"]: v for v in pod["spec"].get("volumes") or []}
    lines = ["set -eu", f"root={shlex.quote(str(root))}", 'mount -t tmpfs -o mode=755 none "$root"',
             'mkdir -m 1777 "$root/tmp"']
    for path, folder in IMAGE:
        lines += _bind(path, path, folder)
    lines += _bind(program, f"{PROGRAMS}/{Path(words[0]).name}", False, True)
    for mount in sorted(container.get("volumeMounts") or [], key=lambda m: m["mountPath"].count("/")):
        source = _host_path(volumes[mount["name"]])
        lines += _bind(source, mount["mountPath"], source.is_dir(), bool(mount.get("readOnly")))
    lines.append('cd "$root"; exec chroot "$root" "$@"')
    say(f"starts {' '.join(words[:1])} with {len(words) - 1} arguments, log in {log}")
    return ["unshare", "--mount", "sh", "-c", "\n".join(lines), "container", *words]


class Pod:
    """What one manifest asks for, and the process that runs for it."""

    def __init__(self, kubelet, path):
        self.kubelet, self.path = kubelet, path
        self.pod = self.uid = None  # what is wanted
        self.complaint = self.child = None
        self.retry_at, self.backoff = 0.0, BACKOFF_FIRST

    def read(self):
        """Takes over what the file says now."""
        try:
            text = self.path.read_text()
            pod = manifests.check(manifests.parse(text))
        except (manifests.Broken, UnicodeDecodeError, OSError) as error:
            if self.complaint != str(error):
                say(f"{self.path.name}: {error}; what runs goes on")
            self.complaint = str(error)
            return
        self.complaint = None
        # kubelet makes the pod's uid from all that the manifest says, its annotations too.
        uid = hashlib.md5(json.dumps(pod, sort_keys=True).encode()).hexdigest()
        if uid == self.uid:
            return
        if self.uid:
            say(f"{self.path.name}: changed, pod {uid[:8]} instead of {self.uid[:8]}")
            self.kubelet.count_restart()
            self.stop()
        self.pod, self.uid = pod, uid
        self.retry_at, self.backoff = 0.0, BACKOFF_FIRST
        self.start()

    def stop(self):
        if not self.child:
            return
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", GRACE)
        processes.end(self.kubelet.entry(), grace)
        self.child.wait()
        self.child = None

    def start(self):
        try:
            self.child = self.kubelet.start(self.pod)
        except Trouble as trouble:
            say(f"{self.path.name}: {trouble}")
        if not self.child:
            self.wait_longer()

    def wait_longer(self):
        self.retry_at = time.monotonic() + self.backoff
        say(f"back-off {self.backoff} s")
        self.backoff = min(2 * self.backoff, BACKOFF_MAX)

    def tend(self):
        """Starts the container again that has ended, once its back-off is over."""
        if self.child and self.child.poll() is not None:
            say(f"container ended with {self.child.returncode}")
            self.child = None
            self.wait_longer()
        if not self.child and self.pod and time.monotonic() >= self.retry_at:
            self.start()


class Kubelet:
    """See the top of the file."""

    def __init__(self, lab, server):
        self.lab, self.server = Path(lab).resolve(), server
        self.folder = self.lab / server / "manifests"
        self.log = self.lab / server / "kube-apiserver.log"
        self.settings = json.loads((self.lab / "lab.json").read_text())["servers"][server]
        self.pods, self.seen = {}, set()
        self.ending = False

    def entry(self):
        return processes.read_entry(self.lab, f"kube-apiserver-{self.server}")

    def count_restart(self):
        with open(self.lab / "restarts.log", "a", encoding="utf-8") as log:
            log.write(f"{time.time():.3f} {self.server}\n")

    def broken(self, pod):
        try:
            prefix = json.loads((self.lab / self.server / "broken").read_text())["with_argument"]
        except (OSError, ValueError, KeyError):
            return False
        container = pod["spec"]["containers"][0]
        return any(w.startswith(prefix) for w in (container.get("command") or []) + (container.get("args") or []))

    def start(self, pod):
        root = self.lab / self.server / "container"
        root.mkdir(mode=0o700, exist_ok=True)
        argv = container_argv(pod, self.settings["program"], root, self.log)
        if self.broken(pod):
            argv = [*argv, "--this-start-is-broken-on-purpose"]
        return processes.spawn(self.lab, f"kube-apiserver-{self.server}", argv, self.log,
                               env={**os.environ, "GOGC": "200", "PATH": f"{PROGRAMS}:{os.environ['PATH']}"})

    def look(self):
        found = sorted(self.folder.iterdir())
        for path in found:
            if path.name not in self.seen:
                say(f"file {path.name}")
            self.seen.add(path.name)
        files = {p.name: p for p in found if not p.name.startswith(".") and p.is_file()}
        for name in set(self.pods) - set(files):
            say(f"{name} is gone")
            self.pods.pop(name).stop()
        for name, path in files.items():
            self.pods.setdefault(name, Pod(self, path)).read()
        for pod in self.pods.values():
            pod.tend()

    def run(self):
        signal.signal(signal.SIGTERM, self.end)
        while not self.ending:
            self.look()
            time.sleep(LOOK_EVERY)
        say("ends; what runs goes on")  # as containers do without kubelet

    def end(self, *_):
        self.ending = True


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("usage: kubelet.py LAB SERVER", file=sys.stderr)
        sys.exit(2)
    try:
        Kubelet(sys.argv[1], sys.argv[2]).run()
    except processes.Stopping as error:
        print(f"kubelet.py: {error}", file=sys.stderr)
        sys.exit(1)
