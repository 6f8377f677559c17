"""Callers of the coordinators' API: the CLI with certificates of its own, a wire that can be cut, and just enough of
HTTP/2 to be rude with."""
import contextlib
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

from support import say  # which also makes the lab's own modules known

import certs  # noqa: E402

PORT = 6448
ROLES = [{"role": "operator", "subject": "O=team, CN=ci"}, {"role": "admin", "subject": "CN=boss"},
         {"role": "viewer", "group": "look"}]


def settings(server):
    """The section `api` of a server's configuration, with certificates of its own."""
    pki = server.lab.dir / "certs"
    return {"socket": str(server.dir / "api" / "api.sock"), "listen": [f"{server.address}:{PORT}"],
            "cert_file": str(server.dir / "api.crt"), "key_file": str(server.dir / "api.key"),
            "client_ca_file": str(pki / "clients.crt"), "roles": ROLES}


def make_certificates(lab):
    """Those of the API's servers (by the lab's CA), of callers (by a CA of theirs), and of some who are neither."""
    pki = lab.dir / "certs"
    certs.make_ca(pki, "clients")
    for server in lab.servers:
        certs.make_certificate(pki, f"api-{server.name}", server.name, [f"IP:{server.address}", "IP:127.0.0.1"])
        for end in ("crt", "key"):
            (pki / f"api-{server.name}.{end}").rename(server.dir / f"api.{end}")
    certs.make_certificate(pki, "ci", "ci", ca="clients", organisation="team")
    certs.make_certificate(pki, "boss", "boss", ca="clients")
    certs.make_certificate(pki, "viewer", "somebody", ca="clients", organisation="look")
    certs.make_certificate(pki, "nobody", "nobody", ca="clients")
    certs.make_certificate(pki, "stranger", "ci", organisation="team")  # by another CA
    certs.make_expired(pki, "expired", ca="clients")


def address(server):
    return f"{server.address}:{PORT}"


def argv(lab, who, at, *args):
    """The CLI as somebody runs it who has certificates, and nothing else of the cluster."""
    pki = lab.dir / "certs"
    return [str(lab.bin / "secrets-encrypt"), "--coordinator", at, "--ca", str(pki / "ca.crt"), "--cert",
            str(pki / f"{who}.crt"), "--key", str(pki / f"{who}.key"), *args]


def run(lab, who, at, *args, timeout=120, env=None):
    began = time.monotonic()
    result = subprocess.run(argv(lab, who, at, *args), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=timeout, check=False, cwd="/", env={"PATH": os.environ["PATH"], **(env or {})})
    say(f"{who}: {' '.join(args)} -> {result.returncode}, {time.monotonic() - began:.2f} s")
    return result


class Wire:
    """A port of 127.0.0.1 behind which is another; cut() ends what goes over it, and more can come."""

    def __init__(self, host, port):
        self._to, self._pairs, self._lock = (host, port), set(), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(self._to, 5)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            with self._lock:
                self._pairs.add((inner, outer))
            threading.Thread(target=self._carry, args=(inner, outer), daemon=True).start()

    def _carry(self, inner, outer):
        with contextlib.suppress(OSError, ValueError):
            while True:
                for one in select.select([inner, outer], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    (outer if one is inner else inner).sendall(data)
                    self.carried += len(data)
        with self._lock:
            self._pairs.discard((inner, outer))
        for one in (inner, outer):
            one.close()

    def cut(self):
        """Both ends see a reset."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def close(self):
        self._listener.close()
        self.cut()


class Rude:
    """A TLS connection that speaks HTTP/2 as far as it has to."""

    def __init__(self, lab, server, who="viewer", receive_buffer=None):
        pki = lab.dir / "certs"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / f"{who}.crt"), str(pki / f"{who}.key"))
        context.set_alpn_protocols(["h2"])
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(10)
        raw.connect((server.address, PORT))
        self.socket = context.wrap_socket(raw, server_hostname=server.address)

    def hello(self, window=0x7fffffff - 65535):
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.frame(4, 0, 0, struct.pack(">HI", 4, 0x7fffffff))  # SETTINGS: streams' windows
        self.frame(8, 0, 0, struct.pack(">I", window))
        return self

    def frame(self, kind, flags, stream, data=b""):
        self.socket.sendall(struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data)

    def call(self, stream, method):
        """The headers of a call."""
        pairs = [(":method", "POST"), (":scheme", "https"), (":path", f"/secretsencrypt.v1.Coordinator/{method}"),
                 (":authority", "x"), ("te", "trailers"), ("content-type", "application/grpc")]
        block = b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in pairs)
        self.frame(1, 4, stream, block)

    def message(self, stream, data=b"", last=True):
        self.frame(0, 1 if last else 0, stream, b"\0" + struct.pack(">I", len(data)) + data)

    def close(self):
        self.socket.close()


def memory(process):
    """Resident memory of a process, in MiB."""
    for line in open(f"/proc/{process.pid}/status", encoding="ascii"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")
