"""One booted machine with a small service on it, for the tests of the drivers systemd and openrc.

The service is a script that does what its file /etc/service-mode says at each start:

    run        stay
    die        end at once with status 3, after a line of its own
    die-later  end with status 3 after half a second

A program of Perl's, which every Debian has: Debian's start-stop-daemon tells a service's process by its program.
"""
import os
import shutil
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "machines"), str(HERE.parents[2] / "deploy" / "lab")]
import lab as labs  # noqa: E402
import namespaces  # noqa: E402
from machines import Machines, image  # noqa: E402

PROGRAM, PROBE = "/usr/bin/secrets-encrypt-agent", "/usr/bin/service_probe"
CONFIG, MODE = "/etc/secrets-encrypt/config.yaml", "/etc/service-mode"
LAST_WORDS = "cannot open the encryption config"
SERVICE = f"""#!/usr/bin/perl
# With an argument: the name of its log in /var/log.
open(my $in, "<", "{MODE}") or die;
my $mode = <$in>;
open(STDERR, ">>", "/var/log/$ARGV[0].log") or die if @ARGV;
if ($mode =~ /^die/) {{
    select(undef, undef, undef, 0.5) if $mode =~ /later/;
    print STDERR "{LAST_WORDS}\\n";
    exit 3;
}}
sleep 1000000 while 1;
"""
ENCRYPTION = """{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[
{"resources":["secrets"],"providers":[{"identity":{}}]}]}
"""
SETTINGS = """cluster: test
server: s1
servers: [{{name: s1, api: "https://127.0.0.1:6443"}}]
token_file: /etc/secrets-encrypt/token
state_dir: /var/lib/secrets-encrypt
state_store: {{endpoints: ["http://127.0.0.1:2379"]}}
encryption_config: /etc/secrets-encrypt/encryption-config.json
driver: {driver}
service: {{unit: "{unit}", timeout: {timeout}}}
"""


class ServiceMachineTest(unittest.TestCase):
    """A machine that the tests of a class share."""

    INIT = "systemd"
    folder = machines = machine = None

    @classmethod
    def setUpClass(cls):
        built = Path(os.environ["SECRETS_ENCRYPT_BIN"])
        program = shutil.copy2(built / "secrets-encrypt-agent", cls.folder)
        probe = shutil.copy2(built.parent / "tests" / "service_probe", cls.folder)
        cls.machines = Machines(cls.folder, 1, [(program, PROGRAM), (probe, PROBE)], init=cls.INIT)
        cls.machine = cls.machines["s1"]
        cls.machine.write("/usr/bin/test-service", SERVICE, 0o755)
        cls.machine.write("/etc/secrets-encrypt/token", "0123456789abcdef0123456789abcdef\n", 0o600)
        cls.machine.write("/etc/secrets-encrypt/encryption-config.json", ENCRYPTION, 0o600)
        cls.machine.path("/var/lib/secrets-encrypt").mkdir(mode=0o700)
        cls.mode("run")
        cls.machines.__enter__()
        cls.machine.boot()

    @classmethod
    def tearDownClass(cls):
        if cls.machines:
            cls.machines.__exit__(None, None, None)

    @classmethod
    def mode(cls, mode):
        cls.machine.write(MODE, mode + "\n")

    def agent(self, command, unit, timeout=30, path="/usr/sbin:/usr/bin:/sbin:/bin"):
        """Runs a subcommand inside; (exit status, its whole output, the last line of that)."""
        self.machine.write(CONFIG, SETTINGS.format(driver=self.INIT, unit=unit, timeout=timeout), 0o600)
        result = self.machine.complete(
            "sh", "-c", f"PATH={path}; exec {PROGRAM} --config {CONFIG} {command} 2>&1", timeout=90)
        lines = result.stdout.strip().splitlines() or [""]
        print(f"{command} {unit}: {result.returncode}: {lines[-1]}", file=sys.stderr, flush=True)
        return result.returncode, result.stdout, lines[-1]

    def probe(self, unit, lines=5, init="find"):
        """What other drivers see of a unit: (first line: "active PID", the lines of its log)."""
        first, *log = self.machine.run(PROBE, init, unit, str(lines)).splitlines()
        return first, log

    def probe_fails(self, unit, *words):
        result = self.machine.complete(PROBE, self.INIT, unit, "5", timeout=30)
        self.assertEqual(result.returncode, 1, result.stdout)
        for word in words:
            self.assertIn(word, result.stderr)

    def restart_fails(self, unit, *words, timeout=30):
        """It fails with one line that has all these words, short enough to be shown whole; the whole output."""
        status, output, line = self.agent("service-restart", unit, timeout)
        self.assertEqual(status, 1, output)
        for word in words:
            self.assertIn(word, line)
        self.assertLessEqual(len(line.encode()), 400, line)
        return output

    def restart_works(self, unit, timeout=30):
        status, output, _ = self.agent("service-restart", unit, timeout)
        self.assertEqual(status, 0, output)

    def check_says(self, unit, *words):
        """`check` ends with these words; without words: it is content."""
        status, output, line = self.agent("check", unit)
        self.assertEqual(status, 1 if words else 0, output)
        for word in words or ("ok",):
            self.assertIn(word, line)


def main(init):
    """For the end of a test's file: the test runs in namespaces of its own, where no mirror is to be reached."""
    if namespaces.VARIABLE not in os.environ:
        image(init)
    ServiceMachineTest.folder = namespaces.enter()
    unittest.main(verbosity=2, warnings="ignore")
