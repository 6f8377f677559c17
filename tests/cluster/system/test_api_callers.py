"""Callers of the coordinators' API who are refused, and such as are hostile: each costs a bounded amount of memory, and
nobody beside them waits. There are no API servers: coordinators serve and lead without."""
import contextlib
import signal
import socket
import subprocess
import time
import unittest

import api_callers as callers
import support
from api_callers import certs
from support import labs, say

MORE_MEMORY = 64  # MiB
SERVED_WITHIN = 2  # seconds
IDLE = 1000


@contextlib.contextmanager
def coordinators(count=3):
    with labs.Lab(servers=count, members=1, settings={"api": callers.settings}) as lab:
        try:
            lab.need_programs()
            lab.start(apiservers=False)
            callers.make_certificates(lab)
            for server in lab.servers:
                server.coordinator.start()
            labs.wait_for("a coordinator leads, and all serve", lambda: lab.leader() and all(
                server.coordinator.log.read_text().count("the API is open") >= 2 for server in lab.servers), 30)
            yield lab
        except BaseException:
            print(lab.diagnosis(), flush=True)
            raise


class RefusedTest(unittest.TestCase):
    def refused(self, lab, who, part, code, at=None, **more):
        result = callers.run(lab, who, at or callers.address(lab.servers[0]), "status", **more)
        self.assertEqual(code, result.returncode, result.stderr)
        self.assertEqual(1, len(result.stderr.splitlines()), result.stderr)
        self.assertIn(part, result.stderr)
        self.assertEqual("", result.stdout)

    def test_certificates(self):
        with coordinators() as lab:
            self.assertEqual(0, callers.run(lab, "ci", callers.address(lab.servers[0]), "status").returncode)
            self.refused(lab, "nobody", "no role", 8)
            for who in ("stranger", "expired"):
                self.refused(lab, who, "certificate", 8)
            self.nobody_without_one(lab)
            self.another_server(lab)
            self.refused(lab, "ci", "no coordinator answers at 127.0.0.1:9", 9, at="127.0.0.1:9")
            self.wrong_use(lab)
            self.another_address(lab)
            self.a_broken_certificate_stops_nobody(lab)

    def nobody_without_one(self, lab):
        result = subprocess.run([str(lab.bin / "secrets-encrypt"), "--coordinator", callers.address(lab.servers[0]),
                                 "--ca", str(lab.dir / "certs" / "ca.crt"), "status"], capture_output=True, text=True,
                                check=False, timeout=30)
        self.assertEqual((1, 1), (result.returncode, len(result.stderr.splitlines())), result.stderr)
        self.assertIn("--cert", result.stderr)
        with self.assertRaises(OSError):  # TLS 1.3 tells with the first read
            context = callers.ssl.create_default_context(cafile=str(lab.dir / "certs" / "ca.crt"))
            with context.wrap_socket(socket.create_connection((lab.servers[0].address, callers.PORT), 5),
                                     server_hostname=lab.servers[0].address) as conn:
                conn.recv(1)

    def another_server(self, lab):
        """One whose certificate is of another CA is not believed."""
        pki = lab.dir / "certs"
        result = subprocess.run([str(lab.bin / "secrets-encrypt"), "--coordinator", callers.address(lab.servers[0]),
                                 "--ca", str(pki / "clients.crt"), "--cert", str(pki / "ci.crt"), "--key",
                                 str(pki / "ci.key"), "status"], capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual((8, 1), (result.returncode, len(result.stderr.splitlines())), result.stderr)

    def wrong_use(self, lab):
        for at, part in (("", "address"), ("x", "no port"), (f"unix:/a,{callers.address(lab.servers[0])}", "either"),
                         ("unix:/nowhere/api.sock", "no coordinator answers")):
            result = callers.run(lab, "ci", at or ",", "status")
            self.assertNotEqual(0, result.returncode)
            self.assertIn(part, result.stderr)

    def another_address(self, lab):
        """Each coordinator is known by its own name: those behind the first address count, too, be that one away or
        silent."""
        s1, s2, _ = lab.servers
        both = f"{callers.address(s1)},{callers.address(s2)}"
        began = time.monotonic()
        self.assertEqual(0, callers.run(lab, "ci", callers.address(s2), "status").returncode)
        alone = time.monotonic() - began  # on this machine, now
        s1.coordinator.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            result = callers.run(lab, "ci", both, "status")
            self.assertEqual(0, result.returncode, result.stderr)
            self.assertLess(time.monotonic() - began, 4 + 3 * alone)
        finally:
            s1.coordinator.signal(signal.SIGCONT)
        s1.coordinator.stop()
        result = callers.run(lab, "ci", both, "status")
        self.assertEqual(0, result.returncode, result.stderr)
        s1.coordinator.start()

    def a_broken_certificate_stops_nobody(self, lab):
        """It leads on, its socket serves on; put right, and after SIGHUP, it listens again."""
        s1 = lab.servers[0]
        s1.coordinator.stop()
        good = (s1.dir / "api.crt").read_text()
        (s1.dir / "api.crt").write_text("no certificate\n")
        s1.coordinator.start()
        labs.wait_for("it says why", lambda: "the API does not listen" in s1.coordinator.log.read_text(), 15)
        labs.wait_for("it leads all the same", lambda: lab.leader() == "s1", 30)
        self.refused(lab, "ci", "no coordinator answers", 9)
        self.assertEqual(0, callers.run(lab, "ci", f"unix:{s1.dir}/api/api.sock", "status").returncode)
        (s1.dir / "api.crt").write_text(good)
        s1.coordinator.signal(signal.SIGHUP)
        labs.wait_for("it listens again", lambda: callers.run(lab, "ci", callers.address(s1), "status").returncode == 0,
                      10, 0.3)
        # One that is there is read again, too: callers of another CA from now on.
        certs.make_ca(lab.dir / "certs", "others")
        certs.make_certificate(lab.dir / "certs", "later", "ci", ca="others", organisation="team")
        self.refused(lab, "later", "certificate", 8)
        (lab.dir / "certs" / "clients.crt").write_text((lab.dir / "certs" / "others.crt").read_text())
        s1.coordinator.signal(signal.SIGHUP)
        labs.wait_for("the other CA counts",
                      lambda: callers.run(lab, "later", callers.address(s1), "status").returncode == 0, 10, 0.3)


class HostileTest(unittest.TestCase):
    quiet = 60.0  # seconds that an answer takes when nobody is hostile; at first not known

    def test_bounded_and_beside_the_others(self):
        with coordinators(1) as lab:
            server = lab.servers[0]
            self.quiet = self.served(lab)
            before = callers.memory(server.coordinator)
            for attack in (self.large_message, self.garbage, self.idle, self.never_reads, self.half_open):
                with contextlib.ExitStack() as stack:
                    attack(lab, stack)
                    self.served(lab)
                    more = callers.memory(server.coordinator) - before
                    say(f"{attack.__name__}: {more:.1f} MiB more than the {before:.1f} before")
                    self.assertLess(more, MORE_MEMORY, attack.__name__)
                self.assertTrue(server.coordinator.alive, attack.__name__)
            self.assertEqual("s1", lab.leader())
            log = server.coordinator.log.read_text()
            say(f"{len(log.splitlines())} lines in the log")
            self.assertLess(len(log.splitlines()), 1000, "each refusal a line of its own")

    def served(self, lab):
        """Somebody else is answered, as soon as without all this, but for what the machine is busy with."""
        began = time.monotonic()
        result = callers.run(lab, "ci", callers.address(lab.servers[0]), "status")
        self.assertEqual(0, result.returncode, result.stderr)
        took = time.monotonic() - began
        self.assertLess(took, SERVED_WITHIN + 3 * self.quiet)
        return took

    def large_message(self, lab, stack):
        """100 MB, said and sent as far as it is taken, by some connections at once."""
        for _ in range(4):
            rude = stack.enter_context(contextlib.closing(callers.Rude(lab, lab.servers[0]))).hello()
            rude.call(1, "Start")
            rude.frame(0, 0, 1, b"\0" + (100 << 20).to_bytes(4, "big"))
            rude.socket.settimeout(2)
            sent = 0
            with contextlib.suppress(OSError):
                while sent < 100 << 20:
                    rude.frame(0, 0, 1, b"x" * 16384)
                    sent += 16384
            say(f"{sent >> 10} KiB of 100 MB were taken off us")

    def garbage(self, lab, stack):
        server = lab.servers[0]
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 4096, bytes(range(256)) * 64):
            conn = stack.enter_context(socket.create_connection((server.address, callers.PORT), 5))
            with contextlib.suppress(OSError):
                conn.sendall(data)
                conn.settimeout(5)
                while conn.recv(4096):
                    pass
            rude = stack.enter_context(contextlib.closing(callers.Rude(lab, server)))
            with contextlib.suppress(OSError):
                rude.socket.sendall(data)
                rude.socket.settimeout(5)
                while rude.socket.recv(4096):
                    pass

    def idle(self, lab, stack):
        """As many as there can be, before and behind the handshake."""
        for i in range(IDLE):
            conn = stack.enter_context(socket.socket())
            conn.setblocking(False)
            with contextlib.suppress(OSError):
                conn.bind((f"127.200.{i % 40}.1", 0))  # many addresses: one may not have as many
                conn.connect((lab.servers[0].address, callers.PORT))
        for _ in range(20):
            with contextlib.suppress(OSError):
                stack.enter_context(contextlib.closing(callers.Rude(lab, lab.servers[0]))).hello()

    def never_reads(self, lab, stack):
        for _ in range(8):
            rude = stack.enter_context(contextlib.closing(callers.Rude(lab, lab.servers[0], receive_buffer=4096)))
            rude.hello()
            for stream in range(1, 33, 2):
                rude.call(stream, "Watch")
                rude.message(stream)
        time.sleep(2)

    def half_open(self, lab, stack):
        """A call whose message never comes, many times."""
        for _ in range(8):
            rude = stack.enter_context(contextlib.closing(callers.Rude(lab, lab.servers[0]))).hello()
            for stream in range(1, 33, 2):
                rude.call(stream, "Status")


if __name__ == "__main__":
    support.main()
