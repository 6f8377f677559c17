"""etcd and kube-apiserver as children that do not outlive this process. In K3s both are threads of it."""
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import etcd
import https
import say

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(argv):
    """To be called in the main thread: the kernel kills the child when the thread that started it ends."""
    say.info(f"Running {Path(argv[0]).name} {' '.join(argv[1:])}")
    # Half of an API server's start is garbage collection: with more room it takes a third less of the processor.
    env = {"GOGC": "400", **{k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}}
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=env, preexec_fn=_die_with_parent)


def end(child, seconds):
    """SIGTERM, and SIGKILL after `seconds`."""
    if child is None or child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def member_name(node):
    """K3s names members after their node and some random digits; here the digits are always the same ones."""
    return f"{node}-{sum(node.encode()) * 2654435761 % 2**32:08x}"


def client_urls(given):
    urls = [f"https://{given.bind_address}:{given.stand_in_etcd_port}"]
    if not given.bind_address.startswith("127."):
        urls.append(f"https://127.0.0.1:{given.stand_in_etcd_port}")
    return urls


def etcd_argv(given, paths):
    """The embedded member. Membership stands in the command line; K3s adds members one by one as learners."""
    me, port = member_name(given.node_name), given.stand_in_etcd_port
    own = f"https://{given.bind_address}:{port + 1}"
    members = [m.partition("=")[::2] for m in given.stand_in_members.split(",") if m] or [(given.node_name, own)]
    argv = [given.stand_in_etcd, "--name", me, "--data-dir", str(paths.etcd_data),
            "--listen-client-urls", ",".join(client_urls(given)), "--advertise-client-urls", client_urls(given)[0],
            "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
            "--initial-cluster", ",".join(f"{member_name(n)}={url}" for n, url in members),
            "--initial-cluster-state", "new", "--pre-vote",  # the default of the release in K3s
            "--heartbeat-interval", "250", "--election-timeout", "2500",
            "--logger", "zap", "--log-outputs", "stderr", "--log-level", "error",
            "--cert-file", str(paths.etcd_server[0]), "--key-file", str(paths.etcd_server[1]),
            "--trusted-ca-file", str(paths.etcd_ca), "--client-cert-auth",
            "--peer-cert-file", str(paths.etcd_peer[0]), "--peer-key-file", str(paths.etcd_peer[1]),
            "--peer-trusted-ca-file", str(paths.etcd_peer_ca), "--peer-client-cert-auth"]
    return argv + [f"--{arg}" for arg in given.etcd_arg]


def etcd_client(paths, urls, tls=None):
    ca, cert, key = tls or (paths.etcd_ca, *paths.etcd_client)
    return etcd.Etcd(urls, https.context(ca, cert, key))


def read_from_copy(given, paths, read, seconds=60):
    """Calls read(etcd) on a copy of the own member's data that nobody else is part of, as K3s does before it joins
    the others: it has what this member had when it went down."""
    folder = Path(tempfile.mkdtemp(prefix="etcd-tmp-", dir=paths.etcd_data.parent))
    closing = contextlib.ExitStack()
    try:
        shutil.copytree(paths.etcd_data, folder / "data")
        port = 2399
        if given.bind_address.startswith("127."):  # many stand-ins on one machine
            hold, port = _hold_port()
            closing.callback(hold.close)
        url = f"https://127.0.0.1:{port}"
        argv = [given.stand_in_etcd, "--name", member_name(given.node_name), "--data-dir", str(folder / "data"),
                "--force-new-cluster", "--listen-client-urls", url, "--advertise-client-urls", url,
                "--listen-peer-urls", "http://127.0.0.1:0", "--heartbeat-interval", "50", "--election-timeout", "250",
                "--logger", "zap", "--log-outputs", "stderr", "--log-level", "error",
                "--cert-file", str(paths.etcd_server[0]), "--key-file", str(paths.etcd_server[1]),
                "--trusted-ca-file", str(paths.etcd_ca), "--client-cert-auth"]
        say.info("Starting temporary etcd to reconcile with datastore")
        child = start(argv)
        try:
            client, deadline = etcd_client(paths, [url]), time.monotonic() + seconds
            while not client.healthy():
                if child.poll() is not None or time.monotonic() >= deadline:
                    raise say.Fatal("failed to start temporary etcd to reconcile with datastore")
                time.sleep(0.05)
            return read(client)
        finally:
            end(child, 5)
    finally:
        closing.close()
        shutil.rmtree(folder, ignore_errors=True)


def _hold_port():
    """A port that nobody else is given while the socket is open, on which etcd, which sets SO_REUSEADDR, can listen."""
    hold = socket.socket()
    hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    hold.bind(("127.0.0.1", 0))
    return hold, hold.getsockname()[1]


def apiserver_argv(given, paths, etcd_urls, etcd_tls):
    ca, cert, key = etcd_tls
    argv = [given.stand_in_kube_apiserver,
            f"--etcd-servers={','.join(etcd_urls)}", f"--etcd-cafile={ca}", f"--etcd-certfile={cert}",
            f"--etcd-keyfile={key}", f"--bind-address={given.bind_address}",
            f"--secure-port={given.stand_in_apiserver_port}", f"--advertise-address={given.bind_address}",
            f"--cert-dir={paths.server / 'apiserver'}", f"--client-ca-file={paths.client_ca}",
            f"--tls-cert-file={paths.serving[0]}", f"--tls-private-key-file={paths.serving[1]}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-signing-key-file={paths.service_key}",
            f"--service-account-key-file={paths.service_key}",
            "--api-audiences=https://kubernetes.default.svc.cluster.local,k3s",
            "--service-cluster-ip-range=10.43.0.0/16", "--endpoint-reconciler-type=none", "--profiling=false"]
    if given.secrets_encryption:
        argv.append(f"--encryption-provider-config={paths.config}")
    own = [f"--{arg}" for arg in given.kube_apiserver_arg]
    names = {a.partition("=")[0] for a in own}
    return [a for a in argv if a.partition("=")[0] not in names] + own
