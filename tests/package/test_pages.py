"""Man pages and shell completion say what the program says: they are made from its table, and compared here with what
its parser and its help make of the same words."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import packages

# For a line typed so far, what bash would offer.
ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_secrets_encrypt
printf '%s\\n' "${COMPREPLY[@]}"
"""


class PagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.build = packages.build_folder()
        cls.pages = cls.build / "deploy" / "pages"
        cls.program = cls.build / "bin" / "secrets-encrypt"
        lines = [line.split("\t") for line in cls.say("--table").splitlines()]
        cls.commands = {line[1]: line for line in lines if line[0] == "command"}

    @classmethod
    def say(cls, *args):
        return subprocess.run([str(cls.program), *args], stdin=subprocess.DEVNULL, capture_output=True, check=True,
                              text=True, timeout=20).stdout

    def flags_in_help(self, command):
        """(long, short or "") of the flags that a command's help lists."""
        flags = re.findall(r"(?m)^  (?:-(\w), |    )--([a-z-]+)", self.say(*command.split(), "--help"))
        self.assertGreater(len(flags), 5, command)
        return {f"--{long}" for _, long in flags} | {f"-{short}" for short, _ in flags if short}

    def bash(self, *words):
        result = subprocess.run(["bash", "--norc", "-c", ASK_BASH, "bash", str(self.pages / "secrets-encrypt.bash"),
                                 "secrets-encrypt", *words], stdin=subprocess.DEVNULL, capture_output=True, check=True,
                                text=True, timeout=20)
        self.assertEqual("", result.stderr)
        return set(result.stdout.split())

    def test_the_table_is_what_the_help_lists(self):
        listed = re.findall(r"(?m)^  ([a-z]+(?:[ -][a-z]+)*)  ", self.say("--help").split("\ncommands:\n")[1])
        self.assertEqual(sorted(listed), sorted(self.commands))

    def test_bash_offers_every_command(self):
        self.assertEqual({c.split()[0] for c in self.commands}, self.bash(""))
        self.assertEqual({"rotate", "rotate-keys"}, self.bash("rot"))
        self.assertEqual({"restore"}, self.bash("keys", ""))
        self.assertEqual(set(), self.bash("status", ""))
        self.assertEqual({"status"}, self.bash("--config", "/etc/passwd", "stat"))

    def test_bash_offers_the_flags_that_a_command_takes(self):
        for command in self.commands:
            self.assertEqual(self.flags_in_help(command), self.bash(*command.split(), "-"), command)

    def test_bash_offers_a_flags_words(self):
        self.assertEqual({"text", "json", "wide"}, self.bash("status", "-o", ""))
        self.assertEqual({"datastore"}, self.bash("reencrypt", "--engine", "d"))
        self.assertEqual({"datastore"}, self.bash("reencrypt", "--engine", "=", "d"))
        self.assertEqual(set(), self.bash("prepare", "--timeout", ""))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "file").touch()
            self.assertEqual({f"{folder}/file"}, self.bash("--config", f"{folder}/f"))

    def test_every_shell_and_the_manual_know_every_flag(self):
        for command in self.commands:
            for flag in self.flags_in_help(command):
                name = flag.lstrip("-")
                roff = f"Fl {name}" if len(name) == 1 else f"Fl Fl {name}"
                fish = f" -s {name} " if len(name) == 1 else f" -l {name} "
                for page, text in (("secrets-encrypt.fish", fish), ("_secrets-encrypt", flag), ("secrets-encrypt.1", roff)):
                    self.assertIn(text, (self.pages / page).read_text(), page)
            *_, last = command.split()
            self.assertIn(f" -a {last} ", (self.pages / "secrets-encrypt.fish").read_text())
            self.assertRegex((self.pages / "_secrets-encrypt").read_text(), rf"(?m)^    '?{command.split()[0]}[:)]")
            self.assertRegex((self.pages / "secrets-encrypt.1").read_text(), rf"(?m)^\.It Cm {command}( Ar| Op Ar|$)")

    def test_shells_take_them(self):
        for shell, page in (("bash", "secrets-encrypt.bash"), ("zsh", "_secrets-encrypt"), ("fish", "secrets-encrypt.fish")):
            if not shutil.which(shell):
                print(f"{shell} is not installed: its completion was not read by it")
                continue
            result = subprocess.run([shell, "-n", str(self.pages / page)], stdin=subprocess.DEVNULL, capture_output=True,
                                    check=False, text=True, timeout=20)
            self.assertEqual((0, "", ""), (result.returncode, result.stdout, result.stderr), shell)

    def test_man_pages_are_well_formed(self):
        if not shutil.which("mandoc"):
            self.fail("mandoc is missing (deploy/lab/install-packages.sh test)")
        pages = sorted(self.pages.glob("*.[158]"))
        self.assertEqual(4, len(pages))
        for page in pages:
            result = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(page)], stdin=subprocess.DEVNULL,
                                    capture_output=True, check=False, text=True, timeout=20)
            self.assertEqual((0, "", ""), (result.returncode, result.stdout, result.stderr), page.name)
            self.assertNotIn("@", re.sub(r"root@s1", "", page.read_text()), f"{page.name}: something was not filled in")

    def test_the_manual_has_every_field(self):
        page = (self.pages / "secrets-encrypt.yaml.5").read_text()
        table = re.findall(r"(?m)^\| `([^`]+)`", (packages.TOP / "docs" / "configuration.md").read_text())
        self.assertGreater(len(table), 30)
        self.assertEqual(table, re.findall(r"(?m)^\.It Cm (\S+)$", page))

    def started_with(self, change, programs=(["secrets-encrypt", "status"], ["secrets-encrypt-agent", "check"],
                                             ["secrets-encrypt-coordinator"])):
        """What each program says with the example: (arguments, folder, stderr). There is no token."""
        for argv in programs:
            with tempfile.TemporaryDirectory() as folder:
                example = Path(folder) / "config.yaml"
                text = change((self.pages / "config.yaml").read_text())
                example.write_text(text.replace("/etc/secrets-encrypt/", f"{folder}/"))
                result = subprocess.run([str(self.build / "bin" / argv[0]), *argv[1:]], stdin=subprocess.DEVNULL,
                                        env={**os.environ, "SECRETS_ENCRYPT_CONFIG": str(example)}, capture_output=True,
                                        check=False, text=True, timeout=30)
                yield argv, folder, result.stderr

    def test_the_example_is_a_configuration(self):
        """All three programs get past it: to the token, which is not there."""
        for argv, folder, said in self.started_with(lambda text: text):
            self.assertIn(f"{folder}/token", said, argv)
            self.assertNotIn(f"{folder}/config.yaml", said, argv)

    def test_the_configuration_of_an_older_package_is_one_too(self):
        """An upgrade leaves the file alone, and starts the new programs with it."""
        for argv, folder, said in self.started_with(lambda text: text + "\nlog_level: info\n"):
            self.assertIn(f"{folder}/token", said, argv)
            self.assertNotIn("unknown field", said, argv)
            if argv[0] == "secrets-encrypt-coordinator":
                self.assertRegex(said, r'level=warning .*msg="old names in the configuration" .*why="log_level is log\.level now"')
        for argv, folder, said in self.started_with(lambda text: text + "\nlog_level: info\nlog: {level: debug}\n"):
            self.assertIn(f"{folder}/config.yaml: log_level: this is log.level now", said, argv)

    def test_why_a_daemon_ends_is_an_event(self):
        """The last line is one of the log, as the ones before: who reads the log by fields sees it too."""
        daemons = (["secrets-encrypt-agent"], ["secrets-encrypt-coordinator"])
        for argv, folder, said in self.started_with(lambda text: text + "\nlog: {format: json}\nlog_level: info\n", daemons):
            events = [json.loads(line) for line in said.splitlines()]
            self.assertEqual(("warning", "old names in the configuration"), (events[0]["level"], events[0]["msg"]), argv)
            self.assertEqual(("error", "ended"), (events[-1]["level"], events[-1]["msg"]), argv)
            self.assertIn(f"{folder}/token", events[-1]["why"], argv)


if __name__ == "__main__":
    unittest.main(verbosity=2)
