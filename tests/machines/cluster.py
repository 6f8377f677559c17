"""A cluster on booted machines: on each an etcd member, a real kube-apiserver, our agent and our coordinator, all
as systemd units that systemd starts again whenever they end.

    folder = namespaces.enter()
    with Cluster(folder, bin_dir) as cluster:
        cluster.start()
        cluster.cli("status")                # the CLI on a machine that is on
        cluster.server("s1").machine         # see machines.py
        cluster.server("s1").pid("etcd")     # of a unit's main process, as seen here

It offers what deploy/lab's watchers ask of a lab: servers, etcd, key(), record(), leader(), count_by_key().
"""
import json
import os
import secrets
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "deploy" / "lab"))
import certs  # noqa: E402
import etcd  # noqa: E402
import files  # noqa: E402
import https  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import processes  # noqa: E402
from machines import Machine, MachineError, Machines  # noqa: E402

PROGRAMS = ("secrets-encrypt", "secrets-encrypt-agent", "secrets-encrypt-coordinator")
UNITS = ("etcd", "kube-apiserver", "secrets-encrypt-agent", "secrets-encrypt-coordinator")
PEERS, CLIENTS, API_PORT = 2380, 2379, 6443
INSIDE = Path("/etc/secrets-encrypt")  # certificates, token and config on each machine
ENCRYPTION_CONFIG = Path("/disk/encryption-config.json")
STATE = Path("/disk/state")
CLOCK, CLOCK_LIBRARY = Path("/disk/clock"), "/usr/lib/clock_step.so"
CLIENT_TIMEOUT = 12  # seconds; longer than any fault leaves a request underway

UNIT = """[Unit]
Description={name}
After={after}
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Restart=always
RestartSec=1
TimeoutStopSec=10
OOMScoreAdjust=0
{more}
[Install]
WantedBy=multi-user.target
"""


class Server:
    """One control-plane server of the cluster."""

    def __init__(self, machine: Machine, encryption_config=ENCRYPTION_CONFIG):
        self.machine, self.name, self.address = machine, machine.name, machine.address
        self.url = f"https://{self.address}:{API_PORT}"
        self.encryption_config = machine.path(encryption_config)
        self.kube = None

    def pid(self, unit):
        """The main process of a unit, as seen from here; None when there is none now."""
        if not self.machine.on or not self.machine.init:
            return None
        shown = self.machine.run("systemctl", "show", "-p", "MainPID", "--value", unit, check=False, timeout=10)
        inside = shown.strip()
        if not inside.isdigit() or inside == "0":
            return None
        return self._outside(int(inside))

    def step_clock(self, milliseconds):
        """Steps the wall clock of our agent and coordinator on this machine (see Cluster's `clock`)."""
        with open(self.machine.path(CLOCK), "r+b", buffering=0) as out:
            out.write(struct.pack("=q", milliseconds))

    def _outside(self, inside):
        """The pid here of a process with pid `inside` in the machine."""
        space = os.readlink(f"/proc/{self.machine.init}/ns/pid")
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") != space:
                    continue
                status = Path(f"/proc/{entry}/status").read_text()
            except OSError:
                continue
            numbers = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
            if numbers.split()[-1:] == [str(inside)]:
                return int(entry)
        return None


def quick(argv):
    """Makes an API server ready two seconds sooner: it would wait until roles and priority classes are there."""
    argv = [a for a in argv if not a.startswith(("--authorization-mode=", "--disable-admission-plugins="))]
    argv += ["--authorization-mode=AlwaysAllow", "--disable-admission-plugins=ServiceAccount,Priority"]
    unused = ",scheduling.k8s.io/v1=false,rbac.authorization.k8s.io/v1=false"
    return [a + unused if a.startswith("--runtime-config=") else a for a in argv]


class Cluster:
    """See the top of the file. `settings` are members of the programs' config that replace this cluster's own, or
    functions that make them for a server; `clock` is a library for our programs that reads what to add to their wall clock from CLOCK; `binds` are what
    else the machines see. Without `bin_dir` our programs are not there (for those who build on this)."""

    encryption_config = ENCRYPTION_CONFIG
    folders = (STATE, Path("/var/lib/etcd"), Path("/var/lib/secrets-encrypt"))

    def __init__(self, folder, bin_dir, kube_apiserver=None, servers=3, settings=None, clock=None, binds=()):
        self.dir, self.cluster = folder, "machines"
        self.bin, self.settings = self._copy(Path(bin_dir)) if bin_dir else None, dict(settings or {})
        self.kube_apiserver = kube_apiserver or labs.find_kube_apiserver()
        etcd_binary = shutil.which("etcd")
        if not etcd_binary:
            raise MachineError("etcd is missing (deploy/lab/install-packages.sh run)")
        binds = list(binds) + [(self.bin / p, f"/usr/bin/{p}") for p in PROGRAMS if self.bin]
        binds += [(etcd_binary, "/usr/bin/etcd"), (self.kube_apiserver, "/usr/bin/kube-apiserver")]
        binds += [(clock, CLOCK_LIBRARY)] if clock else []
        self.clock = bool(clock)
        self.machines = Machines(folder, servers, binds)
        self.servers = [Server(m, self.encryption_config) for m in self.machines]
        self.members = [s.address for s in self.servers]
        self.etcd_urls = [f"https://{a}:{CLIENTS}" for a in self.members]
        self.entries = [files.entry(["secrets"])]
        self.resources = ["secrets"]
        self.admin_token = secrets.token_hex(kube.TOKEN_BYTES)
        self.etcd = None

    def _copy(self, source):
        """Our programs as they are now: a build that goes on meanwhile changes nothing here."""
        target = self.dir / "bin"
        target.mkdir()
        for name in PROGRAMS:
            if not os.access(source / name, os.X_OK):
                raise MachineError(f"{source / name} is not there: build first (cmake --build build/release)")
            shutil.copy2(source / name, target / name)
        return target

    def __enter__(self):
        self.machines.__enter__()
        return self

    def __exit__(self, *more):
        self.machines.__exit__(*more)

    # --- files ---

    def _inside(self, server):
        """This cluster as deploy/lab/files.py wants a lab, with the paths that hold on a machine."""
        view = SimpleNamespace(name=server.name, address=server.address, url=server.url, dir=INSIDE,
                               encryption_config=self.encryption_config, pid_file=INSIDE / "no")
        lab = SimpleNamespace(dir=INSIDE, cluster=self.cluster, servers=self.servers, resources=self.resources,
                              etcd_urls=self.etcd_urls, api_port=API_PORT, kube_apiserver="/usr/bin/kube-apiserver",
                              apiserver_extra=files.runtime_config(self.kube_apiserver), settings={})
        return lab, view

    def _program_config(self, server):
        settings = files.program_config(*self._inside(server))
        settings.pop("pid_file")  # the agent finds the process by itself, as on a real server
        settings.update({"lease_ttl": 5, "ready_timeout": 60, "state_dir": str(STATE),
                         "exec": {"restart": ["/usr/bin/systemctl", "restart", "kube-apiserver"], "timeout": 40},
                         "snapshots": {"dir": "/var/lib/secrets-encrypt", "keep": 2}})
        settings.update({k: v(server) if callable(v) else v for k, v in self.settings.items()})
        return settings

    def _units(self, server):
        member = etcd.member_argv(INSIDE, server.machine.index, self.members, CLIENTS, PEERS)
        member[0], member[member.index("--data-dir") + 1] = "/usr/bin/etcd", "/var/lib/etcd"
        member += ["--quota-backend-bytes", str(512 << 20), "--log-level", "error"]
        config = f"--config {INSIDE / 'config.yaml'}"
        more = f"Environment=LD_PRELOAD={CLOCK_LIBRARY}" if self.clock else ""
        return {
            "etcd": (" ".join(member), "network.target", "Environment=GOGC=200"),
            # Half of a start is garbage collection: with more room it takes a third less of the processor.
            "kube-apiserver": (" ".join(quick(files.apiserver_argv(*self._inside(server)))), "etcd.service",
                               "Environment=GOGC=400"),
            "secrets-encrypt-agent": (f"/usr/bin/secrets-encrypt-agent {config}", "kube-apiserver.service", more),
            "secrets-encrypt-coordinator": (f"/usr/bin/secrets-encrypt-coordinator {config}", "etcd.service", more)}

    def _write_files(self):
        certs.make_all(self.dir / "certs", self.members)
        text = files.encryption_config(self.entries)
        token = secrets.token_hex(32) + "\n"
        for server in self.servers:
            machine = server.machine
            machine.write("/etc/hostname", server.name + "\n")
            machine.path(INSIDE).mkdir(mode=0o700)
            shutil.copytree(self.dir / "certs", machine.path(INSIDE / "certs"))
            machine.write(INSIDE / "token", token, 0o600)
            machine.write(INSIDE / "admin-token", self.admin_token + "\n", 0o600)
            machine.write(INSIDE / "tokens.csv", f"{self.admin_token},admin,admin,system:masters\n", 0o600)
            machine.write(INSIDE / "config.yaml", files.yaml(self._program_config(server)), 0o600)
            machine.write(self.encryption_config, text, 0o600)
            machine.path(CLOCK).write_bytes(bytes(8))
            for folder in self.folders:
                machine.path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, (command, after, more) in self._units(server).items():
                self.write_unit(server, name, UNIT.format(name=name, command=command, after=after, more=more))

    @staticmethod
    def write_unit(server, name, text):
        """A unit that starts with its machine; before that boots."""
        wants = server.machine.path("/etc/systemd/system/multi-user.target.wants")
        wants.mkdir(parents=True, exist_ok=True)
        server.machine.write(f"/etc/systemd/system/{name}.service", text)
        (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")

    # --- starting ---

    def boot(self):
        threads = [threading.Thread(target=s.machine.boot) for s in self.servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def start(self, seconds=120):
        """Boots everything; returns when all servers are ready, published and taken over."""
        self.start_servers(seconds)
        self.wait_published(seconds)

    def start_servers(self, seconds=120):
        """Boots everything; returns when all API servers are ready."""
        self._write_files()
        pki = self.dir / "certs"
        self.etcd = etcd.Etcd(self.etcd_urls, https.context(pki / "ca.crt", pki / "client.crt", pki / "client.key"))
        for server in self.servers:
            server.kube = self.client(server)
        self.boot()
        labs.wait_for("etcd answers", self.etcd.healthy, seconds)
        for server in self.servers:
            labs.wait_for(f"{server.name}: API server ready", lambda s=server: s.kube.ready(2), seconds, 0.2)

    def wait_published(self, seconds=120):
        try:
            labs.wait_for("agents publish, a coordinator leads and has taken over their files", self.published, seconds)
        except labs.LabError:
            print(self.what_is_wrong(), flush=True)
            raise

    def what_is_wrong(self):
        """What an operator would look at, as one text."""
        told = []
        for argv in (("status", "-o", "wide"), ("explain",), ("preflight",), ("rotate-keys", "--dry-run")):
            try:
                result = self.cli(*argv, timeout=30)
                told.append(f"$ secrets-encrypt {' '.join(argv)}  -> {result.returncode}\n{result.stdout}{result.stderr}")
            except (MachineError, subprocess.TimeoutExpired, StopIteration) as error:
                told.append(f"$ secrets-encrypt {' '.join(argv)}: {error}\n")
        for server in self.servers:
            lines = [line for line in server.machine.journal().splitlines() if "secrets-encrypt-" in line]
            told.append("\n".join([f"{server.name}, the end of our journal:", *lines[-20:]]) + "\n")
        return "\n".join(told)

    def client(self, server, timeout=CLIENT_TIMEOUT):
        return kube.Kube(server.name, server.url, self.dir / "certs" / "ca.crt", self.admin_token, timeout)

    def published(self):
        found = {kv.key for kv in self.etcd.range(self.key(""), keys_only=True)}
        wanted = {self.key("leader/holder"), *(self.key(f"servers/{s.name}/hash") for s in self.servers)}
        if not wanted <= found:
            return False
        return bool((self.record("rotation") or {}).get("generation"))

    # --- what an operator does ---

    @staticmethod
    def _cli_argv(args):
        return ("/usr/bin/secrets-encrypt", "--config", str(INSIDE / "config.yaml"), *args)

    def cli_start(self, server, *args):
        """The CLI on a server, in the background, its output in <folder>/cli.log; returns its Popen."""
        with open(self.dir / "cli.log", "ab") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {server.name}$ secrets-encrypt {' '.join(args)}\n".encode())
            log.flush()
            return server.machine.enter(*self._cli_argv(args), stdout=log, stderr=log)

    def cli(self, *args, server=None, timeout=120):
        """Runs the CLI on a server; a CompletedProcess with text output."""
        server = server or next(s for s in self.servers if s.machine.on)
        return server.machine.complete(*self._cli_argv(args), timeout=timeout)

    # --- looking ---

    def server(self, name):
        return next(s for s in self.servers if s.name == name)

    def clients(self):
        return [s.kube for s in self.servers]

    def key(self, name):
        return f"/secrets-encrypt/{self.cluster}/{name}"

    def record(self, name):
        """The body of one of our records, or None."""
        found, _ = self.etcd.get(self.key(name))
        return found.body() if found else None

    def leader(self):
        found, _ = self.etcd.get(self.key("leader/holder"))
        return found.value.decode() if found else None

    def count_by_key(self, resource="secrets"):
        names = set()
        for server in self.servers:
            try:
                names |= {name for name, _ in files.keys_in(server.encryption_config.read_text())}
            except ValueError:  # cut short by a fault; the other servers' files have the names
                pass
        return etcd.count_by_key(self.etcd, f"/registry/{resource}/", names)

    def save_journals(self, target):
        """Journals, consoles and our records, for people; `target` is a folder outside."""
        target = Path(target)
        target.mkdir(parents=True, exist_ok=True)
        for server in self.servers:
            (target / f"{server.name}.journal").write_text(server.machine.journal())
            if server.machine.log.exists():
                shutil.copy(server.machine.log, target / f"{server.name}.console")
        if (self.dir / "cli.log").exists():
            shutil.copy(self.dir / "cli.log", target / "cli.log")
        try:
            records = {kv.key: kv.body() for kv in self.etcd.range(self.key("")) if "/bundles/" not in kv.key
                       and "/escrow/" not in kv.key}
            processes.write_atomic(target / "records.json", json.dumps(records, indent=1, default=str), 0o644)
        except (etcd.EtcdError, AttributeError) as error:
            (target / "records.json").write_text(f"{error}\n")
