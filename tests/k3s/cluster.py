"""Booted machines with K3s's unit on each, run by the stand-in: an etcd member, a real kube-apiserver, a supervisor;
and our agent and coordinator, when there is a `bin_dir`.

    folder = namespaces.enter()
    with Cluster(folder, bin_dir, settings={"lease_ttl": 5}) as cluster:
        cluster.start()
        cluster.run_k3s("s1", "prepare")            # k3s secrets-encrypt prepare, typed on s1
        cluster.restart("s1")                       # systemctl restart k3s
        cluster.trouble("s2", follower_stays=1)     # README.md lists the switches

More than tests/machines/cluster.py has; what stands there about CLI, records and journals holds here too.
"""
import importlib.util
import json
import os
import re
import shutil
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "machines"))
sys.path.insert(0, str(HERE))
import paths  # noqa: E402
import arguments  # noqa: E402
import children  # noqa: E402
import etcd  # noqa: E402
import files  # noqa: E402
import https  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import nodes  # noqa: E402
import pki  # noqa: E402

# Its name is this file's too.
SPEC = importlib.util.spec_from_file_location("machine_cluster", HERE.parent / "machines" / "cluster.py")
machine_cluster = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(machine_cluster)

SOURCE, PROGRAM = "/opt/k3s-stand-in", "/usr/local/bin/k3s"
DATA = Path("/var/lib/rancher/k3s")
SUPERVISOR_PORT, API_PORT, ETCD_PORT = 6443, 6444, 2379
INSIDE = machine_cluster.INSIDE
PYTHON = Path("/usr/bin/python3")

# As K3s's installer writes it, but for the modules that it loads.
UNIT = """[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
After=network.target {after}

[Service]
Type=notify
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStart={command}
{more}
[Install]
WantedBy=multi-user.target
"""


class Cluster(machine_cluster.Cluster):
    """See the top of the file.

    `external`: an etcd beside K3s on each machine as its external datastore, in place of the embedded one.
    `roles`: "etcd" or "control-plane" for servers that are not both.
    `k3s_arguments`: more arguments for every server."""

    def __init__(self, folder, bin_dir=None, kube_apiserver=None, servers=3, settings=None, external=False, roles=None,
                 k3s_arguments=()):
        self.external, self.roles, self.k3s_arguments = external, dict(roles or {}), list(k3s_arguments)
        source = folder / "stand-in"
        for part in ("tests/k3s", "deploy/lab"):
            shutil.copytree(TOP / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        real = PYTHON.resolve()
        binds = [(source, SOURCE), (real, PYTHON), (f"/usr/lib/{real.name}", f"/usr/lib/{real.name}")]
        super().__init__(folder, bin_dir, kube_apiserver, servers, settings, binds=binds)
        self.cluster = "k3s"
        self.with_etcd = [s for s in self.servers if self.roles.get(s.name) != "control-plane"]
        self.with_api = [s for s in self.servers if self.roles.get(s.name) != "etcd"]
        self.etcd_urls = [f"https://{s.address}:{ETCD_PORT}" for s in self.with_etcd]
        self.paths = paths.Paths(DATA)  # as the machines see them
        for server in self.servers:
            server.url = f"https://{server.address}:{API_PORT}"
            server.encryption_config = server.machine.path(self.paths.config)
            server.state = server.machine.path(self.paths.state)

    # --- files ---

    def arguments(self, server):
        """What follows `k3s` on a server's command line."""
        argv = ["server", "--data-dir", str(DATA), "--node-name", server.name, "--bind-address", server.address,
                "--secrets-encryption", "--stand-in-apiserver-port", str(API_PORT)]
        first = self.with_etcd[0]
        argv += ["--cluster-init"] if server is first else ["--server", f"https://{first.address}:{SUPERVISOR_PORT}"]
        role = self.roles.get(server.name)
        members = ",".join(f"{s.name}=https://{s.address}:{ETCD_PORT + (role != 'control-plane')}"
                           for s in self.with_etcd)
        if self.external:
            argv += ["--datastore-endpoint", ",".join(self.etcd_urls)]
        else:
            argv += ["--stand-in-members", members]
        argv += {"etcd": ["--disable-apiserver"], "control-plane": ["--disable-etcd"]}.get(role, [])
        for one in machine_cluster.quick(files.runtime_config(self.kube_apiserver)):
            argv += ["--kube-apiserver-arg", one.removeprefix("--")]
        return argv + self.k3s_arguments

    def program_config(self, server):
        """The config of agent, coordinator and CLI on a server."""
        ca, cert, key = self.paths.etcd_ca, *self.paths.etcd_client
        settings = {
            "cluster": self.cluster, "server": server.name,
            # Those without an API server stand last: that they are restarted first is by their role alone.
            "servers": [self._listed(s) for s in sorted(self.servers, key=lambda s: s not in self.with_api)],
            "resources": self.resources, "token_file": str(INSIDE / "token"),
            "state_store": {"endpoints": self.etcd_urls, "ca_file": str(ca), "cert_file": str(cert),
                            "key_file": str(key)},
            "kubernetes": {"ca_file": str(self.paths.server_ca), "cert_file": str(self.paths.admin[0]),
                           "key_file": str(self.paths.admin[1])},
            "encryption_config": str(self.paths.config), "driver": "k3s",
            "k3s": {"data_dir": str(DATA), "supervisor": f"https://127.0.0.1:{SUPERVISOR_PORT}"},
            "state_dir": str(machine_cluster.STATE), "lease_ttl": 5, "ready_timeout": 120,
            "snapshots": {"dir": "/var/lib/secrets-encrypt", "keep": 2}}
        settings.update(self.settings)
        return settings

    def _listed(self, server):
        """A server as `servers` lists it."""
        role = self.roles.get(server.name)
        url = f"https://{server.address}:{SUPERVISOR_PORT}" if role == "etcd" else server.url
        return {"name": server.name, "api": url, **({"role": role} if role else {})}

    def _write_files(self):
        staged = self.dir / "pki"
        pki.make(staged, [s.address for s in self.servers])
        token = os.urandom(32).hex() + "\n"
        for server in self.servers:
            machine = server.machine
            machine.write("/etc/hostname", server.name + "\n")
            pki.lay_out(staged, machine.path(DATA))
            machine.path(PROGRAM).parent.mkdir(parents=True, exist_ok=True)
            machine.path(PROGRAM).symlink_to(f"{SOURCE}/tests/k3s/k3s")
            command = " ".join([PROGRAM, *self.arguments(server)])
            after = "etcd.service" if self.external else ""
            self.write_unit(server, "k3s", UNIT.format(command=command, after=after, more=""))
            if self.external:
                self._write_etcd_unit(server)
            if self.bin:
                self._write_programs(server, token)

    def _write_etcd_unit(self, server):
        given = arguments.parse(["server", "--node-name", server.name, "--bind-address", server.address,
                                 "--stand-in-members", ",".join(f"{s.name}=https://{s.address}:{ETCD_PORT + 1}"
                                                                for s in self.with_etcd)])
        where = paths.Paths(DATA)
        where.etcd_data = Path("/var/lib/etcd")
        argv = ["/usr/bin/etcd", *children.etcd_argv(given, where)[1:]]
        self.write_unit(server, "etcd", machine_cluster.UNIT.format(
            name="etcd", command=" ".join(argv), after="network.target", more=""))

    def _write_programs(self, server, token):
        machine = server.machine
        machine.path(INSIDE).mkdir(mode=0o700)
        machine.write(INSIDE / "token", token, 0o600)
        machine.write(INSIDE / "config.yaml", files.yaml(self.program_config(server)), 0o600)
        for folder in (machine_cluster.STATE, Path("/var/lib/secrets-encrypt")):
            machine.path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        for role in ("agent", "coordinator"):
            name = f"secrets-encrypt-{role}"
            self.write_unit(server, name, machine_cluster.UNIT.format(
                name=name, command=f"/usr/bin/{name} --config {INSIDE / 'config.yaml'}", after="network.target",
                more=""))

    # --- starting ---

    def start(self, seconds=180):
        """Boots everything; returns when every server is up, and our programs have taken over, where they are."""
        self._write_files()
        staged = self.dir / "pki"
        self.etcd = etcd.Etcd(self.etcd_urls, https.context(
            staged / "etcd-server-ca.crt", staged / "etcd-client.crt", staged / "etcd-client.key"))
        for server in self.with_api:
            server.kube = self.client(server)
        self.boot()
        for server in self.servers:
            self.wait_up(server.name, seconds)
        if self.bin:
            self.wait_published(seconds)

    def client(self, server, timeout=machine_cluster.CLIENT_TIMEOUT):
        folder = self.dir / "pki"
        return nodes.client(server.name, server.url, folder / "server-ca.crt",
                            (folder / "client-admin.crt", folder / "client-admin.key"), timeout)

    def clients(self):
        return [s.kube for s in self.with_api]

    # --- what an operator does ---

    def k3s_start(self, name, *args, **options):
        """`k3s secrets-encrypt …` typed on a server, in the background; its Popen."""
        return self.server(name).machine.enter("k3s", "secrets-encrypt", *args, **options)

    def run_k3s(self, name, *args, timeout=150):
        """`k3s secrets-encrypt …` typed on a server; a CompletedProcess with text output."""
        return self.server(name).machine.complete("k3s", "secrets-encrypt", *args, timeout=timeout)

    def restart(self, *names, check=True, timeout=150):
        """`systemctl restart k3s` on these servers at the same time; returns when systemd says that they run."""
        failures = []

        def one(name):
            result = self.server(name).machine.complete("systemctl", "restart", "k3s", timeout=timeout)
            if result.returncode != 0:
                failures.append(f"{name}: systemctl restart k3s: {result.stderr.strip()}\n{self.last_lines(name)}")
        threads = [threading.Thread(target=one, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if check and failures:
            raise machine_cluster.MachineError("; ".join(failures))
        return failures

    def wait_up(self, name, seconds=150):
        """Waits until systemd says that K3s runs there."""
        try:
            labs.wait_for(f"{name}: k3s.service is active", lambda: self.unit_state(name) == "active", seconds, 0.2)
        except labs.LabError as error:
            raise machine_cluster.MachineError(f"{error}\n{self.last_lines(name)}") from None

    def unit_state(self, name):
        """active, activating, deactivating, failed, …"""
        return self.server(name).machine.run("systemctl", "show", "-p", "ActiveState", "--value", "k3s", check=False,
                                             timeout=20).strip()

    # --- looking ---

    def trouble(self, name, **switches):
        """Sets switches of a server's trouble.json and leaves the others; None takes one away."""
        path = self.server(name).machine.path(DATA / "trouble.json")
        now = json.loads(path.read_text()) if path.exists() else {}
        now.update(switches)
        temporary = path.with_name(".trouble.json.new")
        temporary.write_text(json.dumps({k: v for k, v in now.items() if v is not None}) + "\n")
        os.replace(temporary, path)

    def annotation(self, name):
        """What a server published last, as the node says through any server."""
        for server in self.with_api:
            try:
                node = server.kube.call("GET", f"/api/v1/nodes/{name}", timeout=5)
                return (node["metadata"].get("annotations") or {}).get(nodes.ANNOTATION)
            except (https.Unreachable, https.Broken, kube.KubeError):
                continue
        return None

    def journal(self, name, *more):
        return self.server(name).machine.journal("-u", "k3s", *more)

    def last_lines(self, name, count=25):
        """The end of K3s's own log and of what its children said of errors."""
        lines = self.journal(name, "-n", "20000").splitlines()
        return "\n".join([line for line in lines if re.search(r"\]: (time=|[EF]\d{4} |\{)|systemd", line)][-count:])

    def make_secrets(self, seed, count):
        kube.make_secrets(self.clients(), seed, range(count))

    def read_errors(self, seed, count):
        """Reads every Secret through every server; what is not as it was written."""
        return kube.read_errors(self.clients(), seed, range(count))
