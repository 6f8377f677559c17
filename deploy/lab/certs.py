"""Certificates of a lab, made with the openssl command: one CA, one certificate for all servers, one client."""
import shutil
import subprocess
from pathlib import Path

# A name that stands in every server certificate, for clients that reach several members by one name.
SHARED_NAME = "secrets-encrypt-lab"


def _openssl(*args):
    result = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"openssl {args[0]}: {result.stderr.strip()}")


def _key(path):
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))
    path.chmod(0o600)


def make_ca(folder, name="ca"):
    """<name>.key and <name>.crt, self-signed."""
    folder = Path(folder)
    _key(folder / f"{name}.key")
    _openssl("req", "-x509", "-new", "-key", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt"),
             "-days", "365", "-subj", f"/CN=secrets-encrypt lab {name}",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")


def make_certificate(folder, name, common_name, names=(), ca="ca", organisation=""):
    """<name>.key and <name>.crt, signed by the CA, for servers and clients alike."""
    folder = Path(folder)
    _key(folder / f"{name}.key")
    subject = (f"/O={organisation}" if organisation else "") + f"/CN={common_name}"
    _openssl("req", "-new", "-key", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.csr"), "-subj", subject)
    extensions = ["basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth,clientAuth"]
    if names:
        extensions.append("subjectAltName=" + ",".join(names))
    (folder / f"{name}.ext").write_text("\n".join(extensions) + "\n")
    _openssl("x509", "-req", "-in", str(folder / f"{name}.csr"), "-CA", str(folder / f"{ca}.crt"),
             "-CAkey", str(folder / f"{ca}.key"), "-CAcreateserial", "-days", "365", "-out", str(folder / f"{name}.crt"),
             "-extfile", str(folder / f"{name}.ext"))
    for leftover in ("csr", "ext"):
        (folder / f"{name}.{leftover}").unlink()


def make_expired(folder, name, ca="ca"):
    """<name>.key and <name>.crt, a certificate of the year 2020 (which `openssl x509` does not make)."""
    folder, box = Path(folder), Path(folder) / f"{name}.d"
    box.mkdir()
    (box / "index").write_text("")
    (box / "serial").write_text("01\n")
    (box / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={box}/index\nserial={box}/serial\n"
                              f"new_certs_dir={box}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    _key(folder / f"{name}.key")
    _openssl("req", "-new", "-key", str(folder / f"{name}.key"), "-out", str(box / "csr"), "-subj", f"/CN={name}")
    _openssl("ca", "-batch", "-notext", "-config", str(box / "conf"), "-cert", str(folder / f"{ca}.crt"),
             "-keyfile", str(folder / f"{ca}.key"), "-in", str(box / "csr"), "-out", str(folder / f"{name}.crt"),
             "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    shutil.rmtree(box)


def make_all(folder, addresses):
    """Everything that a lab needs in <folder>; `addresses` are those of its etcd members and API servers."""
    folder = Path(folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    make_ca(folder)
    names = [f"DNS:{SHARED_NAME}", "DNS:localhost", "DNS:kubernetes.default.svc"]
    names += [f"IP:{a}" for a in sorted(set(addresses) | {"127.0.0.1"})]
    make_certificate(folder, "server", SHARED_NAME, names)
    make_certificate(folder, "client", "secrets-encrypt")
    _openssl("genrsa", "-out", str(folder / "service-account.key"), "2048")
