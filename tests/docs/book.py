"""Reads the book (README.md, CONTRIBUTING.md, docs/*.md): its headings, links, fenced blocks, and the commands in it."""
import os
import re
from collections import namedtuple
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

Command = namedtuple("Command", "file line text")
Block = namedtuple("Block", "file line language lines")
Link = namedtuple("Link", "file line target")

# First words of what one types. A name alone, in running text, speaks of the program and is no command.
PROGRAMS = {
    "secrets-encrypt", "secrets-encrypt-agent", "secrets-encrypt-coordinator", "apt", "cmake", "cp", "crictl", "ctest",
    "curl", "etcdctl", "export", "install", "journalctl", "jq", "k3s", "kubeadm", "kubectl", "man", "ninja", "openssl",
    "promtool", "rc-service", "rc-update", "sed", "ssh", "systemctl", "systemd-analyze", "systemd-sysusers",
    "systemd-tmpfiles", "tail", "ulimit"}
OUR_SCRIPTS = re.compile(r"^(deploy|tests|scripts|docs|cmake|\.ci)/")


def page_paths():
    return ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in (TOP / "docs").glob("*.md"))]


def is_script(word):
    return bool(OUR_SCRIPTS.match(word)) and (TOP / word).is_file() and os.access(TOP / word, os.X_OK)


def is_command(text, alone):
    """Whether a line is something to type; `alone`: a program's bare name is, too."""
    words = [w for w in text.split() if not re.match(r"[A-Z_]+=", w)]
    if not words:
        return False
    return is_script(words[0]) or (words[0] in PROGRAMS and (alone or len(words) > 1))


def without_comment(line):
    """A command line without the remark behind it."""
    return re.sub(r"\s+#\s.*$", "", line).strip()


class Page:
    """One page. `problems` are things that could not be read."""

    def __init__(self, path, text=None):
        self.path = path
        self.text = (TOP / path).read_text(encoding="utf-8") if text is None else text
        self.headings, self.links, self.blocks, self.spans = [], [], [], []
        self.anchors, self.prose = set(), []
        self._read()

    def _read(self):
        block = None
        for number, line in enumerate(self.text.split("\n"), 1):
            fence = re.match(r"\s*```(\w*)\s*$", line)
            if fence and block is None:
                block = Block(self.path, number, fence.group(1), [])
            elif fence:
                self.blocks.append(block)
                block = None
            elif block is not None:
                block.lines.append((number, line))
            else:
                self._read_prose(number, line)
        self._read_spans()
        assert block is None, f"{self.path}:{block.line}: a block without an end"

    def _read_prose(self, number, line):
        self.prose.append((number, line))
        heading = re.match(r"(#+) (.*)$", line)
        if heading:
            self.headings.append((number, len(heading.group(1)), heading.group(2)))
            self._add_anchor(heading.group(2))
        bare = re.sub(r"`[^`]*`", lambda m: "`" + "x" * (len(m.group(0)) - 2) + "`", line)
        for link in re.finditer(r"\]\(([^)\s]+)\)", bare):
            self.links.append(Link(self.path, number, link.group(1)))

    def _read_spans(self):
        """Code in running text; it may go on in the next line of its paragraph."""
        for paragraph in re.split(r"(?m)^\n", "\n".join(f"{n}\0{line}" if line.strip() else "" for n, line in self.prose) + "\n"):
            number = 0
            for piece in re.split(r"(`[^`]+`)", paragraph):
                for found in re.finditer(r"(?:^|\n)(\d+)\0", piece):
                    if not piece.startswith("`"):
                        number = int(found.group(1))
                if piece.startswith("`"):
                    text = re.sub(r"\n\d+\0", " ", piece[1:-1])
                    self.spans.append((number, text.replace("\\|", "|")))
                    for found in re.finditer(r"\n(\d+)\0", piece):
                        number = int(found.group(1))

    def _add_anchor(self, heading):
        """As the forges make them: small letters, no punctuation, a hyphen for each space, -1 for the second."""
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number, name = 0, slug
        while name in self.anchors:
            number += 1
            name = f"{slug}-{number}"
        self.anchors.add(name)

    def opening(self):
        """The first line below the title that is not empty."""
        lines = [line for _, line in self.prose if line.strip()]
        return lines[1] if len(lines) > 1 else ""

    def commands(self):
        """Everything on the page that somebody may type, in its order."""
        found = []
        for block in self.blocks:
            if block.language in ("", "sh"):
                found += self._block_commands(block)
        for number, line in self.prose:  # indented blocks
            if line.startswith("    ") and is_command(line.strip(), True):
                found += self._parts(number, line)
        for number, text in self.spans:
            if is_command(text, False):
                found += self._parts(number, text)
        return sorted(found, key=lambda c: c.line)

    def _block_commands(self, block):
        found = []
        for number, line in block.lines:
            text = re.sub(r"^\s*\$ ", "", line)
            if block.language == "sh" and text.strip() and not text.startswith("#"):
                found += self._parts(number, text)
            elif not line.startswith(" ") and is_command(text, True):
                found += self._parts(number, text)
        return found

    def _parts(self, number, text):
        return [Command(self.path, number, part.strip()) for part in without_comment(text).split(" && ") if part.strip()]


def pages():
    return {path: Page(path) for path in page_paths()}


def commands():
    return [c for page in pages().values() for c in page.commands()]


if __name__ == "__main__":
    for one in commands():
        print(f"{one.file}:{one.line}: {one.text}")
