"""The faults: which there are, how often each is drawn, and how each is done to a cluster of booted machines.

    plan = draw(random.Random(seed), rotations=100, per_rotation=5.5)    # lists of Fault, one list a rotation
    injector = Injector(cluster)
    injector.strike(fault)        # returns at once; mended by itself after fault.seconds
    injector.wait_mended(60)

At most one machine is off, cut off or booting at a time: with two the state store has no quorum, and nothing but
waiting is left to test. Faults of single processes overlap as they fall.
"""
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "machines"))
from cluster import ENCRYPTION_CONFIG, UNITS  # noqa: E402
import etcd  # noqa: E402  (cluster.py puts its folder on the path)
from machines import DISK_BYTES, MachineError  # noqa: E402
from namespaces import NamespaceError, command  # noqa: E402

AGENT, COORDINATOR, APISERVER, ETCD = "secrets-encrypt-agent", "secrets-encrypt-coordinator", "kube-apiserver", "etcd"
# When a fault strikes: some time after an operation was first seen in this phase (or in one after it).
PHASES = ("backup", "append", "readable", "promote", "written", "rewrite", "verify", "drop", "final")
PHASE_WEIGHTS = (1, 5, 1.5, 5, 1.5, 2, 1.5, 5, 0.5)
DELAY = {"append": 15, "promote": 15, "drop": 15}  # phases with restarts take long: seconds to spread over
LEADER = "the leader"
REPAIR_SECONDS = 150

# kind: (weight, least seconds, most seconds that it lasts)
KINDS = {
    "kill coordinator": (3, 0, 0), "kill agent": (3, 0, 0), "kill apiserver": (2, 0, 0), "kill etcd": (2, 0, 0),
    "stop coordinator": (2, 2, 12), "stop agent": (2, 2, 10), "stop apiserver": (1.5, 2, 6), "stop etcd": (1.5, 1, 6),
    "systemctl kill": (2, 0, 0), "power off": (1.5, 2, 12), "shut down": (0.7, 1, 4), "partition": (2, 2, 9),
    "compact": (1, 0, 0), "defragment": (1, 0, 0), "disk full": (1.5, 2, 7), "edit": (2, 2, 6), "clock": (1.5, 3, 15),
}
UNIT_OF = {"coordinator": COORDINATOR, "agent": AGENT, "apiserver": APISERVER, "etcd": ETCD}
FOREIGN = "runs with a config that was not issued here"  # the edit was loaded: `repair` wants to be told twice
MACHINE_KINDS = ("power off", "shut down", "partition")
EDITS = ("garbage", "truncated", "extra key", "reformatted")


@dataclasses.dataclass
class Fault:
    kind: str
    server: str  # name, or LEADER
    seconds: float
    phase: str
    delay: float
    detail: str = ""

    def __str__(self):
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind} {self.detail + ' ' if self.detail else ''}on {self.server}{lasting}"


def order(fault):
    """Sorts faults by when they are due."""
    return PHASES.index(fault.phase), fault.delay


def draw_one(dice, names, kinds):
    kind = dice.choices(kinds, [KINDS[k][0] for k in kinds])[0]
    phase = dice.choices(PHASES, PHASE_WEIGHTS)[0]
    server = LEADER if kind.endswith("coordinator") and dice.random() < 0.6 else dice.choice(names)
    detail = ""
    if kind == "edit":
        detail = dice.choice(EDITS)
    elif kind == "clock":  # a minute at least, so that a step can be told from a delay
        detail = f"{dice.choice('+-')}{int(60 * 360 ** dice.random())} s"
    elif kind == "systemctl kill":
        detail = f"{dice.choice(UNITS)} {dice.choice(('SIGKILL', 'SIGTERM', 'SIGABRT'))}"
    return Fault(kind, server, dice.uniform(*KINDS[kind][1:]), phase, dice.uniform(0, DELAY.get(phase, 3)), detail)


def draw(dice, rotations, per_rotation, names, kinds=tuple(KINDS)):
    """The whole schedule. Every rotation has the rounded share of faults, so that the sum is what was asked for."""
    plan = []
    for number in range(rotations):
        count = round((number + 1) * per_rotation) - round(number * per_rotation)
        plan.append(sorted((draw_one(dice, names, kinds) for _ in range(count)), key=order))
    return plan


def edited(text, how):
    """An encryption config as a hurried hand leaves it."""
    if how == "garbage":
        return "kind: EncryptionConfiguration\n\t- ]oops[\n"
    if how == "truncated":
        return text[: len(text) // 2]
    config = json.loads(text)
    if how == "extra key":
        for provider in config["resources"][0]["providers"]:
            for body in provider.values():
                if body and body.get("keys"):
                    body["keys"].append({"name": "by-hand", "secret": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="})
    return json.dumps(config, indent=2) + "\n"


class Injector:
    """Strikes, mends, and counts. `say(text)` logs a line."""

    def __init__(self, cluster, say):
        self.cluster, self.say = cluster, say
        self.struck, self.missed = {}, 0
        self.repairs = {"by command": 0, "by itself": 0, "by hand": 0}
        self.problems = []
        self._machine = threading.Lock()  # held while a machine is off or cut off
        self._files = {s.name: threading.Lock() for s in cluster.servers}
        self._clocks = {s.name: threading.Lock() for s in cluster.servers}
        self._active = 0
        self._changed = threading.Condition()

    @property
    def total(self):
        return sum(self.struck.values())

    def strike(self, fault):
        """Begins a fault in the background."""
        with self._changed:
            self._active += 1
        threading.Thread(target=self._run, args=(fault,), daemon=True).start()

    def wait_mended(self, seconds):
        """Waits until nothing is broken any more; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._active == 0, seconds)

    @property
    def active(self):
        return self._active

    def _run(self, fault):
        try:
            for _ in range(20):  # a machine that is off has no process to kill: a moment later it has
                if self._attempt(fault):
                    break
                time.sleep(0.5)
            else:
                self.missed += 1
                self.say(f"missed: {fault}")
        except Exception as error:  # shown and counted as a problem of the run
            self.problems.append(f"{fault}: {type(error).__name__}: {error}")
            self.say(f"PROBLEM {self.problems[-1]}")
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def _attempt(self, fault):
        """Does it, with its mending; False when there was nothing to do it to."""
        name = fault.server
        if name == LEADER:
            name = self.cluster.leader() or self.cluster.servers[0].name
        server = self.cluster.server(name)
        verb, _, noun = fault.kind.partition(" ")
        if fault.kind in MACHINE_KINDS:
            with self._machine:
                return getattr(self, "_" + fault.kind.replace(" ", "_"))(fault, server)
        if verb in ("kill", "stop") and noun in UNIT_OF:
            return getattr(self, f"_{verb}")(fault, server, UNIT_OF[noun])
        return getattr(self, "_" + fault.kind.replace(" ", "_"))(fault, server)

    def _count(self, fault, server):
        with self._changed:
            self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
        self.say(str(dataclasses.replace(fault, server=server.name)))

    # --- processes ---

    def _kill(self, fault, server, unit):
        pid = server.pid(unit)
        if not pid or not _signal(pid, signal.SIGKILL):
            return False
        self._count(fault, server)
        return True

    def _stop(self, fault, server, unit):
        pid = server.pid(unit)
        if not pid or not _signal(pid, signal.SIGSTOP):
            return False
        self._count(fault, server)
        time.sleep(fault.seconds)
        _signal(pid, signal.SIGCONT)  # pids are not given anew within seconds
        return True

    def _systemctl_kill(self, fault, server):
        unit, number = fault.detail.split()
        if not server.pid(unit):
            return False
        try:
            server.machine.run("systemctl", "kill", "-s", number, unit, timeout=20)
        except MachineError:
            return False
        self._count(fault, server)
        return True

    def _clock(self, fault, server):
        """Stepped, and stepped back after a while; one step at a time, they do not add up."""
        with self._clocks[server.name]:
            self._count(fault, server)
            server.step_clock(int(fault.detail.split()[0]) * 1000)
            time.sleep(fault.seconds)
            server.step_clock(0)
        return True

    # --- machines ---

    def _power_off(self, fault, server):
        self._count(fault, server)
        server.machine.power_off()
        time.sleep(fault.seconds)
        self._boot(server)
        return True

    def _shut_down(self, fault, server):
        self._count(fault, server)
        server.machine.shut_down()
        time.sleep(fault.seconds)
        self._boot(server)
        return True

    def _boot(self, server):
        """The next machine may only go once this one's state store member is back."""
        server.machine.boot()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.kube.ready(2) is not True:
            time.sleep(0.5)

    def _partition(self, fault, server):
        self._count(fault, server)
        server.machine.cut()
        try:
            time.sleep(fault.seconds)
        finally:
            server.machine.join()
        time.sleep(3)  # for its member to catch up
        return True

    # --- the state store ---

    def _etcdctl(self, *args):
        pki = self.cluster.dir / "certs"
        return command("etcdctl", "--command-timeout", "15s", "--cacert", str(pki / "ca.crt"), "--cert",
                       str(pki / "client.crt"), "--key", str(pki / "client.key"), *args)

    def _compact(self, fault, server):
        _, revision = self.cluster.etcd.get("health")
        try:
            self._etcdctl("--endpoints", ",".join(self.cluster.etcd_urls), "compact", str(revision))
        except NamespaceError:
            return False
        self._count(fault, server)
        return True

    def _defragment(self, fault, server):
        try:
            self._etcdctl("--endpoints", self.cluster.etcd_urls[server.machine.index], "defrag")
        except NamespaceError:
            return False
        self._count(fault, server)
        return True

    # --- files ---

    def _disk_full(self, fault, server):
        with self._files[server.name]:
            filler = server.machine.disk / "filler"
            self._count(fault, server)
            try:
                with open(filler, "wb", buffering=0) as out:
                    try:
                        for _ in range(2 * DISK_BYTES // 4096):
                            out.write(b"\0" * 4096)
                    except OSError:
                        pass
                time.sleep(fault.seconds)
            finally:
                filler.unlink(missing_ok=True)
        return True

    def _edit(self, fault, server):
        with self._files[server.name]:
            if not server.machine.on:
                return False
            path = server.encryption_config
            was = path.read_text()
            now = edited(was, fault.detail)
            temporary = path.with_name(".by-hand")
            temporary.write_text(now)
            temporary.chmod(0o600)
            os.replace(temporary, path)
            self._count(fault, server)
            time.sleep(fault.seconds)
            self._put_right(server, now)
        return True

    def _values_under_other_keys(self, server):
        """What the runbook says to look for before `repair --force`: values under keys that no other server has."""
        text = next(s for s in self.cluster.servers if s is not server).encryption_config.read_text()
        keys = [key.partition(":")[2] for key in self.cluster.count_by_key() if key != "plain"]
        return [key for key in keys if key not in text]

    def _put_right(self, server, wrong):
        """What an operator does about it: `secrets-encrypt repair`, again while the cluster cannot do it yet."""
        deadline, told = time.monotonic() + REPAIR_SECONDS, ""
        while time.monotonic() < deadline:
            if server.encryption_config.read_text() != wrong:
                self.repairs["by command" if told else "by itself"] += 1
                return
            asker = next((s for s in self.cluster.servers if s.machine.init and s is not server), server)
            try:
                force = ["--force"] if FOREIGN in told and not self._values_under_other_keys(server) else []
                result = self.cluster.cli("repair", server.name, "--wait", "--timeout", "30", *force, server=asker,
                                          timeout=45)
                text = (result.stdout + result.stderr).strip().splitlines()[-1:] or [""]
                if text[0] != told:
                    told = text[0]
                    self.say(f"repair {server.name} on {asker.name} -> {result.returncode}: {told}")
            except (MachineError, OSError, etcd.EtcdError, subprocess.TimeoutExpired) as error:  # its machine went off meanwhile
                told = str(error)
            time.sleep(1)
        self.repairs["by hand"] += 1
        self.problems.append(f"repair of {server.name} was not done within {REPAIR_SECONDS} s: {told}")
        other = next(s for s in self.cluster.servers if s is not server)
        server.machine.write(ENCRYPTION_CONFIG, other.encryption_config.read_text(), 0o600)
        server.machine.run("systemctl", "restart", APISERVER, check=False)


def _signal(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False
