"""A cluster on loopback, in one temporary folder: etcd, kube-apiservers, agents, coordinators.

    with Lab(servers=3) as lab:
        lab.start()                       # certificates, etcd, API servers
        lab.start_programs()              # an agent and a coordinator for each server
        lab.cli("rotate-keys")
        lab.servers[1].agent.kill()       # SIGKILL; also .pause(), .resume(), .stop(), .start()
        lab.restart("s2")                 # what an operator does

Only processes that the lab started are ended (see processes.py), also when the lab's own process is
killed. Several labs run side by side: each has addresses and a folder of its own.

    lab.py --stop DIR     takes down a lab that was left running
"""
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import addresses  # noqa: E402
import certs  # noqa: E402
import etcd  # noqa: E402
import files  # noqa: E402
import https  # noqa: E402
import kube  # noqa: E402
import processes  # noqa: E402
import static_pods  # noqa: E402

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
PREFIX = "secrets-encrypt-lab-"
START_TIMEOUT = 120


class LabError(Exception):
    """The lab could not do what was asked; the text says why."""


def find_kube_apiserver():
    """Path of a real kube-apiserver (built once where there is none: minutes)."""
    result = subprocess.run([str(HERE / "get-kube-apiserver.sh")], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise LabError("no kube-apiserver: get-kube-apiserver.sh failed, see above")
    return result.stdout.strip()


def wait_for(what, check, seconds, every=0.05):
    """Waits until check() is true and returns its value; LabError names `what` when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise LabError(f"{what}: not within {seconds} s")
        time.sleep(every)


class Server:
    """One control-plane server: its API server's files, its agent, its coordinator."""

    def __init__(self, lab, index, address):
        self.lab, self.index, self.address = lab, index, address
        self.name = f"s{index + 1}"
        self.dir = lab.dir / self.name
        self.url = f"https://{address}:{lab.api_port}"
        folder = self.dir / "enc" if lab.kubelet else self.dir
        self.encryption_config = folder / ("encryption-config." + ("json" if lab.form == "json" else "yaml"))
        self.manifest = self.dir / "manifests" / "kube-apiserver.yaml"
        self.kubelet = None
        self.config = self.dir / "config.yaml"
        self.pid_file = self.dir / "kube-apiserver.pid"
        self.log = self.dir / "kube-apiserver.log"
        self.kube = None
        self.agent = self._program("agent")
        self.coordinator = self._program("coordinator")

    def _program(self, role):
        argv = [str(self.lab.bin / f"secrets-encrypt-{role}"), "--config", str(self.config)]
        return processes.Process(self.lab.dir, f"{role}-{self.name}", argv, self.dir / f"{role}.log")

    def entry(self):
        """The API server's process as written down (see processes.is_same)."""
        return processes.read_entry(self.lab.dir, f"kube-apiserver-{self.name}")

    def broken(self, mode=None, **unless):
        """Makes the API server's starts go wrong ("exit", "hang", "stale"), see restart.py; no mode: mends it."""
        flag = self.dir / "broken"
        if mode:
            processes.write_atomic(flag, json.dumps({"mode": mode, **unless}))
        else:
            flag.unlink(missing_ok=True)


    def broken_when(self, argument):
        """Static pods: a container with an argument that begins like this ends at its start; broken() mends it."""
        processes.write_atomic(self.dir / "broken", json.dumps({"with_argument": argument}))


class Lab:
    """See the top of the file. `settings` are members of the programs' config that replace the lab's own, or functions of
    a server that give one (the CLI has none then); `kubelet`:
    the API servers are static pods; not `encrypted` (those only): without an encryption config."""

    def __init__(self, servers=3, members=3, entries=None, form="json", resources=("secrets",), settings=None,
                 sync_on_start=False, restart_etcd=False, keep=False, bin_dir=None, kube_apiserver=None, kubelet=False,
                 encrypted=True):
        self.dir = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.keep, self.form, self.resources = keep, form, list(resources)
        self.kubelet, self.encrypted = kubelet, encrypted
        self.bin = Path(bin_dir or os.environ.get("SECRETS_ENCRYPT_BIN") or TOP / "build" / "release" / "bin")
        self.kube_apiserver, self.apiserver_extra = kube_apiserver, []
        self.cluster, self.settings = "lab", {"lease_ttl": 5, "ready_timeout": 90, **(settings or {})}
        self.flags = {"sync_on_start": sync_on_start, "restart_etcd": restart_etcd}
        self.network = addresses.Network(servers, members)
        self.api_port = self.network.api_port
        self.etcd_urls = [f"https://{a}:{self.network.etcd_port}" for a in self.network.members]
        self.entries = entries or [files.entry(["secrets"])]
        self.servers = [Server(self, i, a) for i, a in enumerate(self.network.servers)]
        self.cli_config = self.dir / "config.yaml"
        self.etcd = None
        self.admin_token = secrets.token_hex(kube.TOKEN_BYTES)
        self._reaper = None

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_):
        if not self.keep:
            self.stop()

    # --- files ---

    def write_files(self):
        """Everything on disk, nothing running."""
        for name in ("processes", "etcd"):
            (self.dir / name).mkdir(mode=0o700)
        certs.make_all(self.dir / "certs", self.network.servers + self.network.members)
        text = files.encryption_config(self.entries, self.form)
        processes.write_atomic(self.dir / "token", secrets.token_hex(32) + "\n")
        processes.write_atomic(self.dir / "admin-token", self.admin_token + "\n")
        processes.write_atomic(self.dir / "tokens.csv", f"{self.admin_token},admin,admin,system:masters\n")
        for server in self.servers:
            server.dir.mkdir(mode=0o700)
            (server.dir / "state").mkdir(mode=0o700)
            if self.kubelet:
                static_pods.write_files(self, server)
            if self.encrypted:
                processes.write_atomic(server.encryption_config, text)
            settings = files.program_config(self, server)
            processes.write_atomic(server.config, files.yaml(static_pods.settings(server, settings) if self.kubelet
                                                             else settings))
        processes.write_atomic(self.cli_config, files.yaml(files.program_config(self)))
        script = files.RESTART.format(folder=shlex.quote(str(self.dir)), python=shlex.quote(sys.executable),
                                      script=shlex.quote(str(HERE / "restart.py")))
        processes.write_atomic(self.dir / "restart", script, 0o700)
        self._write_description()

    def _write_description(self):
        """lab.json: all that restart.py has to know."""
        members = [{"name": f"etcd-{i + 1}", "log": str(self.dir / f"etcd-{i + 1}.log"),
                    "argv": etcd.member_argv(self.dir, i, self.network.members, self.network.etcd_port,
                                             self.network.etcd_port + 1)} for i in range(len(self.etcd_urls))]
        servers = {s.name: {"argv": files.apiserver_argv(self, s), "log": str(s.log), "pid_file": str(s.pid_file),
                            "encryption_config": str(s.encryption_config), "program": str(self.kube_apiserver),
                            "sync": [*s.agent.argv, "sync"]} for s in self.servers}
        processes.write_atomic(self.dir / "lab.json", json.dumps(
            {"etcd": members, "servers": servers, "flags": self.flags}, indent=1))

    def set_flags(self, **flags):
        """Changes how restart.py behaves from now on."""
        self.flags.update(flags)
        self._write_description()

    # --- starting ---

    def start(self, apiservers=True):
        """Certificates and files, etcd, and the API servers; returns when all are ready."""
        self._start_reaper()
        if apiservers and not self.kube_apiserver:
            self.kube_apiserver = find_kube_apiserver()
        self.apiserver_extra = files.runtime_config(self.kube_apiserver) if apiservers else []
        self.write_files()
        self.start_etcd()
        if apiservers:
            self.start_apiservers()

    def _start_reaper(self):
        """A child that takes the lab down when this process is gone, however it went."""
        argv = [sys.executable, str(Path(__file__).resolve()), "--reap", str(self.dir)]
        self._reaper = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)

    def _dismiss_reaper(self):
        if self._reaper:
            try:
                self._reaper.communicate(b"done", timeout=10)
            except (OSError, subprocess.TimeoutExpired):
                self._reaper.kill()
                self._reaper.wait()
            self._reaper = None

    def start_etcd(self):
        """Starts the members that do not run, and waits for a quorum."""
        for member in json.loads((self.dir / "lab.json").read_text())["etcd"]:
            if not processes.is_same(processes.read_entry(self.dir, member["name"])):
                child = processes.spawn(self.dir, member["name"], member["argv"], member["log"])
                threading.Thread(target=child.wait, daemon=True).start()
        pki = self.dir / "certs"
        tls = https.context(pki / "ca.crt", pki / "client.crt", pki / "client.key")
        self.etcd = etcd.Etcd(self.etcd_urls, tls)
        try:
            wait_for("etcd answers", self.etcd.healthy, 60)
        except LabError as error:
            raise LabError(f"{error}\n{processes.tail(self.dir / 'etcd-1.log', 15)}") from None

    def start_apiservers(self):
        for server in self.servers:
            server.kube = kube.Kube(server.name, server.url, self.dir / "certs" / "ca.crt", self.admin_token)
            if self.kubelet:
                static_pods.start(self, server)
            else:
                self._run_restart(server.name, "--start")
        for server in self.servers:
            self.wait_ready(server)

    def wait_ready(self, server, seconds=START_TIMEOUT):
        """Waits until the API server answers /readyz, or is known not to come."""
        def check():
            if not self.kubelet and not processes.is_same(server.entry()):
                raise LabError(f"{server.name}: the API server ended")
            return server.kube.ready(2)
        try:
            wait_for(f"{server.name}: API server ready", check, seconds, 0.1)
        except LabError as error:
            raise LabError(f"{error}\n{processes.tail(server.log, 15)}") from None

    def need_programs(self):
        for name in ("secrets-encrypt", "secrets-encrypt-agent", "secrets-encrypt-coordinator"):
            if not os.access(self.bin / name, os.X_OK):
                raise LabError(f"{self.bin / name} is not there: build first (cmake --build build/release)")

    def start_programs(self):
        """An agent and a coordinator on every server; S1's coordinator leads when this returns."""
        self.need_programs()
        for server in self.servers:
            server.agent.start()
        self.servers[0].coordinator.start()
        self.wait_published()
        for server in self.servers[1:]:
            server.coordinator.start()

    def wait_published(self, seconds=60):
        """Waits until every agent publishes, a coordinator leads, and it knows the servers' files."""
        def check():
            for server in self.servers:
                for program in (server.agent, server.coordinator):  # one that was not started has no exit code
                    if program.exit_code is not None:
                        raise LabError(f"{program.name} ended with {program.exit_code}")
            found = {kv.key for kv in self.etcd.range(self.key(""), keys_only=True)}
            wanted = {self.key(f"servers/{s.name}/hash") for s in self.servers}
            if self.key("leader/holder") not in found or not wanted <= found:
                return False
            return bool((self.record("rotation") or {}).get("generation"))
        try:
            wait_for("agents publish, a coordinator leads and has taken over their files", check, seconds)
        except LabError as error:
            raise LabError(f"{error}\n{self.diagnosis(12)}") from None

    # --- what an operator does ---

    def _run_restart(self, name, *more):
        result = subprocess.run([str(self.dir / "restart"), name, *more], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False, timeout=90)
        if result.returncode != 0:
            raise LabError(f"restart of {name}: {result.stderr.strip()}")

    def restart(self, name, wait=True):
        """Restarts a server's API server as an operator would, and waits until it is ready."""
        self._run_restart(name)
        if wait:
            self.wait_ready(self.server(name))

    def cli_argv(self, *args):
        """The CLI as somebody on S1 runs it (config.yaml in the lab's folder is for one elsewhere)."""
        return [str(self.bin / "secrets-encrypt"), "--config", str(self.servers[0].config), *args]

    def cli(self, *args, timeout=300):
        """Runs the CLI; returns a CompletedProcess with text output (also kept in <lab>/cli.log)."""
        result = subprocess.run(self.cli_argv(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=timeout, check=False)
        with open(self.dir / "cli.log", "a", encoding="utf-8") as log:
            log.write(f"$ secrets-encrypt {shlex.join(args)}\n{result.stdout}{result.stderr}-> {result.returncode}\n")
        return result

    def run_agent(self, server, *args, timeout=60):
        """Runs a subcommand of a server's agent; returns what it printed."""
        result = subprocess.run([*server.agent.argv, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=timeout, check=False)
        return result.stdout + result.stderr

    def cli_start(self, *args):
        """Starts the CLI in the background; returns its processes.Process (exit_code, log)."""
        name = f"cli-{time.monotonic_ns()}"
        return processes.Process(self.dir, name, self.cli_argv(*args), self.dir / f"{name}.log").start()

    # --- looking ---

    def server(self, name):
        return next(s for s in self.servers if s.name == name)

    def clients(self):
        return [s.kube for s in self.servers]

    def key(self, name):
        """Full name of one of our keys in the state store."""
        return f"/secrets-encrypt/{self.cluster}/{name}"

    def record(self, name):
        """The body of one of our records, or None."""
        found, _ = self.etcd.get(self.key(name))
        return found.body() if found else None

    def leader(self):
        """Name of the server whose coordinator leads, or None."""
        found, _ = self.etcd.get(self.key("leader/holder"))
        return found.value.decode() if found else None

    def restarts(self):
        """Names of the servers whose API server was restarted, in order."""
        try:
            return [line.split()[1] for line in (self.dir / "restarts.log").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def key_names(self):
        """Names of all keys that stand in any server's encryption config now."""
        names = set()
        for server in self.servers:
            names |= {name for name, _ in files.keys_in(server.encryption_config.read_text())}
        return names

    def count_by_key(self, resource="secrets"):
        """How many stored values of a resource stand under each key: {"aescbc:aescbckey": 500, "plain": 0}."""
        return etcd.count_by_key(self.etcd, f"/registry/{resource}/", self.key_names())

    def diagnosis(self, lines=25):
        """What one wants to see when something went wrong."""
        parts = []
        for server in self.servers:
            for program in (server.coordinator, server.agent, server.kubelet):
                if program and program.log.exists():
                    state = "runs" if program.alive else f"ended ({program.exit_code})"
                    parts.append(f"--- {program.name} {state}\n{program.tail(lines)}")
            if server.log.exists() and not processes.is_same(server.entry()):
                parts.append(f"--- API server of {server.name} does not run\n{processes.tail(server.log, 10)}")
        for name in ("rotation", "reencrypt"):
            try:
                parts.append(f"--- {name}: {json.dumps(self.record(name))}")
            except (etcd.EtcdError, AttributeError) as error:
                parts.append(f"--- {name}: {error}")
        for path in [self.dir / "cli.log", *sorted(self.dir.glob("cli-*.log"))]:
            if path.exists():
                parts.append(f"--- {path.name}\n{processes.tail(path, 15)}")
        parts.append(f"--- restarts: {' '.join(self.restarts())}")
        return "\n".join(parts)

    # --- the end ---

    def stop(self):
        """Ends every process of the lab and removes its folder."""
        old = [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)] if _main_thread() else []
        try:
            stop(self.dir)
        finally:
            self._dismiss_reaper()
            self.network.close()
            for number, handler in zip((signal.SIGINT, signal.SIGTERM), old):
                signal.signal(number, handler)

    def leave(self):
        """Lets the lab run on without this process."""
        self.keep = True
        self._dismiss_reaper()


def _main_thread():
    return threading.current_thread() is threading.main_thread()


def stop(folder):
    """Takes down the lab in a folder, whoever started it."""
    folder = Path(folder).resolve()
    if folder.exists() and not folder.name.startswith(PREFIX):
        raise LabError(f"{folder} is not a lab's folder ({PREFIX}…)")
    if not folder.exists():
        return
    left = processes.stop_all(folder)
    if left:
        raise LabError(f"processes that do not end: {[e['pid'] for e in left]}; their folder stays: {folder}")
    shutil.rmtree(folder)


def main(argv):
    if len(argv) != 3 or argv[1] not in ("--stop", "--reap"):
        print("usage: lab.py --stop DIR", file=sys.stderr)
        return 2
    if argv[1] == "--reap":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.stdin.buffer.read() == b"done":
            return 0
    try:
        stop(argv[2])
    except (LabError, OSError) as error:
        print(f"lab.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
