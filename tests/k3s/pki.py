"""The certificates and the token of K3s's servers, laid out below each data folder as K3s does."""
import hashlib
import secrets
import shutil
from pathlib import Path

import certs

CAS = ("server-ca", "client-ca", "etcd-server-ca", "etcd-peer-ca")
# (name, common name, organisation, CA, in the server's certificate)
CERTIFICATES = (
    ("serving-kube-apiserver", "kube-apiserver", "", "server-ca", True),
    ("client-admin", "system:admin", "system:masters", "client-ca", False),
    ("etcd-client", "etcd-client", "", "etcd-server-ca", False),
    ("etcd-server-client", "etcd-server", "", "etcd-server-ca", True),
    ("etcd-peer-server-client", "etcd-peer", "", "etcd-peer-ca", True),
)


def make(folder, addresses):
    """CAs, certificates for all servers at once, and the token, in `folder`."""
    folder = Path(folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in CAS:
        certs.make_ca(folder, name)
    names = ["DNS:localhost", "DNS:kubernetes.default.svc"]
    names += [f"IP:{a}" for a in sorted({"127.0.0.1", *addresses})]
    for name, common, organisation, ca, serves in CERTIFICATES:
        certs.make_certificate(folder, name, common, names if serves else (), ca, organisation)
    certs.make_certificate(folder, "service", "service-accounts", (), "client-ca")  # of which the key signs
    digest = hashlib.sha256((folder / "server-ca.crt").read_bytes()).hexdigest()
    (folder / "token").write_text(f"K10{digest}::server:{secrets.token_hex(16)}\n")


def lay_out(folder, data_dir):
    """What one server has of it, below its data folder."""
    folder, server = Path(folder), Path(data_dir) / "server"
    for name in ("tls/etcd", "cred", "db"):
        (server / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for source in folder.iterdir():
        if source.suffix in (".crt", ".key"):
            etcd = source.name.startswith("etcd-")
            target = server / "tls" / ("etcd" if etcd else "") / source.name.removeprefix("etcd-")
            shutil.copy2(source, target)
            target.chmod(0o600)
    shutil.copy2(folder / "token", server / "token")
    (server / "token").chmod(0o600)
