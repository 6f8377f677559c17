"""The Debian package, from the outside: files, modes, owners, dependencies, scripts; the same each time it is made."""
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import packages

DOCS = packages.TOP / "docs"
PROGRAMS = ("secrets-encrypt", "secrets-encrypt-agent", "secrets-encrypt-coordinator")
DOC, SHARE = "/usr/share/doc/secrets-encrypt", "/usr/share/secrets-encrypt"
# Every file, and its mode; what is not here must not be there.
FILES = {
    **{f"/usr/bin/{name}": 0o755 for name in PROGRAMS},
    **{f"/usr/lib/systemd/system/{name}.service": 0o644 for name in PROGRAMS[1:]},
    **{f"{SHARE}/openrc/{name}": 0o755 for name in PROGRAMS[1:]},
    **{f"{SHARE}/prometheus/{name}": 0o644 for name in (
        "scrape.yml", "secrets-encrypt.rules.yml", "secrets-encrypt.tests.yml", "secrets-encrypt.tests-seconds.yml")},
    f"{SHARE}/grafana/secrets-encrypt.json": 0o644,
    "/usr/lib/sysusers.d/secrets-encrypt.conf": 0o644,
    "/usr/lib/tmpfiles.d/secrets-encrypt.conf": 0o644,
    "/usr/share/bash-completion/completions/secrets-encrypt": 0o644,
    "/usr/share/zsh/vendor-completions/_secrets-encrypt": 0o644,
    "/usr/share/fish/vendor_completions.d/secrets-encrypt.fish": 0o644,
    "/usr/share/man/man1/secrets-encrypt.1.gz": 0o644,
    "/usr/share/man/man5/secrets-encrypt.yaml.5.gz": 0o644,
    "/usr/share/man/man8/secrets-encrypt-agent.8.gz": 0o644,
    "/usr/share/man/man8/secrets-encrypt-coordinator.8.gz": 0o644,
    f"{DOC}/copyright": 0o644,
    **{f"{DOC}/examples/{name}": 0o644 for name in ("config.yaml", "agent-folders.conf", "kube-apiserver-sync.conf")},
    **{f"{DOC}/examples/ci/{name}": 0o644 for name in ("github/rotate.yml", "github/secrets-encrypt/action.yml",
                                                       "gitlab/secrets-encrypt.gitlab-ci.yml")},
    # The book: an alert's runbook_url leads into it.
    **{f"{DOC}/docs/{path.relative_to(DOCS)}": 0o644 for pattern in ("*.md", "*.schema.json", "images/*")
       for path in DOCS.glob(pattern)},
}
SCRIPTS = ("postinst", "prerm", "postrm")
LIBRARIES = ("libc6", "libgrpc29", "libcurl4", "libssl3", "libcjson1", "libyaml-0-2", "libsodium23", "libprotobuf-c1",
             "libmicrohttpd12")


def run(*argv, **more):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60,
                          **more).stdout


class ContentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secrets-encrypt-package-")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = Path(cls.scratch.name)
        cls.deb = packages.build(cls.folder / "first")
        cls.root = cls.folder / "root"
        run("dpkg-deb", "-R", cls.deb, cls.root)

    def field(self, name):
        return run("dpkg-deb", "-f", self.deb, name, text=True).strip()

    def test_name_and_version(self):
        version = self.field("Version")
        self.assertEqual(f"secrets-encrypt_{version}_{self.field('Architecture')}.deb", self.deb.name)
        program = packages.build_folder() / "bin" / "secrets-encrypt"
        self.assertEqual(f"secrets-encrypt {version}", run(program, "--version", text=True).strip())

    def test_files_and_modes(self):
        listed = run("dpkg-deb", "-c", self.deb, text=True)
        found = {}
        for line in listed.splitlines():
            mode, owner, _, _, _, path = line.split(None, 5)
            self.assertEqual("root/root", owner, line)
            if not path.endswith("/"):
                found[path[1:]] = mode
        self.assertEqual(sorted(FILES), sorted(found))
        for path, mode in FILES.items():
            self.assertEqual(mode, (self.root / path[1:]).stat().st_mode & 0o7777, path)
        self.assertRegex(listed, r"(?m)^drwx------ root/root .* \./etc/secrets-encrypt/$")

    def test_nothing_of_the_administrators_is_brought(self):
        """What stands in /etc is written by the administrator (or by init), so that no upgrade asks about it."""
        self.assertEqual([], [p for p in (self.root / "etc").rglob("*") if not p.is_dir()])
        self.assertFalse((self.root / "DEBIAN" / "conffiles").exists())

    def test_dependencies(self):
        wanted = {d.split()[0] for d in self.field("Depends").split(",")}
        self.assertEqual(set(), set(LIBRARIES) - wanted)
        self.assertIn("passwd", wanted)  # useradd, where there is no systemd-sysusers
        self.assertNotIn("systemd", wanted)  # OpenRC will do

    def test_no_path_of_the_build(self):
        for path in self.root.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                data = run("gzip", "-dc", path) if path.suffix == ".gz" else data
                for place in (packages.TOP, packages.build_folder()):
                    at = data.find(str(place).encode())
                    self.assertEqual(-1, at, f"{path.name} has {data[at:at + 120] if at >= 0 else ''}")

    def test_programs_are_stripped_and_hardened(self):
        for name in PROGRAMS:
            sections = run("readelf", "-SWd", self.root / "usr/bin" / name, text=True)
            self.assertNotIn(".debug_info", sections)
            self.assertNotRegex(sections, r"\((RPATH|RUNPATH)\)")
            self.assertRegex(sections, r"BIND_NOW|NOW")
            self.assertRegex(sections, r"\(FLAGS_1\).*PIE")

    def test_scripts(self):
        for name in SCRIPTS:
            script = self.root / "DEBIAN" / name
            self.assertEqual(0o755, script.stat().st_mode & 0o7777, name)
            run("sh", "-n", script)
            self.assertIn("\nset -e\n", script.read_text())
            wrong = subprocess.run(["sh", str(script), "no-such-action"], stdin=subprocess.DEVNULL, capture_output=True,
                                   check=False, timeout=10)
            self.assertEqual(1, wrong.returncode, name)
        for name in PROGRAMS[1:]:
            script = self.root / SHARE[1:] / "openrc" / name
            run("sh", "-n", script)
            self.assertTrue(script.read_text().startswith("#!/sbin/openrc-run\n"))

    def test_services_run_the_installed_programs(self):
        for name in PROGRAMS[1:]:
            unit = (self.root / f"usr/lib/systemd/system/{name}.service").read_text()
            self.assertEqual([f"/usr/bin/{name}"], re.findall(r"(?m)^ExecStart=(.*)$", unit))
            script = (self.root / SHARE[1:] / "openrc" / name).read_text()
            self.assertEqual([f"/usr/bin/{name}"], re.findall(r"(?m)^command=(.*)$", script))

    def test_installed_elsewhere_they_name_that(self):
        stage = self.folder / "stage"
        run("cmake", "--install", packages.build_folder(), "--prefix", "/opt/se", "--component", "Unspecified",
            env={"PATH": "/usr/bin:/bin", "DESTDIR": str(stage)})
        unit = (stage / "opt/se/lib/systemd/system/secrets-encrypt-agent.service").read_text()
        self.assertIn("ExecStart=/opt/se/bin/secrets-encrypt-agent\n", unit)
        self.assertTrue((stage / "opt/se/bin/secrets-encrypt-agent").exists())

    def test_the_same_again(self):
        again = packages.build(self.folder / "second")
        self.assertTrue(self.deb.read_bytes() == again.read_bytes(), "two packages of one build differ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
