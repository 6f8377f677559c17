"""Where K3s keeps its files below --data-dir, and the other parts of this project that the stand-in uses."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "lab"))


class Paths:
    """The files of one server."""

    def __init__(self, data_dir):
        self.data_dir = Path(data_dir)
        self.server = self.data_dir / "server"
        self.token = self.server / "token"
        self.config = self.server / "cred" / "encryption-config.json"
        self.state = self.server / "cred" / "encryption-state.json"
        self.etcd_data = self.server / "db" / "etcd"
        self.tls = self.server / "tls"
        self.etcd_tls = self.tls / "etcd"
        self.server_ca = self.tls / "server-ca.crt"
        self.client_ca = self.tls / "client-ca.crt"
        self.serving = (self.tls / "serving-kube-apiserver.crt", self.tls / "serving-kube-apiserver.key")
        self.admin = (self.tls / "client-admin.crt", self.tls / "client-admin.key")
        self.service_key = self.tls / "service.key"
        self.etcd_ca = self.etcd_tls / "server-ca.crt"
        self.etcd_client = (self.etcd_tls / "client.crt", self.etcd_tls / "client.key")
        self.etcd_server = (self.etcd_tls / "server-client.crt", self.etcd_tls / "server-client.key")
        self.etcd_peer_ca = self.etcd_tls / "peer-ca.crt"
        self.etcd_peer = (self.etcd_tls / "peer-server-client.crt", self.etcd_tls / "peer-server-client.key")
