"""Booted machines: Debian 12 with its real systemd or OpenRC, each with a network namespace, on an overlay of an image.

    folder = namespaces.enter()
    machines = Machines(folder, 3)
    with machines:
        s1 = machines["s1"]
        s1.boot()                       # systemd-nspawn; returns when systemd takes commands
        s1.run("systemctl", "status")   # inside, as root
        s1.power_off()                  # as if the plug were pulled; its disk stays
        s1.shut_down()                  # as an administrator does it
        s1.cut(); s1.join()             # its network cable

Runs in the namespaces of namespaces.py, with whose end everything here ends.
"""
import os
import signal
import subprocess
import time
from pathlib import Path

from namespaces import NamespaceError, cgroup_tops, command

HERE = Path(__file__).resolve().parent
BRIDGE, NETWORK = "br0", "10.77.0"
POWEROFF = signal.SIGRTMIN + 4
DISK_BYTES = 4 << 20  # of the small disk on which a machine keeps what must not be lost


class MachineError(Exception):
    """A machine did not do what was asked; the text says why."""


def image(init="systemd"):
    """Path of the folder that machines boot from (made once where there is none: a minute)."""
    argv = [str(HERE / "get-machine-image.sh")] + ([] if init == "systemd" else [init])
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise MachineError("no image for machines: get-machine-image.sh failed, see above")
    return Path(result.stdout.strip())


class Machine:
    """One machine. `binds` are (source, destination) pairs that it sees read-only."""

    # What nspawn starts, the name of that process, and what says that it takes commands.
    BOOT, COMM = ["-b"], "systemd"
    STATE, STATES = ("systemctl", "is-system-running"), ("starting", "running", "degraded")

    def __init__(self, folder, name, index, lower, binds):
        self.name, self.index, self.address = name, index, f"{NETWORK}.{11 + index}"
        self.folder, self.root, self.disk = folder / name, folder / name / "root", folder / name / "disk"
        self.log = folder / f"{name}.console"
        self.binds = binds
        self.init = None  # pid of its systemd, as seen here
        self.child = None
        self.entered = []  # commands that were started inside
        self.boots = 0
        self._make(lower)

    def _make(self, lower):
        for name in ("upper", "work", "root", "disk"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "upper").chmod(0o755)
        command("mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir={lower},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}", str(self.root))
        command("mount", "-t", "tmpfs", "-o", f"mode=700,size={DISK_BYTES}", "disk", str(self.disk))
        command("ip", "netns", "add", self.name)
        inside = ("ip", "-n", self.name)
        command("ip", "link", "add", f"to-{self.name}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        command("ip", "link", "set", f"to-{self.name}", "master", BRIDGE)
        command(*inside, "address", "add", f"{self.address}/24", "dev", "eth0")
        command(*inside, "link", "set", "lo", "up")
        command(*inside, "link", "set", "eth0", "up")

    # --- its cable ---

    def join(self):
        command("ip", "link", "set", f"to-{self.name}", "up")

    def cut(self):
        command("ip", "link", "set", f"to-{self.name}", "down")

    # --- power ---

    @property
    def on(self):
        return self.child is not None and self.child.poll() is None

    def _cgroup(self):
        """Puts the calling process into cgroups of this machine."""
        for top in cgroup_tops():
            group = top / f"{self.folder.parent.name}-{self.name}"
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def boot(self, seconds=60):
        """Boots and returns once its init takes commands; units come up by themselves after that."""
        if self.on:
            raise MachineError(f"{self.name} is on already")
        argv = ["systemd-nspawn", "--register=no", "--keep-unit", "-q", "-D", str(self.root), "-M", self.name,
                "--hostname", self.name, f"--network-namespace-path=/run/netns/{self.name}", "--link-journal=no",
                "--resolv-conf=off", "--timezone=off", "--console=pipe", f"--bind={self.disk}:/disk"]
        argv += [f"--bind-ro={source}:{destination}" for source, destination in self.binds] + self.BOOT
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          preexec_fn=self._cgroup, start_new_session=True)
        self.boots += 1
        self.join()
        deadline = time.monotonic() + seconds
        self.init = None
        while not (self.init and self.run(*self.STATE, check=False, timeout=10).strip() in self.STATES):
            if not self.on or time.monotonic() >= deadline:
                raise MachineError(f"{self.name} does not boot: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
            self.init = self.init or self._find_init()

    def _find_init(self):
        """The init below nspawn."""
        try:
            children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
            for pid in children:
                status = Path(f"/proc/{pid}/status").read_text()
                inside = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
                if inside == "1" and Path(f"/proc/{pid}/comm").read_text().strip() == self.COMM:
                    return int(pid)
        except (OSError, StopIteration):
            pass
        return None

    def power_off(self):
        """Pulls the plug: the network is silent at once, every process is gone, files stay as they were."""
        self.cut()
        if self.init:
            try:
                os.kill(self.init, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._wait(20)

    def shut_down(self, seconds=60):
        """What `poweroff` does."""
        if self.init:
            os.kill(self.init, POWEROFF)
        self._wait(seconds)

    def _wait(self, seconds):
        deadline = time.monotonic() + seconds
        while self.child.poll() is None:
            if time.monotonic() >= deadline:
                self.child.kill()
                self.child.wait(10)
            self._wake_entered()
            time.sleep(0.1)
        self.init = None

    def _wake_entered(self):
        """A machine's systemd stops all processes for a moment before it kills them. nsenter then stops itself, as a
        shell's child would, and never reaps its own: the machine would wait for that for good."""
        for process in self.entered:
            process.send_signal(signal.SIGCONT)  # does nothing to one that has ended

    # --- inside ---

    def _enter_argv(self, *argv):
        """The argument list of a command that runs inside."""
        if not self.init:
            raise MachineError(f"{self.name} is off")
        return ["nsenter", "-t", str(self.init), "-a", *argv]

    def enter(self, *argv, **options):
        """Starts a command inside; its Popen."""
        environment = {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin", "LANG": "C.UTF-8"}
        process = subprocess.Popen(self._enter_argv(*argv), stdin=subprocess.DEVNULL, env=environment, **options)
        self.entered = [p for p in self.entered if p.poll() is None] + [process]
        return process

    def complete(self, *argv, timeout):
        """Runs a command inside to its end; a CompletedProcess with text output."""
        process = self.enter(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def run(self, *argv, check=True, timeout=60):
        """Runs a command inside; its output."""
        try:
            result = self.complete(*argv, timeout=timeout)
        except subprocess.TimeoutExpired:
            if check:
                raise MachineError(f"{self.name}: {' '.join(argv)}: not within {timeout} s") from None
            return ""
        if check and result.returncode != 0:
            raise MachineError(f"{self.name}: {' '.join(argv)}: {result.stderr.strip() or result.returncode}")
        return result.stdout

    def path(self, inside):
        """Where a file of the machine's stands here, also while it is off."""
        inside = Path(inside)
        if inside.parts[:2] == ("/", "disk"):
            return self.disk.joinpath(*inside.parts[2:])
        return self.root.joinpath(*inside.parts[1:])

    def write(self, inside, text, mode=0o644):
        target = self.path(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def journal(self, *more):
        """What its units logged, also while it is off."""
        folder = self.path("/var/log/journal")
        return command("journalctl", "--no-pager", "-q", "-o", "short-precise", "-D", str(folder), *more, check=False)


class OpenrcMachine(Machine):
    """One with OpenRC as its init."""

    BOOT, COMM = ["/sbin/openrc-init"], "openrc-init"
    STATE, STATES = ("rc-status", "--runlevel"), ("default",)


class Machines:
    """S1, S2, … on one bridge. `init`: "systemd" or "openrc"."""

    def __init__(self, folder, count, binds=(), init="systemd"):
        self.folder = folder
        command("ip", "link", "add", BRIDGE, "type", "bridge")
        command("ip", "address", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        command("ip", "link", "set", BRIDGE, "up")
        lower, kind = image(init), OpenrcMachine if init == "openrc" else Machine
        self.all = [kind(folder, f"s{i + 1}", i, lower, list(binds)) for i in range(count)]

    def __getitem__(self, name):
        return next(m for m in self.all if m.name == name)

    def __iter__(self):
        return iter(self.all)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for machine in self.all:
            if machine.on:
                machine.power_off()


__all__ = ["BRIDGE", "DISK_BYTES", "Machine", "MachineError", "Machines", "NamespaceError", "OpenrcMachine", "command",
           "image"]
