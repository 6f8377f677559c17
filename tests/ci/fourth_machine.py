"""A machine that can reach nothing but the coordinators' port: a network namespace of its own, joined to this machine by a
pair of interfaces on whose near side only the coordinators listen; what runs in it is nobody's process."""
import os
import subprocess

NOBODY = 65534


def command(*argv):
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {result.stderr.strip()}")
    return result.stdout


class FourthMachine:
    def __init__(self, addresses=3):
        number = os.getpid()
        # 100.64.0.0/10 is for networks that nobody routes (RFC 6598); a /28 of it by our process id
        base = (number % (1 << 18)) << 4
        self.net = f"100.{64 + (base >> 16)}.{(base >> 8) & 255}"
        self.low = base & 255
        self.name, self.near = f"se-ci-{number}", f"seci{number}"
        self.addresses = [self._address(i + 1) for i in range(addresses)]

    def _address(self, i):
        return f"{self.net}.{self.low + i}"

    def __enter__(self):
        command("ip", "netns", "add", self.name)
        try:
            command("ip", "link", "add", self.near, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            for address in self.addresses:
                command("ip", "address", "add", f"{address}/28", "dev", self.near)
            command("ip", "link", "set", self.near, "up")
            command("ip", "-n", self.name, "address", "add", f"{self._address(14)}/28", "dev", "eth0")
            command("ip", "-n", self.name, "link", "set", "lo", "up")
            command("ip", "-n", self.name, "link", "set", "eth0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # without waiting for what may run in it: its processes are the test's own, and ended by it
        subprocess.run(["ip", "netns", "delete", self.name], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["ip", "link", "delete", self.near], stderr=subprocess.DEVNULL, check=False)

    def cable(self, plugged):
        command("ip", "link", "set", self.near, "up" if plugged else "down")

    def start(self, argv, env, cwd, output):
        """A process of nobody's in it, a group of its own."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                                 "--clear-groups", "--no-new-privs", *argv],
                                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd,
                                start_new_session=True)
