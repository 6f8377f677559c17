"""`k3s server`: one server from its start to its end."""
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import bootstrap
import children
import commands
import encryption_config
import etcd
import https
import kube
import nodes
import say
import stages
import supervisor
from paths import Paths
from trouble import Trouble

# A kube-apiserver ends when etcd changes its leader while it comes up. K3s would end with it, to be started again by
# systemd; for tests on a busy machine that is one restart in ten that fails for nothing.
API_STARTS = 3
WAIT = 600  # seconds that each step of a start may take; then the process ends, and systemd starts it again


class ChildEnded(say.Fatal):
    """etcd or kube-apiserver ended by itself."""

    def __init__(self, name, child):
        super().__init__(f"{name} exited: {child.returncode}")
        self.child = child


def notify(text):
    """sd_notify."""
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + name[1:] if name.startswith("@") else name)
            out.send(text.encode())


class Server:
    """See start() for the order of things."""

    def __init__(self, given):
        self.given, self.paths = given, Paths(given.data_dir)
        self.trouble = Trouble(given.data_dir)
        self.etcd_child = self.apiserver_child = self.etcd = self.api = None
        self.ready = None  # the Stages, once requests are taken
        self.token = self._token()
        self.password = self.token.rpartition("::")[2].partition(":")[2] or self.token
        self.embedded = not given.disable_etcd and not given.datastore_endpoint
        self.etcd_tls = (self.paths.etcd_ca, *self.paths.etcd_client)
        self.etcd_urls = self._etcd_urls()

    def _token(self):
        if self.given.token_file and not self.paths.token.exists():
            encryption_config.write_file(self.paths.token, Path(self.given.token_file).read_text())
        return self.paths.token.read_text().strip()

    def _etcd_urls(self):
        given = self.given
        if given.datastore_endpoint:
            if given.datastore_cafile:
                self.etcd_tls = (given.datastore_cafile, given.datastore_certfile, given.datastore_keyfile)
            return given.datastore_endpoint.split(",")
        if given.disable_etcd:
            return [m.partition("=")[2] for m in given.stand_in_members.split(",")]
        return children.client_urls(given)[-1:]

    # --- the start ---

    def start(self):
        """The disk is reconciled before anything serves; READY=1 is said when everything does."""
        if self.trouble.strikes("fail_start"):
            raise say.Fatal("starting kubernetes: preparing server: stand-in: fail_start is set")
        front = supervisor.Supervisor(self.given.bind_address if self.given.bind_address.startswith("127.")
                                      else "0.0.0.0", self.given.https_listen_port, self.paths, self.password,
                                      lambda: self.ready, self._why_not)
        front.start()
        self.etcd = children.etcd_client(self.paths, self.etcd_urls, self.etcd_tls)
        if self.given.secrets_encryption:
            self._reconcile_before_joining()
        if self.embedded:
            self.etcd_child = children.start(children.etcd_argv(self.given, self.paths))
        self._wait("etcd", self.etcd.healthy)
        if self.given.secrets_encryption:
            self._bootstrap()
        if not self.given.disable_apiserver:
            self._start_apiserver()
        notify("READY=1\n")
        say.info("k3s is up and running")

    def _why_not(self):
        return "apiserver disabled" if self.given.disable_apiserver else "runtime core not ready"

    def _reconcile_before_joining(self):
        if self.embedded and (self.paths.etcd_data / "member").exists():
            self._reconcile(children.read_from_copy(self.given, self.paths,
                                                    lambda client: bootstrap.load(client, self.token)))

    def _reconcile(self, data):
        if data is None:
            return
        if self.trouble.strikes_once("newer"):
            self._make_newer(data)
        if self.trouble.strikes("follower_stays"):
            say.warning("stand-in: the files stay as they are on the disk")
            return
        bootstrap.reconcile(data, self.paths)

    def _make_newer(self, data):
        """A config that differs from the datastore's and was written after it."""
        if not bootstrap.differs(data, self.paths):
            encryption_config.write_file(self.paths.config, self.paths.config.read_text() + "\n")
        then = time.time() + 2 * bootstrap.SKEW
        os.utime(self.paths.config, (then, then))

    def _from_server(self):
        """The bootstrap data that the server at --server has on its disk; None while it does not answer."""
        try:
            return json.loads(commands.Client(self.given.server, self.token).call("GET", "server-bootstrap"))
        except commands.ClientError as error:
            say.info(f"Waiting for {self.given.server}: {error}")
            return None

    def _bootstrap(self):
        """The datastore's copy where there is one; else this server makes it, or waits for the one that does."""
        if self.given.server and self.trouble.value("bootstrap_from_server"):
            self._wait("bootstrap data", self._from_server)
            self._reconcile(self._from_server())
            return
        data = bootstrap.load(self.etcd, self.token)
        joins = bool(self.given.server) and not self.given.cluster_init
        if data is None and joins:
            self._wait("bootstrap data", lambda: bootstrap.load(self.etcd, self.token))
            data = bootstrap.load(self.etcd, self.token)
        if data is None:
            encryption_config.make_if_missing(self.paths, self.given.secrets_encryption_provider)
            bootstrap.save(self.etcd, self.token, self.paths)
        elif not self.embedded or not self.paths.config.exists():
            self._reconcile(data)
        encryption_config.make_if_missing(self.paths, self.given.secrets_encryption_provider)

    def _start_apiserver(self):
        slow = float(self.trouble.value("slow_start", 0))
        if slow:
            say.info(f"stand-in: the API server begins {slow:g} s later")
            time.sleep(slow)
        url = f"https://{self.given.bind_address}:{self.given.stand_in_apiserver_port}"
        self.api = nodes.client(self.given.node_name, url, self.paths.server_ca, self.paths.admin)
        for attempt in range(1, API_STARTS + 1):
            try:
                self.apiserver_child = children.start(children.apiserver_argv(self.given, self.paths, self.etcd_urls,
                                                                              self.etcd_tls))
                self._wait("apiserver", lambda: self.api.ready(2))
                break
            except ChildEnded as error:
                if error.child is not self.apiserver_child or attempt == API_STARTS:
                    raise
                say.warning(f"stand-in: {error}; it is started again")
        node = nodes.Nodes(self.api, self.given.node_name)
        self._wait("node", lambda: self._create_node(node))
        found = stages.Stages(self.paths, self.trouble, node, self.etcd, self.token,
                              self.given.secrets_encryption_provider, self.given.secrets_encryption)
        lag = float(self.trouble.value("hash_lag", 0))
        if self.given.secrets_encryption and not lag:
            self._publish(found)
        elif self.given.secrets_encryption:
            threading.Thread(target=self._publish, args=(found, lag), daemon=True).start()
        self.ready = found

    def _create_node(self, node):
        labels = {**nodes.LABELS, **(nodes.ETCD_LABEL if self.embedded else {})}
        annotations = {}
        if self.embedded:
            annotations = {"etcd.k3s.cattle.io/node-name": children.member_name(self.given.node_name),
                           "etcd.k3s.cattle.io/node-address": self.given.bind_address}
        try:
            node.create(labels, annotations, self.given.stand_in_version)
            return True
        except (kube.KubeError, https.Unreachable, https.Broken) as error:
            say.info(f"Waiting for control-plane node {self.given.node_name} startup: {error}")
            return False

    def _publish(self, found, lag=0):
        time.sleep(lag)
        for _ in range(60):
            try:
                found.publish_state()
                say.info(f"Labels and annotations have been set successfully on node: {self.given.node_name}")
                break
            except (kube.KubeError, https.Unreachable, https.Broken, OSError) as error:
                say.info(f"Unable to set encryption hash annotation {error}")
                time.sleep(1)
        if self.paths.state.read_text().startswith("reencrypt_request-"):
            say.info("a re-encryption that was asked for begins again")
            found.reencrypt_again()

    def _wait(self, what, check):
        deadline = said = time.monotonic()
        deadline += WAIT
        while True:
            try:
                if check():
                    return
            except etcd.EtcdError as error:
                say.info(f"Waiting for {what}: {error}")
            self._check_children()
            now = time.monotonic()
            if now >= deadline:
                raise say.Fatal(f"{what} did not come up within {WAIT} s")
            if now >= said + 5:
                say.info(f"Waiting for {what}")
                said = now
            time.sleep(0.05)

    # --- the end ---

    def _check_children(self):
        for name, child in (("etcd", self.etcd_child), ("apiserver", self.apiserver_child)):
            if child is not None and child.poll() is not None:
                raise ChildEnded(name, child)

    def run(self):
        """Until SIGTERM or until a child ends."""
        while True:
            self._check_children()
            time.sleep(0.2)

    def stop(self):
        children.end(self.apiserver_child, 5)
        children.end(self.etcd_child, 5)


def _terminated(*_):
    raise SystemExit(0)


def run(given):
    signal.signal(signal.SIGTERM, _terminated)
    server, code = None, 1
    try:
        server = Server(given)
        server.start()
        server.run()
    except (say.Fatal, OSError, etcd.EtcdError) as error:
        say.fatal(error)
    except (SystemExit, KeyboardInterrupt):
        say.info("Shutdown request received")
        code = 0
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if server:
        server.stop()
    sys.stderr.flush()
    os._exit(code)  # a re-encryption or a request underway ends with the process, as in K3s
