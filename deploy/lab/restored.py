"""A snapshot of a lab's datastore in an etcd of its own, and an API server on that: what an administrator does
after the worst day. Both end with the lab.

    client, store = restored.start(lab, snapshot, encryption_config)
"""
import subprocess
import threading

import etcd
import files
import https
import kube
import lab as labs
import processes

PORTS = 10  # above those of the lab's own


def _spawn(lab, name, argv, log):
    child = processes.spawn(lab.dir, name, argv, log)
    threading.Thread(target=child.wait, daemon=True).start()


def _start_etcd(lab, folder, snapshot):
    """`etcdctl snapshot restore`, which checks the snapshot's own checksum, and a member on what it makes."""
    address, port = lab.network.members[0], lab.network.etcd_port + PORTS
    argv = etcd.member_argv(folder, 0, [address], port, port + 1)
    value = {flag: argv[argv.index(flag) + 1] for flag in ("--name", "--data-dir", "--initial-cluster")}
    more = ["--initial-advertise-peer-urls", argv[argv.index("--initial-advertise-peer-urls") + 1]]
    result = subprocess.run(["etcdctl", "snapshot", "restore", str(snapshot), *sum(map(list, value.items()), []), *more],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
                            env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
    if result.returncode != 0:
        raise labs.LabError(f"etcdctl snapshot restore {snapshot}: {result.stderr[-1000:]}")
    _spawn(lab, "etcd-restored", argv, folder / "etcd.log")
    pki = lab.dir / "certs"
    url = f"https://{address}:{port}"
    store = etcd.Etcd([url], https.context(pki / "ca.crt", pki / "client.crt", pki / "client.key"))
    labs.wait_for("the restored etcd answers", store.healthy, 60)
    return url, store


def _start_apiserver(lab, folder, url, encryption_config):
    server = lab.servers[0]
    own = {"--etcd-servers": url, "--secure-port": lab.api_port + PORTS, "--cert-dir": folder,
           "--encryption-provider-config": encryption_config}
    argv = files.apiserver_argv(lab, server)
    argv = [f"{a.split('=')[0]}={own[a.split('=')[0]]}" if a.split("=")[0] in own else a for a in argv]
    _spawn(lab, "kube-apiserver-restored", argv, folder / "kube-apiserver.log")
    client = kube.Kube("restored", f"https://{server.address}:{lab.api_port + PORTS}", lab.dir / "certs" / "ca.crt",
                       lab.admin_token)
    try:
        labs.wait_for("the restored API server is ready", lambda: client.ready(2), labs.START_TIMEOUT, 0.1)
    except labs.LabError as error:
        raise labs.LabError(f"{error}\n{processes.tail(folder / 'kube-apiserver.log', 15)}") from None
    return client


def start(lab, snapshot, encryption_config):
    """(client of the API server, client of the etcd)"""
    folder = lab.dir / "restored"
    (folder / "etcd").mkdir(mode=0o700, parents=True)
    (folder / "certs").symlink_to(lab.dir / "certs")
    url, store = _start_etcd(lab, folder, snapshot)
    return _start_apiserver(lab, folder, url, encryption_config), store
