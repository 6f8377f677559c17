"""Loopback addresses for a lab: a network 127.a.b.0/24 of its own, so that labs do not meet.

Ephemeral ports of outgoing connections belong to 127.0.0.1, so that a port that a server lets go while it
restarts is not taken by somebody else. The network is reserved by an abstract socket for as long as the
lab's process lives; after that the listening servers themselves keep it.
"""
import errno
import random
import socket

API_PORTS = (6443, 16443, 26443)
ETCD_PORTS = (2379, 12379, 22379)


def _free(address, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _ports(addresses, choices, span):
    for port in choices:
        if all(_free(a, port + i) for a in addresses for i in range(span)):
            return port
    return None


class Network:
    """Addresses s1, s2, … at .11, .12, … and etcd's members at .101, .102, …"""

    def __init__(self, servers, members):
        for _ in range(200):
            net = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"
            self._reservation = socket.socket(socket.AF_UNIX)
            try:
                self._reservation.bind(f"\0secrets-encrypt-lab-{net}")
            except OSError:
                self._reservation.close()
                continue
            self.servers = [f"{net}.{11 + i}" for i in range(servers)]
            self.members = [f"{net}.{101 + i}" for i in range(members)]
            self.api_port = _ports(self.servers, API_PORTS, 1)
            self.etcd_port = _ports(self.members, ETCD_PORTS, 2)
            if self.api_port and self.etcd_port:
                return
            self.close()
        raise RuntimeError("no loopback network 127.a.b.0/24 with free ports for API servers and etcd was found")

    def close(self):
        self._reservation.close()
