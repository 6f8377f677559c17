"""The book as a book: no link leads nowhere, no page is left out, every command in it is run by something (see
classify.py), every example is read by the real reader, and the runbook has what on-call sees."""
import json
import os
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

import book
import classify
import plan
from book import TOP

BUILD = Path(os.environ.get("SECRETS_ENCRYPT_BUILD", TOP / "build" / "debug"))
INDEX = "docs/README.md"


def at(found):
    return f"{found.file}:{found.line}"


def run(*argv, **more):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=60, **more)


def tests_of_ctest():
    return json.loads(run("ctest", "--show-only=json-v1", cwd=BUILD).stdout)["tests"]


def names_of_tests():
    """{name of a test of ctest: its command line}; of the fuzz preset, which is another build, the names alone."""
    tests = {t["name"]: " ".join(t.get("command", [])) for t in tests_of_ctest()}
    named = re.findall(r"add_test\(NAME (\w+) ", (TOP / "tests" / "fuzz" / "CMakeLists.txt").read_text(encoding="utf-8"))
    return tests | {p.stem: "" for p in (TOP / "tests" / "fuzz").glob("fuzz_*.c")} | {name: "" for name in named}


def table_of_commands():
    """[(command, its own flags)], as the program has them."""
    lines = [line.split("\t") for line in run(classify.programs() / "secrets-encrypt", "--table").stdout.splitlines()]
    flags = {}
    for line in lines:
        if line[0] == "command":
            flags.setdefault(line[1], set())
        elif line[0] == "flag" and line[1] != "*":
            flags.setdefault(line[1], set()).add(f"--{line[3]}")
    return sorted(flags.items())


class BookTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.pages = book.pages()
        cls.tests = names_of_tests()

    # --- pages and links ---

    def test_links_lead_somewhere(self):
        for page in self.pages.values():
            for link in page.links:
                if re.match(r"https?:", link.target):
                    continue
                path, _, anchor = link.target.partition("#")
                file = ((TOP / page.path).parent / path).resolve() if path else TOP / page.path
                self.assertTrue(file.exists(), f"{at(link)}: {link.target}: no such file")
                name = str(file.relative_to(TOP))
                if anchor:
                    self.assertIn(name, self.pages, f"{at(link)}: an anchor in something that is no page")
                    self.assertIn(anchor, self.pages[name].anchors, f"{at(link)}: {name} has no such heading")

    def test_the_index_has_every_page_once(self):
        linked = [(Path("docs") / link.target.partition("#")[0]).as_posix() for link in self.pages[INDEX].links
                  if re.match(r"[\w-]+\.md(#|$)", link.target)]
        every = [p for p in self.pages if p.startswith("docs/") and p != INDEX]
        self.assertEqual(sorted(every), sorted(linked))
        self.assertIn(INDEX, {os.path.normpath(link.target) for link in self.pages["README.md"].links})

    def test_no_picture_is_left_over(self):
        linked = {os.path.normpath(Path(p.path).parent / link.target) for p in self.pages.values() for link in p.links}
        for picture in (TOP / "docs" / "images").iterdir():
            self.assertIn(f"docs/images/{picture.name}", linked)

    def test_each_page_begins_with_what_it_is_for(self):
        for page in self.pages.values():
            self.assertEqual(1, [level for _, level, _ in page.headings].count(1), f"{page.path}: one title")
            self.assertRegex(page.opening(), r"^[A-Z`\[*].{20}", f"{page.path}: begins with no sentence")

    def test_the_readmes_end_is_short(self):
        end = self.pages["README.md"].text.split("## Read on\n")[1]
        self.assertLess(len(end), 500, "the chapters are listed in docs/README.md")

    def test_tests_that_are_named_exist(self):
        prefix = re.compile(r"^(system|cluster|fuzz|docs|chaos|bench|ci|analysis|package)_\w+$")
        for page in self.pages.values():
            for number, text in page.spans:
                if prefix.match(text):
                    self.assertIn(text, self.tests, f"{page.path}:{number}")

    def test_labels_are_those_of_the_tests(self):
        labels = {label for t in tests_of_ctest() for p in t["properties"] if p["name"] == "LABELS" for label in p["value"]}
        table = self.pages["docs/testing.md"].text.split("| label |")[1].split("\n\n")[0]
        self.assertEqual(sorted(labels | {"fuzz"}), sorted(re.findall(r"(?m)^\| `(\w+)` \|", table)))

    def test_files_that_are_named_exist(self):
        for page in self.pages.values():
            for number, text in page.spans:
                if book.OUR_SCRIPTS.match(text) and " " not in text:
                    found = [TOP / text] if (TOP / text).exists() else list(TOP.glob(text))
                    self.assertTrue(found, f"{page.path}:{number}: {text}: no such file")

    # --- commands ---

    def test_every_command_is_run_by_something(self):
        entries = classify.elsewhere()
        bad = [f"{at(c)}: `{c.text}`: neither in tests/docs/plan.py nor in tests/docs/elsewhere.txt"
               for c in book.commands() if classify.who_runs(c.text, entries) is None]
        self.assertEqual([], bad)

    def test_our_programs_read_their_commands(self):
        bad = []
        for command in book.commands():
            if command.text.split()[0] in classify.OUR_PROGRAMS:
                error = classify.parse_error(classify.example_of(command.text))
                bad += [f"{at(command)}: `{command.text}`: {error}"] if error else []
        known = {name.split()[0] for name, _ in table_of_commands()}
        short = 0
        for page in self.pages.values():  # as running text has them: `status -o wide`
            for number, text in page.spans:
                if text.split()[0] in known and " -" in text:
                    short += 1
                    error = classify.parse_error(["secrets-encrypt", *classify.example_of(text)])
                    bad += [f"{page.path}:{number}: `{text}`: {error}"] if error else []
        self.assertEqual([], bad)
        self.assertGreater(short, 20)

    def test_the_reference_has_every_command_and_flag(self):
        page = self.pages["docs/cli.md"]
        first = page.text[:page.text.index("### Which server")]
        rows = re.findall(r"(?m)^\| `([a-z][a-z -]*)[^`]*`(?:, `([a-z]+)`)? \|", first)
        listed = sorted(name.split(" [")[0].strip() for row in rows for name in row if name)
        names = sorted(name for name, _ in table_of_commands())
        self.assertEqual(names, [re.sub(r" (SERVER|NAME|N|-.*)$", "", name).strip() for name in listed])
        words = set(re.findall(r"--[a-z-]+", page.text + self.pages["docs/api.md"].text))
        for _, flags in table_of_commands():
            self.assertEqual(set(), flags - words, "flags that docs/cli.md and docs/api.md do not name")

    def test_every_kind_of_json_is_in_the_reference(self):
        schema = (TOP / "docs" / "cli.schema.json").read_text(encoding="utf-8")
        kinds = re.findall(r'"kind":\s*\{\s*"const":\s*"(\w+)"', schema)
        self.assertGreater(len(kinds), 9)
        table = self.pages["docs/cli.md"].text.split("| kind |")[1].split("\n\n")[0]
        named = re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\| ([^|]*) \|", table)))
        self.assertEqual(sorted(kinds), sorted(named))

    def test_nothing_is_listed_that_the_book_lacks(self):
        texts = {c.text for c in book.commands()}
        self.assertEqual([], sorted(plan.texts() - texts), "plan.py")
        for entry in classify.elsewhere():
            self.assertTrue(any(classify.fits(entry, t) for t in texts), f"elsewhere.txt: {entry.pattern}")

    def test_those_who_run_them_do(self):
        for entry in classify.elsewhere():
            if entry.who == "nobody":
                self.assertGreater(len(entry.file), 20, f"elsewhere.txt: {entry.pattern}: why?")
                continue
            file = TOP / entry.file
            self.assertTrue(file.is_file(), f"elsewhere.txt: {entry.file}")
            self.assertIn(entry.text, file.read_text(encoding="utf-8"), f"elsewhere.txt: {entry.pattern}")
            if entry.who.startswith(".ci/"):
                self.assertTrue((TOP / entry.who).is_file(), entry.who)
                continue
            self.assertIn(entry.who, self.tests, f"elsewhere.txt: {entry.pattern}")
            if entry.file.endswith(".py"):  # the test is that file, or reads it
                script = next((w for w in self.tests[entry.who].split() if w.endswith(".py")), "")
                self.assertTrue(script, f"elsewhere.txt: {entry.who} is no script")
                self.assertTrue(script.endswith(entry.file) or file.stem in Path(script).read_text(encoding="utf-8"),
                                f"elsewhere.txt: {entry.who} is not {entry.file}")

    def test_scripts_take_the_flags(self):
        """Without doing anything: with --help behind them, or held against the script's own list of them."""
        for command in book.commands():
            words = shlex.split(re.sub(r"[\[\]]", " ", command.text))
            flags = [w.partition("=")[0] for w in words if w.startswith("--")]
            if words[0] == "deploy/quickstart.sh":
                with tempfile.TemporaryDirectory() as folder:
                    result = run(TOP / words[0], *words[1:], "--help", cwd=folder)
                self.assertEqual(0, result.returncode, f"{at(command)}: {result.stderr}")
            elif book.is_script(words[0]) and flags:
                folder = (TOP / words[0]).parent
                known = "".join(p.read_text() for p in [TOP / words[0], *folder.glob("*.py"), *folder.glob("main.c")])
                for flag in flags:
                    self.assertIn(f"\"{flag}\"", known, f"{at(command)}: {flag}")

    def test_presets(self):
        presets = {p["name"] for p in json.loads((TOP / "CMakePresets.json").read_text())["configurePresets"]}
        for command in book.commands():
            found = re.match(r"cmake --preset (\S+)", command.text)
            for name in found.group(1).split("|") if found else []:
                self.assertIn(name, presets, at(command))

    def test_names_of_tests(self):
        for command in book.commands():
            found = re.match(r"(?:\S+=\S+ )?ctest .*-R (.*)$", command.text)
            if found:
                regex, = shlex.split(found.group(1))
                self.assertTrue(any(re.search(regex, t) for t in self.tests), f"{at(command)}: no such test")

    def test_jq(self):
        """Over the log lines of the page itself."""
        page = self.pages["docs/logs.md"]
        lines = [line for b in page.blocks for _, line in b.lines if line.startswith("{")]
        one, = [c.text for c in page.commands() if c.text.startswith("jq ")]
        wanted = json.loads(lines[0])["operation"]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "agent.log").write_text("\n".join([*lines, '{"operation":"another"}', ""]))
            result = run("bash", "-c", one.replace("\"ID\"", f"\"{wanted}\""), cwd=folder)
        self.assertEqual((0, len(lines)), (result.returncode, result.stdout.count("\n")), result.stderr)

    # --- examples ---

    def test_configurations_are_read(self):
        base = next(b for b in self.pages["docs/configuration.md"].blocks if b.language == "yaml")
        count = 0
        for page in self.pages.values():
            whole = base
            for block in page.blocks:
                if block.language != "yaml":
                    continue
                count += 1
                sections = sections_of(block)
                if "cluster" in sections:
                    whole = block
                text = "".join((sections_of(whole) | sections).values())
                with tempfile.TemporaryDirectory() as folder:
                    file = Path(folder, "config.yaml")
                    file.write_text(text)
                    result = run(BUILD / "tests" / "docs_load", file)
                self.assertEqual((0, ""), (result.returncode, result.stdout), f"{at(block)}:\n{text}")
        self.assertGreater(count, 6)

    def test_json_can_be_parsed(self):
        """A … in an example stands for members that are left out, or for the rest of a text."""
        count = 0
        for page in self.pages.values():
            for block in page.blocks:
                for number, line in block.lines:
                    if re.match(r"\{\"", line):
                        count += 1
                        try:
                            json.loads(line.replace(",…,", ","))
                        except json.JSONDecodeError as error:
                            self.fail(f"{page.path}:{number}: {error}")
        self.assertGreater(count, 5)

    def test_languages_of_blocks(self):
        """What is marked as something is looked at by one of these tests; a new mark needs one."""
        for page in self.pages.values():
            for block in page.blocks:
                self.assertIn(block.language, ("", "sh", "yaml", "mermaid"), at(block))

    # --- the runbook ---

    def test_every_alert_has_its_section(self):
        rules = (TOP / "deploy" / "prometheus" / "secrets-encrypt.rules.yml").read_text(encoding="utf-8")
        alerts = re.findall(r"- alert: (\w+)", rules)
        urls = re.findall(r"runbook_url: (\S+)#(\S+)", rules)
        self.assertEqual([a.lower() for a in alerts], [fragment for _, fragment in urls])
        for url, fragment in urls:
            self.assertIn(fragment, self.pages["docs/runbook.md"].anchors, url)

    def test_runbook_urls_are_true_or_easily_set(self):
        """They lead to the packaged page; the sed of the rules' head leads all of them to another place."""
        path = TOP / "deploy" / "prometheus" / "secrets-encrypt.rules.yml"
        rules = path.read_text(encoding="utf-8")
        urls = set(re.findall(r"runbook_url: (\S+)#", rules))
        self.assertEqual({"file:///usr/share/doc/secrets-encrypt/docs/runbook.md"}, urls)
        command = re.search(r"(?m)^# +(sed .*)$", rules).group(1)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, path.name).write_text(rules)
            result = run("bash", "-c", command, cwd=folder)
            self.assertEqual(0, result.returncode, result.stderr)
            changed = Path(folder, path.name).read_text()
        place = re.search(r"https://[^|]+", command).group(0)
        self.assertEqual({f"{place}/runbook.md"}, set(re.findall(r"runbook_url: (\S+)#", changed)))
        self.assertEqual(len(rules.splitlines()), len(changed.splitlines()))

    def test_what_status_says_is_in_the_runbook(self):
        """Every reason for which the planner waits or halts, by its words."""
        text = re.sub(r"[\s`]+", " ", self.pages["docs/runbook.md"].text)
        rows = re.findall(r"(?m)^\| (\S+) \| .* \| (wait|halt) \| (.+) \|$", self.pages["docs/planner.md"].text)
        self.assertGreater(len(rows), 30)
        missing = [f"{row}: {why}" for row, _, why in rows if why.replace("`", "") not in text]
        self.assertEqual([], missing)

    def test_what_is_refused_is_in_the_runbook(self):
        """Every refusal of the gate, and what is said of servers: one of the runbook's quotations is a part of it."""
        quotations = [re.split(r"…|\bs1\b|\bs2\b|\b12\b|\b90\b", text) for _, text in self.pages["docs/runbook.md"].spans]
        said = [text for name in ("gate", "facts", "facts_servers", "facts_jobs")
                for text in texts_of((TOP / "lib" / "rotation" / f"{name}.c").read_text(encoding="utf-8"))]
        self.assertGreater(len(said), 50)
        missing = [text for text in said if not any(quotes(parts, text) for parts in quotations)]
        self.assertEqual([], missing)


def texts_of(source):
    """What stands in a C file for people: its literals of four words and more, formats without what is put in."""
    literals = re.findall(r'((?:"(?:[^"\\\n]|\\.)*"\s*(?:PRId64\s*)?)+)', re.sub(r"(?m)^#include.*$|//.*$|/\*(?s:.*?)\*/", "", source))
    joined = ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)) for text in literals]
    return [text for text in joined if text[:1] not in ("", ":", ";") and len(re.findall(r"[a-z']{2,}", re.sub(r"%\w*", " ", text))) >= 4]


def quotes(parts, text):
    """Whether all parts of a quotation stand in a format, and are enough of it to be known by."""
    parts = [p.strip(" ,:;'") for p in parts]
    return len("".join(parts)) >= 10 and all(p in text.replace("`", "") for p in parts)


def sections_of(block):
    """{top-level field: its lines} of a YAML block."""
    sections, name = {}, None
    for _, line in block.lines:
        found = re.match(r"(\w+):", line)
        if found:
            name = found.group(1)
            sections[name] = ""
        if name:
            sections[name] += line + "\n"
    return sections


if __name__ == "__main__":
    unittest.main(verbosity=2)
